"""What was really curtailed, out of the grants: for how long each site had less than its agreement's flexible import."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from interconnection.models import Agreement
from interconnection.reports import Measured
from telemetry.models import GrantRow

REFUSED = ("refused", "lost")
"""Outcomes of grants that the site never obeyed."""


def measured(start: datetime, end: datetime) -> dict[str, Measured]:
    """Return each agreed site's limited hours between two moments (aware); a site without grants is left out."""
    flexible = {row.site: row.terms.flexible.import_w for row in Agreement.objects.all()}
    rows = (
        GrantRow.objects.filter(site__in=flexible, at__gte=start, at__lt=end)
        .exclude(outcome__in=REFUSED)
        .order_by("site", "at", "id")
        .values_list("site", "at", "ttl_s", "import_w")
    )
    by_site: dict[str, list[tuple[datetime, float, int]]] = {}
    for site, at, ttl_s, import_w in rows.iterator(chunk_size=5000):
        by_site.setdefault(site, []).append((at, ttl_s, import_w))
    return {site: of_grants(grants, flexible[site], end) for site, grants in by_site.items()}


def of_grants(grants: Iterable[tuple[datetime, float, int]], flexible_w: int, end: datetime) -> Measured:
    """Return what a site's grants (time, time to live in s, import limit in W, rising) mean against its flexible limit.

    A grant counts until the next one, or until it is over; the time between is the site's failsafe and no grant of ours.
    """
    listed = list(grants)
    covered = limited = lost = 0.0
    for place, (at, ttl_s, import_w) in enumerate(listed):
        until = min(at + timedelta(seconds=ttl_s), listed[place + 1][0] if place + 1 < len(listed) else end, end)
        seconds = max(0.0, (until - at).total_seconds())
        covered += seconds
        if import_w < flexible_w:
            limited += seconds
            lost += seconds * (1.0 - import_w / flexible_w)
    return Measured(limited / 3600, covered / 3600, round(100.0 * lost / covered, 3) if covered else 0.0)
