"""Applications: filed, amended, found complete, moved from state to state, never lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from derms.errors import Conflict, InputError, NotFound
from interconnection import completeness, request, roles, rule_packs, states
from interconnection.models import Application, ApplicationVersion, Certificate, Feeder
from interconnection.packs import folders
from interconnection.request import Request
from interconnection.services import clocks
from interconnection.services.audit import record

__all__ = ["Request", "act", "amend", "current_request", "deem_complete", "file_application", "find_gaps", "move", "submit"]


def file_application(wanted: Request, *, applicant: Any) -> Application:
    """Store a draft; raises InputError with the field and the remedy, and then nothing is stored."""
    feeder = _feeder(wanted)
    with transaction.atomic():
        application = Application.objects.create(applicant=applicant, feeder=feeder, **_columns(wanted))
        _version(application, wanted, applicant, "filed")
        record(
            "file", actor=str(applicant), application=application, after=wanted.document() | {"state": application.state}
        )
    return application


def current_request(application: Application) -> Request:
    """Return what an application asks for now."""
    return Request(feeder=application.feeder.name, **{name: getattr(application, name) for name in request.STORED})


def amend(
    application: Application, wanted: Request, *, by: Any, cause: str = "", now: datetime | None = None
) -> Application:
    """Store a new version; a material change after completeness sends the application back and its place is lost.

    Raises Conflict once an offer has been accepted or the application is over, InputError as for filing.
    """
    before = current_request(application)
    changes = request.differences(before.document(), wanted.document())
    if not changes:
        raise InputError("nothing differs from the present version", where="document")
    if application.state not in (states.DRAFT, states.SUBMITTED, *states.QUEUED):
        raise Conflict(
            f"an application in state '{application.state}' is not amended", where="state", remedy="File a new one."
        )
    feeder = _feeder(wanted)
    moved = request.material(before, wanted) if application.state in states.QUEUED else []
    with transaction.atomic():
        if moved:
            # Whatever was open rests on a study of another request.
            application.offers.filter(status__in=("prepared", "open")).update(status="superseded")
            move(application, "modify", actor=str(by), fields=moved)
        changed = Application.objects.filter(pk=application.pk, state=application.state).update(
            feeder=feeder, changed=now or timezone.now(), **_columns(wanted), **({"completed": None} if moved else {})
        )
        if not changed:
            raise Conflict("somebody else changed this application just now", where="state", remedy="Look at it again.")
        application.refresh_from_db()
        _version(application, wanted, by, cause or "amended")
        record(
            "amend",
            actor=str(by),
            application=application,
            before={change.field: change.before for change in changes},
            after={change.field: change.after for change in changes},
        )
    return application


def find_gaps(application: Application, *, now: datetime | None = None) -> list[completeness.Gap]:
    """Return what the application lacks under its rule pack; a query, nothing is stored."""
    today = timezone.localdate(now)
    asks = rule_packs.pack(application.rule_pack, folders()).completeness
    listings = Certificate.objects.filter(listing__in=[row.get("listing", "") for row in application.certificates])
    makes = {application.charger_make.strip().lower(), application.vehicle_model.split(" ")[0].lower()}
    known = completeness.Known(
        [
            completeness.Listing(row.standard, row.listing, row.model, row.expires)
            for row in listings
            if row.make.lower() in makes
        ],
        asks.standards,
        asks.documents,
        today,
    )
    return completeness.gaps(current_request(application), asks.required, known)


def submit(application: Application, *, actor: str, now: datetime | None = None) -> Application:
    """Hand a draft in, and find it complete at once when nothing is missing; else it stays submitted and the gaps stand."""
    with transaction.atomic():
        if application.state == states.DRAFT:
            move(application, "submit", actor=actor)
        missing = find_gaps(application, now=now)
        if missing:
            record("gaps", actor="completeness", application=application, after={"gaps": [asdict(gap) for gap in missing]})
            return application
        return _complete(application, actor="completeness", now=now)


def deem_complete(
    application: Application, *, by: Any, waived: Sequence[str] = (), reason: str = "", now: datetime | None = None
) -> Application:
    """Find an application complete; each gap must be closed, or waived by name (requirement) with a reason.

    Raises Conflict that names the first gap that is neither.
    """
    missing = find_gaps(application, now=now)
    open_gaps = [gap for gap in missing if gap.requirement not in waived]
    if open_gaps:
        gap = open_gaps[0]
        raise Conflict(f"not complete: {gap.what}", where=gap.where, remedy=gap.remedy)
    if missing and not reason.strip():
        raise InputError("a waiver needs a reason", where="reason", remedy="Say why the gap may stay open.")
    with transaction.atomic():
        return _complete(
            application, actor=str(by), now=now, waived=sorted({gap.requirement for gap in missing}), reason=reason
        )


def _complete(application: Application, *, actor: str, now: datetime | None, **details: Any) -> Application:
    moment = now or timezone.now()
    move(application, "complete", actor=actor, completed=moment.isoformat(), **details)
    Application.objects.filter(pk=application.pk).update(completed=moment)
    application.completed = moment
    return application


def move(application: Application, action: str, *, actor: str, **details: Any) -> Application:
    """Take an action; of two who try at once, one wins and the other gets Conflict."""
    target = states.after(action, application.state)
    moment = timezone.now()
    with transaction.atomic():
        changed = Application.objects.filter(pk=application.pk, state=application.state).update(
            state=target, changed=moment
        )
        if not changed:
            raise Conflict("somebody else changed this application just now", where="state", remedy="Look at it again.")
        before = {"state": application.state}
        record(action, actor=actor, application=application, before=before, after={"state": target, **details})
        clocks.follow(application, action, target, now=moment)
    application.state = target
    return application


PLAIN = ("withdraw", "commission", "suspend", "end")
"""Actions that need nothing but a reason; the others have a service of their own."""


def act(application: Application, action: str, *, by: Any, reason: str = "") -> Application:
    """Take a plain action as a person: role and ownership are checked here; suspending and ending need a reason.

    Raises InputError for an action with its own service or without its reason, Conflict for the wrong state or role.
    """
    if action not in PLAIN:
        raise InputError(f"{action!r} is not taken this way", where="action", remedy=" or ".join(PLAIN))
    may(application, action, by)
    if action in ("suspend", "end") and not reason.strip():
        raise InputError(f"to {action} needs a reason", where="reason", remedy="Say why: it stands in the history.")
    with transaction.atomic():
        if action == "withdraw":
            application.offers.filter(status__in=("prepared", "open")).update(status="superseded")
        return move(application, action, actor=str(by), reason=reason)


def may(application: Application, action: str, by: Any) -> None:
    """Raise Conflict unless the table gives this action to one of the person's roles (an applicant: on their own)."""
    held = set(roles.roles(by))
    if application.applicant_id != by.pk:
        held.discard(roles.APPLICANT)
    wanted = states.BY_ACTION[action].roles
    if not held & set(wanted):
        raise Conflict(f"your role does not allow '{action}'", where="role", remedy=f"Needs {' or '.join(wanted)}.")


