"""Asking the database from the control loop: each question on a connection that is known to work.

Django looks after connections between two requests of the web. A control process has none: without this a thread whose
connection broke once (the server was restarted) would fail for ever, while others renew the lead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
R = TypeVar("R")


def fresh(work: Callable[P, R]) -> Callable[P, R]:
    """Return `work` so that a connection of its thread that broke is given back first, and a new one opened."""

    @wraps(work)
    def asked(*args: P.args, **named: P.kwargs) -> R:
        close_old_connections()
        return work(*args, **named)

    return asked
