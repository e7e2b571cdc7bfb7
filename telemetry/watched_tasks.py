"""Tasks that stand and fall together: one that ends unexpectedly is logged and ends them all, instead of silently."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

LOG = logging.getLogger(__name__)


async def together(tasks: Sequence[asyncio.Task[Any]], *, ends_all: asyncio.Task[Any], where: str) -> None:
    """Wait until `ends_all` ends or another of the tasks fails; then cancel and await the rest but the first.

    The first task goes on unless it failed: it is for the caller to end. A task that returns has done its work.
    Raises what `ends_all` raised; what another raised is logged.
    """
    running = set(tasks)
    try:
        while not ends_all.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in done if task is not ends_all and not task.cancelled() and task.exception()]
            for task in failed:
                LOG.error("%s: %r ended: the session starts anew", where, task.get_name(), exc_info=task.exception())
            if failed:
                break
    finally:
        rest = [task for task in tasks[1:] if not task.done()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
    if ends_all.done() and not ends_all.cancelled():
        ends_all.result()
