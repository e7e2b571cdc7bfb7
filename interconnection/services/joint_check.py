"""Before an offer is made: may it, all agreements and all offers that stand be at their firm limits together?

A study counts who is there in three cases, and only who is ahead. What all promise together is certified for every hour
before the control room publishes; here some hours are looked at, so that nobody signs what could never be certified. The
firm limits are looked at, not the failsafe ones below them: firm is what the envelope never goes under.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Q

from derms.agreement import Terms
from derms.errors import Conflict
from derms.limits import NOTHING
from derms.sandbox.warm_children import CHILDREN
from interconnection.models import Application, FeederVersion, Offer
from interconnection.states import COMMITTED

HOURS = 288
"""Spread over the year, beside the hours in which the study found its own limits."""
CALL_S = 120.0


def others(application: Application, conditional_on: Application | None = None) -> list[Offer]:
    """Return what holds or may be signed on the application's feeder beside it: agreements, offers open or prepared.

    Left out is who by contract is never connected together with it: the one it hangs on, and those that hang on it.
    """
    standing = Q(status=Offer.ACCEPTED, application__state__in=COMMITTED) | Q(status__in=(Offer.OPEN, Offer.PREPARED))
    rows = Offer.objects.filter(standing, application__feeder=application.feeder_id).exclude(application=application)
    rows = rows.exclude(conditional_on=application)
    if conditional_on is not None:
        rows = rows.exclude(application=conditional_on)
    return list(rows.order_by("pk"))


def check(version: FeederVersion, terms: Terms, standing: Sequence[Terms], worst_hours: Iterable[int]) -> None:
    """Raise Conflict when the new terms and those that stand break a criterion together, all at their firm limits.

    `worst_hours`: the study hours in which the study found this site's own firm limits. Terms without a firm part add
    nothing: what is amiss without them is the others' own, and their certificate says it.
    """
    if not standing or terms.firm == NOTHING:
        return
    sites = [[item.bus, list(item.phases), item.firm.import_w, item.firm.export_w] for item in (*standing, terms)]
    available = int(version.description["hours"])
    count = min(HOURS, available)
    spread = [place * available // count for place in range(count)]
    worst = sorted({hour % available for hour in worst_hours})
    asked = {"sites": sites, "hours": [spread, worst] if worst else [spread]}
    found = CHILDREN.call(version.sha256, version.text, "together", asked, timeout_s=CALL_S)
    if not found["holds"]:
        raise Conflict(
            f"with the {len(standing)} agreements and standing offers on this feeder, all at their firm limits: "
            f"{found['criterion']} at {found['element']} ({found['side']}, hour {found['hour']})",
            where="firm",
            remedy="Lower this offer's firm and failsafe limits, or take back an offer that stands.",
        )
