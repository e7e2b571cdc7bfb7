"""The outlook of a feeder: 24 hours by the hour, 4 hours by five minutes. Kept for the pages; nothing is lent from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from telemetry.cycle_models import OutlookRow

HOURS, STEPS, STEP = 25, 48, timedelta(minutes=5)
OUTLOOK_S = 120.0
EVERY_S = 300.0


def hours_ahead(hour: int) -> list[int]:
    """Return the hours of the study year that an outlook needs."""
    return [(hour + ahead) % 8760 for ahead in range(HOURS)]


def keep_outlook(feeder: str, now: datetime, answer: dict[str, Any]) -> OutlookRow:
    """Store what `derms.grid.outlook` gave, by the hour and by five minutes."""
    start = now.replace(minute=0, second=0, microsecond=0)
    hourly = [
        {"at": (start + timedelta(hours=count)).isoformat(), "sites": _sites(item["sites"])}
        for count, item in enumerate(answer["hours"])
    ]
    row, _ = OutlookRow.objects.update_or_create(
        feeder=feeder, defaults={"at": now, "hourly": hourly, "five_minutes": _fine(start, now, hourly)}
    )
    return row


def outlook(feeder: str) -> OutlookRow | None:
    """Return a feeder's newest outlook."""
    return OutlookRow.objects.filter(feeder=feeder).first()


def _sites(raw: dict[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {"import_kw": item[0] // 100 / 10, "export_kw": item[1] // 100 / 10, "reason": f"{item[2]} at {item[3]}"}
        for name, item in sorted(raw.items())
    }


def _fine(start: datetime, now: datetime, hourly: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return four hours by five minutes: the loads' shapes are by the hour, so each step has the lower of its two hours
    within a quarter of an hour of the change, as loads pass from one to the next.
    """
    first = start + STEP * ((now - start) // STEP)
    found = []
    for step in range(STEPS):
        at = first + STEP * step
        place = int((at - start).total_seconds() // 3600)
        minute = at.minute
        beside = place - 1 if minute < 15 and place > 0 else place + 1 if minute >= 45 else place
        here, there = hourly[place]["sites"], hourly[min(beside, len(hourly) - 1)]["sites"]
        sites = {
            name: {side: min(item[side], there.get(name, item)[side]) for side in ("import_kw", "export_kw")}
            for name, item in here.items()
        }
        found.append({"at": at.isoformat(), "sites": sites})
    return found
