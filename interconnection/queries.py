"""The only readers of the planning desk. Who asks is an argument that no query can forget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Q, QuerySet

from derms.agreement import Terms
from derms.errors import NotFound
from derms.grid.capacity import SLICE_HOURS
from interconnection import states
from interconnection.accounts.territories import in_territory
from interconnection.models import Agreement, Application, Feeder, Study
from interconnection.roles import sees_all
from interconnection.study_models import EngineHealth
from interconnection.study_page import without_others

MOST_IN_HAND = 50


def applications(user: Any) -> QuerySet[Application]:
    """Return the applications that a user may see: all for the utility's people, their own for applicants."""
    rows = Application.objects.select_related("feeder", "applicant")
    return rows.filter(in_territory(user, "feeder")) if sees_all(user) else rows.filter(applicant=user)


def application(user: Any, number: int) -> Application:
    """Return one application; another's answers exactly as a missing one."""
    found = applications(user).filter(pk=number).first()
    if found is None:
        raise NotFound(f"there is no application {number}", where="application", remedy="Check the number.")
    return found


def study(user: Any, number: int) -> Study:
    """Return one study of an application that the user may see."""
    rows = Study.objects.select_related("application", "version__feeder")
    own = in_territory(user, "version__feeder") if sees_all(user) else Q(application__applicant=user)
    found = rows.filter(own, pk=number).first()
    if found is None:
        raise NotFound(f"there is no study {number}", where="study", remedy="Check the number.")
    return found


def answer(user: Any, row: Study) -> dict[str, Any] | None:
    """Return a finished study's answer as this user may read it, else None: an applicant learns nothing of others."""
    if row.status != Study.DONE:
        return None
    found: dict[str, Any] = json.loads(row.result)
    return found if sees_all(user) else without_others(found)


def feeders() -> QuerySet[Feeder]:
    """Return all feeders with their versions."""
    return Feeder.objects.prefetch_related("versions").order_by("name")


def feeder(name: str) -> Feeder:
    """Return a feeder by name."""
    found = feeders().filter(name=name).first()
    if found is None:
        raise NotFound(f"no feeder is named {name!r}", where="feeder", remedy="The list shows all.")
    return found


def agreements_in_force(on: date, feeder_name: str | None = None) -> list[Terms]:
    """Return the terms that the control room must obey on a day, in order of acceptance."""
    over = (states.ENDED, states.WITHDRAWN)
    rows = Agreement.objects.exclude(offer__application__state__in=over).order_by("accepted", "pk")
    if feeder_name is not None:
        rows = rows.filter(offer__application__feeder__name=feeder_name)
    found = [row.terms for row in rows]
    return [terms for terms in found if terms.starts <= on and (terms.ends is None or on < terms.ends)]


def permitted_sites(sites: list[str]) -> set[str]:
    """Return which of these sites may be operated: their commissioning test passed, and nobody suspended them."""
    rows = Agreement.objects.filter(site__in=sites, offer__application__state=states.PERMITTED)
    return set(rows.values_list("site", flat=True))


def studies(user: Any) -> QuerySet[Study]:
    """Return the studies that a user may see, newest first, without the bulk of their answers."""
    rows = Study.objects.select_related("application", "version__feeder").defer("result", "version__text")
    own = in_territory(user, "version__feeder") if sees_all(user) else Q(application__applicant=user)
    return rows.filter(own)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is: hours, hours a second, seconds left (None while unknown), and each slice's state."""

    done: int
    total: int
    rate: float | None
    left_s: float | None
    slices: list[str]

    @property
    def percent(self) -> int:
        """Return the share done, whole percent, rounded down."""
        return 100 * self.done // max(1, self.total)


def progress(row: Study, now: datetime) -> Progress:
    """Return a study's progress at a time; the rate counts only what this run has done, not what it found done."""
    parts = list(row.slices.values_list("first_hour", "hours", "created"))
    found_done = sum(hours for _, hours, created in parts if row.started and created < row.started)
    seconds = (now - row.started).total_seconds() if row.started and row.status == Study.RUNNING else 0.0
    fresh = row.done_hours - found_done
    rate = fresh / seconds if seconds > 0 and fresh > 0 else None
    finished = {first for first, _, _ in parts}
    starts = row.request["hours"][::SLICE_HOURS]
    states = ["done" if row.status == Study.DONE or first in finished else "waiting" for first in starts]
    return Progress(
        row.done_hours, row.total_hours, rate, (row.total_hours - row.done_hours) / rate if rate else None, states
    )


@dataclass(frozen=True, slots=True)
class InHand:
    """A study that waits or runs, how far it is, and how many wait before it (0: it runs, or is the next)."""

    study: Study
    progress: Progress
    before: int


def studies_in_hand(user: Any, now: datetime) -> list[InHand]:
    """Return the running studies and those that wait, in the order in which they are taken.

    A study counts those before it of all applicants, without showing them.
    """
    waiting = list(Study.objects.filter(status=Study.QUEUED).order_by("pk").values_list("pk", flat=True))
    rows = studies(user).filter(status__in=(Study.RUNNING, Study.QUEUED)).order_by("-status", "pk")
    return [
        InHand(row, progress(row, now), waiting.index(row.pk) if row.pk in waiting else 0) for row in rows[:MOST_IN_HAND]
    ]


def engine_health() -> EngineHealth | None:
    """Return the last stored validation of the engine; None where none was stored."""
    return EngineHealth.objects.first()
