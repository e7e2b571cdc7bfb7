"""The queue of each constraint: who stands where, what a withdrawal frees, when a study no longer holds. Reads only.

There is no one line: an application waits on each element that limits it, behind those that were complete before it and
use the same element on the same side. One watt at a site counts as one watt at the element: exact enough for a thermal
element on a radial feeder, a bound for voltages; the restudy that follows a withdrawal gives the true figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from derms.limits import Limit
from interconnection import states
from interconnection.models import Agreement, Application, Constraint, Offer, Study


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one constraint's queue."""

    constraint: Constraint
    position: int
    of: int
    ahead: list[Application]
    behind: list[Application]


@dataclass(frozen=True, slots=True)
class Freed:
    """What a withdrawal frees on one element, and who moves up: each with what it misses there and what it could get."""

    side: str
    criterion: str
    element: str
    freed_w: int
    moves_up: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A reason to study again; `what` names whom it concerns, `public` is what the applicant may read."""

    kind: str
    what: str
    since: Any

    @property
    def public(self) -> str:
        """Return the reason without another applicant's name."""
        return self.what if self.kind in ("model", "request") else "another application on this feeder left or was agreed"


def newest_study(application: Application) -> Study | None:
    """Return the newest finished study."""
    return application.studies.filter(status=Study.DONE).order_by("-finished", "-pk").first()


def live(feeder_id: int) -> QuerySet[Application]:
    """Return the feeder's applications that hold a place or capacity, in order."""
    return (
        Application.objects.filter(feeder_id=feeder_id, completed__isnull=False)
        .filter(state__in=(*states.QUEUED, *states.COMMITTED))
        .order_by("completed", "pk")
    )


def earlier(application: Application) -> QuerySet[Application]:
    """Return who is ahead on the same feeder: agreements, and what was complete before; one not complete is behind all."""
    rows = live(application.feeder_id).exclude(pk=application.pk)
    committed = Q(state__in=states.COMMITTED)
    if application.completed is None or application.state in states.COMMITTED:
        return rows if application.completed is None else rows.filter(committed, completed__lt=application.completed)
    before = Q(completed__lt=application.completed) | Q(completed=application.completed, pk__lt=application.pk)
    return rows.filter(committed | before)


def ahead_w(application: Application) -> Limit:
    """Return the power that is ahead on the feeder: an agreement at its firm limits, one in the queue at what it asks."""
    rows = list(earlier(application))
    firm = {
        row["application_id"]: row
        for row in Offer.objects.filter(application__in=rows, status=Offer.ACCEPTED).values(
            "application_id", "firm_import_w", "firm_export_w"
        )
    }
    imports = exports = 0
    for row in rows:
        agreed = firm.get(row.pk) if row.state in states.COMMITTED else None
        imports += agreed["firm_import_w"] if agreed else row.import_w
        exports += agreed["firm_export_w"] if agreed else row.export_w
    return Limit(imports, exports)


def positions(application: Application) -> list[Position]:
    """Return the application's place on each constraint of its newest study."""
    study = newest_study(application)
    if study is None:
        return []
    mine = list(study.constraints.all())
    order = [row.pk for row in live(application.feeder_id)]
    by_key = _constraints_by_key(application.feeder_id, mine)
    found = []
    for row in mine:
        here = by_key[row.element, row.side]
        people = {item.application_id: item.application for item in here} | {application.pk: application}
        line = [people[key] for key in order if key in people]
        if application not in line:
            line.append(application)
        place = line.index(application)
        found.append(Position(row, place + 1, len(line), line[:place], line[place + 1 :]))
    return found


