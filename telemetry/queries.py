"""The only readers of the control room's tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from telemetry.models import CycleRow, GrantRow, HeadMeasurement, SiteEndpoint

STALE_S = 30.0


def boards(now: datetime) -> list[dict[str, Any]]:
    """Return the newest board of each feeder with its age; older than 30 s says so."""
    newest: dict[str, CycleRow] = {}
    names = CycleRow.objects.order_by().values_list("feeder", flat=True).distinct()
    for name in names:
        row = CycleRow.objects.filter(feeder=name).first()
        if row is not None:
            newest[name] = row
    found = []
    for name, row in sorted(newest.items()):
        age = (now - row.at).total_seconds()
        found.append({**row.board, "feeder": name, "at": row.at.isoformat(), "age_s": round(age), "stale": age > STALE_S})
    return found


def endpoints(sites: list[str]) -> dict[str, SiteEndpoint]:
    """Return where each site's wire ends."""
    return {row.site: row for row in SiteEndpoint.objects.filter(site__in=sites)}


def head(feeder: str) -> HeadMeasurement | None:
    """Return the newest head measurement of a feeder."""
    return HeadMeasurement.objects.filter(feeder=feeder).first()


def trend(feeder: str, site: str, count: int = 360) -> list[tuple[datetime, dict[str, Any]]]:
    """Return a site's entries of the last cycles, oldest first."""
    rows = list(CycleRow.objects.filter(feeder=feeder)[:count])[::-1]
    return [(row.at, item) for row in rows for item in row.board["sites"] if item["site"] == site]


def grants(site: str, count: int = 50) -> list[GrantRow]:
    """Return a site's newest grants."""
    return list(GrantRow.objects.filter(site=site)[:count])
