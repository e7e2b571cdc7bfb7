"""What was really curtailed, out of the grants: how long each site had less than its flexible import."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from derms.limits import Limit
from interconnection.models import Agreement
from interconnection.reports import Measured
from telemetry.curtailment import HOUR_S, Lent, pieces
from telemetry.models import GrantRow

TAKEN = "acknowledged"
"""The outcome of a grant that the site took."""


def measured(start: datetime, end: datetime) -> dict[str, Measured]:
    """Return each agreed site's limited hours between two moments (aware); a site without grants is left out."""
    terms = {row.site: row.terms for row in Agreement.objects.all()}
    rows = (
        GrantRow.objects.filter(site__in=terms, at__gte=start, at__lt=end, outcome=TAKEN)
        .order_by("site", "at", "id")
        .values_list("site", "at", "ttl_s", "import_w", "export_w")
    )
    by_site: dict[str, list[Lent]] = {}
    for site, at, ttl_s, import_w, export_w in rows.iterator(chunk_size=5000):
        by_site.setdefault(site, []).append(Lent(at, ttl_s, Limit(import_w, export_w)))
    return {site: of_grants(lent, terms[site].failsafe, terms[site].flexible, end) for site, lent in by_site.items()}


def of_grants(lent: Sequence[Lent], failsafe: Limit, flexible: Limit, end: datetime) -> Measured:
    """Return what grants (rising in time) mean from the first one on; between them the failsafe limit holds."""
    covered = limited = lost = 0.0
    for begin, finish, limit in pieces(lent, failsafe, lent[0].at, end):
        seconds = (finish - begin).total_seconds()
        covered += seconds
        if limit.import_w < flexible.import_w:
            limited += seconds
            lost += seconds * (1.0 - limit.import_w / flexible.import_w)
    share = 100.0 * lost / covered if covered else 0.0
    return Measured(limited / HOUR_S, covered / HOUR_S, round(share, 3))
