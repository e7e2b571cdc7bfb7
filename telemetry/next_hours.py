"""What sites may expect in the next 24 hours: the engine's outlook, or without a fresh one the study. No permission."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from interconnection import site_queries
from interconnection.site_queries import Promise
from telemetry.outlook_services import outlook
from telemetry.pictures import Line, trend
from telemetry.switching_services import hour_of

HOURS = 24
FRESH_S = 900.0
MOST_STUDIES = 25
Ahead = list[tuple[datetime, float, float]]
"""(moment, kW of import, kW of export), in order."""


def of_site(feeder: str, site: str, promise: Promise | None, now: datetime) -> dict[str, Any] | None:
    """Return the picture, the rows by the hour and where they come from; None where nothing is known."""
    found = _outlook(feeder, now)
    if found is not None and all(site in item["sites"] for item in found[0]):
        hourly, fine = found
        rows = [{"at": _at(item), **item["sites"][site], "by": item["sites"][site]["reason"]} for item in hourly[:HOURS]]
        ahead = _joined(fine, hourly, [site])
        origin = "the engine, from the feeder as it is"
    elif promise is not None and promise.hours:
        rows = _study_rows(promise, now)
        ahead = [(row["at"], row["import_kw"], row["export_kw"]) for row in rows]
        origin = "the study"
    else:
        return None
    if len(ahead) < 2:
        return None
    title = f"limits that {site} may expect, next 24 hours, by {origin}"
    return {"chart": _picture(ahead, title, (620, 300)), "rows": rows, "origin": origin}


def of_feeder(feeder: str, sites: Sequence[str], now: datetime) -> dict[str, Any] | None:
    """Return the picture of all sites' limits together, and where it comes from."""
    found = _outlook(feeder, now)
    if found is not None:
        names = [site for site in sites if all(site in item["sites"] for item in found[0])]
        ahead, origin = _joined(found[1], found[0], names), "the engine, from the feeder as it is"
    elif 0 < len(sites) <= MOST_STUDIES:
        promises = site_queries.promises(sites)
        each = [_study_rows(promise, now) for promise in promises]
        whole = bool(each) and len(each) == len(sites) and all(len(rows) == HOURS for rows in each)
        ahead = [
            (hour[0]["at"], sum(row["import_kw"] for row in hour), sum(row["export_kw"] for row in hour))
            for hour in zip(*each, strict=True)
        ] if whole else []  # fmt: skip
        origin = "the studies"
    else:
        return None
    if len(ahead) < 2:
        return None
    title = f"limits that all sites together may expect, next 24 hours, by {origin}"
    return {"chart": _picture(ahead, title, (440, 210)), "origin": origin}


def _outlook(feeder: str, now: datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    row = outlook(feeder)
    if row is None or (now - row.at).total_seconds() > FRESH_S or not row.hourly:
        return None
    return row.hourly, row.five_minutes


def _joined(fine: list[dict[str, Any]], hourly: list[dict[str, Any]], sites: Sequence[str]) -> Ahead:
    """Return four hours by five minutes and the rest by the hour."""

    def total(item: dict[str, Any]) -> tuple[datetime, float, float]:
        entries = [item["sites"][site] for site in sites]
        return _at(item), sum(e["import_kw"] for e in entries), sum(e["export_kw"] for e in entries)

    near = [total(item) for item in fine]
    last = near[-1][0] if near else None
    return near + [point for point in map(total, hourly) if last is None or point[0] > last]


def _study_rows(promise: Promise, now: datetime) -> list[dict[str, Any]]:
    start = now.replace(minute=0, second=0, microsecond=0)
    rows = []
    for moment in (start + timedelta(hours=step) for step in range(HOURS)):
        place = promise.at(hour_of(moment))
        if place is not None:
            by = promise.import_by[place] if promise.import_by else ""
            rows.append({
                "at": moment, "import_kw": promise.import_kw[place], "export_kw": promise.export_kw[place],
                "by": by or "the agreement",
            })  # fmt: skip
    return rows


def _picture(ahead: Ahead, title: str, size: tuple[int, int]) -> str:
    lines = [
        Line("import", "two", [(at, kw) for at, kw, _ in ahead], step=True),
        Line("export", "three", [(at, -kw) for at, _, kw in ahead], step=True),
    ]
    return trend(lines, ahead[0][0], ahead[-1][0], title, size=size)


def _at(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["at"])
