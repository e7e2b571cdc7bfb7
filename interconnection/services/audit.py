"""The one door through which the planning desk writes what happened."""

from __future__ import annotations

from typing import Any

from interconnection.models import Application, Event


def record(
    action: str,
    *,
    actor: str,
    application: Application | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write one event, in the transaction of the change that it tells of."""
    Event.objects.create(application=application, actor=actor, action=action, before=before or {}, after=after or {})
