"""The head of every page of the utility's people: does anybody control? From the watchdog's file, not the database."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from telemetry.progress import Said, watchdog_says

CALM = ("controlling", "idle")


def control_state(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `control`, read only by templates that show it."""
    return {"control": SimpleLazyObject(lambda: shown(watchdog_says()))}


def shown(said: Said) -> dict[str, Any]:
    """Return the verdict as the banner and the WebSocket show it."""
    verdict = said.verdict
    return {
        "state": verdict.state,
        "calm": verdict.state in CALM,
        "message": verdict.message if verdict.state not in CALM else "",
        "note": verdict.message if verdict.state in CALM else "",
        "age_s": None if said.age_s is None else round(min(said.age_s, 1e9)),
    }