def _feeder(wanted: Request) -> Feeder:
    feeder = Feeder.objects.filter(name=wanted.feeder).first()
    if feeder is None:
        raise NotFound(f"no feeder is named {wanted.feeder!r}", where="feeder", remedy="Choose one of the list.")
    request.check(wanted)
    rule_packs.pack(wanted.rule_pack, folders())
    _check_bus(wanted, feeder)
    return feeder


def _columns(wanted: Request) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in request.STORED}


def _version(application: Application, wanted: Request, by: Any, cause: str) -> None:
    number = application.versions.count() + 1
    ApplicationVersion.objects.create(
        application=application, number=number, document=wanted.document(), made_by=by, cause=cause[:200]
    )


def _check_bus(wanted: Request, feeder: Feeder) -> None:
    version = feeder.versions.first()
    assert version is not None, "a feeder is stored together with its first version"
    buses = {bus[0]: bus[1] for bus in version.description["buses"]}
    if wanted.bus.lower() not in buses:
        near = [name for name in buses if wanted.bus.lower() in name][:5]
        raise InputError(
            f"feeder {feeder.name} has no bus {wanted.bus!r}",
            where="bus",
            remedy=f"Near it: {', '.join(near)}." if near else "The feeder's page lists its buses.",
        )
    if not wanted.phases or set(wanted.phases) - set("123") or len(set(wanted.phases)) != len(wanted.phases):
        raise InputError(f"{wanted.phases!r} are no phases", where="phases", remedy="For example 123, or 2.")
    has = buses[wanted.bus.lower()]
    missing = [phase for phase in wanted.phases if int(phase) not in has]
    if missing:
        raise InputError(
            f"bus {wanted.bus} has phases {''.join(map(str, has))}, not {''.join(missing)}",
            where="phases",
            remedy="Ask for phases that it has, or for another bus.",
        )
