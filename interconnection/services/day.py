"""What a new day brings: offers that nobody accepted in time lapse, agreements end on their day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from derms.errors import HeadroomError
from interconnection import states
from interconnection.models import Agreement, Offer
from interconnection.services import clocks
from interconnection.services.applications import move
from interconnection.services.offers import take_back

ACTOR = "the calendar"


@dataclass(frozen=True, slots=True)
class Day:
    """What was done, by reference, and what went wrong (one case never stops the others)."""

    lapsed: list[str]
    ended: list[str]
    overdue: list[str]
    failed: list[str]


def turn(now: datetime) -> Day:
    """Do what the day asks for; safe to run again and again."""
    today, done = clocks.local_day(now), Day([], [], [], [])
    late = Offer.objects.filter(status__in=(Offer.OPEN, Offer.PREPARED), valid_until__lt=today)
    for offer in late.select_related("application"):
        try:
            take_back(offer, by=ACTOR, reason=f"not accepted by {offer.valid_until}")
            done.lapsed.append(offer.application.reference)
        except HeadroomError as error:
            done.failed.append(f"{offer.application.reference}: {error}")
    rows = Agreement.objects.filter(offer__application__state__in=states.COMMITTED).select_related("offer__application")
    for agreement in rows:
        application = agreement.offer.application
        try:
            ends = agreement.terms.ends
            if ends is not None and ends <= today:
                move(application, "end", actor=ACTOR, reason=f"the agreement's last day was before {ends}")
                done.ended.append(application.reference)
        except HeadroomError as error:
            done.failed.append(f"{application.reference}: {error}")
    done.overdue.extend(f"{run.application.reference}: {run.title}, due {run.due}" for run in clocks.overdue(now=now))
    return done