def effect_of_withdrawal(application: Application) -> list[Freed]:
    """Return what each element gets back if the application goes, and who behind it could use it, in their order."""
    found = []
    for place in positions(application):
        row = place.constraint
        freed = row.asked_w if application.state not in states.COMMITTED else row.least_w
        left, moves = freed, []
        rows = {
            item.application_id: item for item in _constraints_by_key(application.feeder_id, [row])[row.element, row.side]
        }
        for other in place.behind:
            theirs = rows[other.pk]
            gets = min(left, theirs.missing_w)
            left -= gets
            moves.append({"application": other, "missing_w": theirs.missing_w, "could_get_w": gets})
        found.append(Freed(row.side, row.criterion, row.element, freed, moves))
    return found


def _constraints_by_key(feeder_id: int, mine: Sequence[Constraint]) -> dict[tuple[str, str], list[Constraint]]:
    """Return the constraints of everybody's newest study on the elements of `mine`."""
    rows = (
        Constraint.objects.filter(feeder_id=feeder_id, element__in={row.element for row in mine})
        .filter(application__state__in=(*states.QUEUED, *states.COMMITTED))
        .select_related("application")
        .order_by("-study__finished", "-study_id")
    )
    newest: dict[int, int] = {}
    found: dict[tuple[str, str], list[Constraint]] = {(row.element, row.side): [] for row in mine}
    for row in rows:
        if newest.setdefault(row.application_id, row.study_id) != row.study_id or (row.element, row.side) not in found:
            continue
        if row.application_id not in [item.application_id for item in found[row.element, row.side]]:
            found[row.element, row.side].append(row)
    return found


def restudy_triggers(application: Application) -> list[Trigger]:
    """Return why the newest study no longer holds: model, request, somebody ahead who went or came; none: it holds.

    Who is there was written down when the study was ordered: what changed while it ran is a reason too.
    """
    study = newest_study(application)
    if study is None:
        return []
    found = []
    newest = application.feeder.versions.first()
    if newest is not None and newest.pk != study.version_id:
        found.append(Trigger("model", f"the feeder's model changed ({newest.sha256[:12]})", newest.created))
    request = study.request
    if (request["import_w"], request["export_w"], request["bus"]) != (
        application.import_w, application.export_w, application.bus.lower(),
    ):  # fmt: skip
        found.append(Trigger("request", "the application asks for something else than was studied", application.changed))
    elements = {row.element for row in study.constraints.all()}
    others = Application.objects.filter(feeder_id=application.feeder_id).exclude(pk=application.pk)
    gone = others.filter(state__in=states.FINAL, changed__gt=study.created, completed__isnull=False)
    if application.completed is not None:
        gone = gone.filter(completed__lt=application.completed)
    for other in gone:
        shared = elements & set(other.constraints.values_list("element", flat=True))
        if shared:
            found.append(
                Trigger("withdrawal", f"{other.reference} ahead of it left {', '.join(sorted(shared))}", other.changed)
            )
    signed = Agreement.objects.filter(
        offer__application__in=others, accepted__gt=study.created, offer__application__state__in=states.COMMITTED
    ).select_related("offer__application")
    found += [
        Trigger("agreement", f"{item.offer.application.reference} was agreed after the study", item.accepted)
        for item in signed
    ]
    return found


def board(feeder_id: int) -> list[dict[str, Any]]:
    """Return every constraint of a feeder with its line: element, side, and who waits in which order."""
    order = {row.pk: place for place, row in enumerate(live(feeder_id))}
    rows = (
        Constraint.objects.filter(feeder_id=feeder_id, application__in=list(order))
        .select_related("application")
        .order_by("-study__finished", "-study_id")
    )
    newest: dict[int, int] = {}
    lines: dict[tuple[str, str, str], list[Constraint]] = {}
    for row in rows:
        if newest.setdefault(row.application_id, row.study_id) == row.study_id:
            lines.setdefault((row.element, row.side, row.criterion), []).append(row)
    return [
        {
            "element": element, "side": side, "criterion": criterion,
            "line": sorted(line, key=lambda row: order[row.application_id]),
            "missing_w": sum(row.missing_w for row in line),
        }
        for (element, side, criterion), line in sorted(lines.items(), key=lambda item: (-len(item[1]), item[0]))
    ]  # fmt: skip
