"""Before an offer is made: may it and all agreements on the feeder be at their failsafe limits together?

A study counts who is there in three cases. What all promise together is certified for every hour before the control room
publishes; here some hours are looked at, so that nobody signs what could never be certified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from derms.agreement import Terms
from derms.errors import Conflict
from derms.limits import NOTHING
from derms.sandbox.warm_children import CHILDREN
from interconnection.models import Agreement, FeederVersion
from interconnection.states import COMMITTED

HOURS = 288
"""Spread over the year, beside the hours in which the study found its own limits."""
CALL_S = 120.0


def others(version: FeederVersion) -> list[Terms]:
    """Return the terms of the agreements that hold on a feeder."""
    rows = Agreement.objects.filter(
        offer__application__feeder=version.feeder, offer__application__state__in=COMMITTED
    ).order_by("accepted", "pk")
    return [row.terms for row in rows]


def check(version: FeederVersion, terms: Terms, agreed: Sequence[Terms], worst_hours: Iterable[int]) -> None:
    """Raise Conflict when the new terms and those agreed break a criterion together, all at their failsafe limits.

    `worst_hours`: the study hours in which the study found this site's own firm limits. Terms that rest at nothing add
    nothing: what is amiss without them is the agreements' own, and their certificate says it.
    """
    if not agreed or terms.failsafe == NOTHING:
        return
    sites = [[item.bus, list(item.phases), item.failsafe.import_w, item.failsafe.export_w] for item in (*agreed, terms)]
    available = int(version.description["hours"])
    count = min(HOURS, available)
    spread = [place * available // count for place in range(count)]
    worst = sorted({hour % available for hour in worst_hours})
    asked = {"sites": sites, "hours": [spread, worst] if worst else [spread]}
    found = CHILDREN.call(version.sha256, version.text, "together", asked, timeout_s=CALL_S)
    if not found["holds"]:
        raise Conflict(
            f"with the {len(agreed)} agreements on this feeder, all at their failsafe limits: {found['criterion']} at "
            f"{found['element']} ({found['side']}, hour {found['hour']})",
            where="failsafe",
            remedy="Lower this offer's firm and failsafe limits.",
        )
