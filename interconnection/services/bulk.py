"""One action on many applications: each is taken or refused by itself, and the work goes to the study queue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django_q.tasks import async_task

from derms.errors import Conflict, HeadroomError, InputError
from interconnection import states
from interconnection.models import Application, Offer
from interconnection.services import study_control

HOURS = {"quick": 288, "study": 8760}
ACTIONS = ("screen", *HOURS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one application: nothing when it was taken, else why not."""

    application: Application
    refusal: str


def act(applications: Iterable[Application], what: str, *, actor: str) -> list[Outcome]:
    """Queue screens ("screen"), quick looks ("quick") or studies of a whole year ("study"); raises InputError.

    An application in a state that does not allow the action is refused and left as it is; the others go on. So is one
    with an offer that stands: a new study would end it, and that is nothing to do by the dozen.
    """
    if what not in ACTIONS:
        raise InputError(f"unknown action {what!r}", where="what", remedy=" or ".join(ACTIONS))
    found = []
    for application in applications:
        try:
            if what == "screen":
                states.after("screen", application.state)
                async_task("interconnection.tasks.screen", application.pk, actor)
            else:
                _no_offer(application)
                study_control.order(application, HOURS[what], actor=actor, curtailment=True)
            found.append(Outcome(application, ""))
        except HeadroomError as error:
            found.append(Outcome(application, f"{error.what}. {error.remedy}".strip()))
    return found


def _no_offer(application: Application) -> None:
    if application.offers.filter(status__in=(Offer.PREPARED, Offer.OPEN)).exists():
        raise Conflict(
            "an offer stands, and a new study would end it", where="state",
            remedy="Order it on the application's own page, or take the offer back first.",
        )  # fmt: skip
