"""Applications: filed, moved from state to state, never lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import transaction

from derms.errors import Conflict, InputError, NotFound
from derms.units import watts
from interconnection import states
from interconnection.models import PROTOCOLS, Application, Event, Feeder


@dataclass(frozen=True, slots=True)
class Request:
    """What an applicant asks for; watts, watt-hours a day."""

    name: str
    feeder: str
    bus: str
    phases: str
    import_w: int
    export_w: int
    charger_model: str
    charger_count: int
    charger_import_w: int
    charger_export_w: int
    need_wh_per_day: int
    wanted: date
    protocol: str = "dnp3"


def file_application(request: Request, *, applicant: Any) -> Application:
    """Store a draft; raises InputError with the field and the remedy, and then nothing is stored."""
    feeder = Feeder.objects.filter(name=request.feeder).first()
    if feeder is None:
        raise NotFound(f"no feeder is named {request.feeder!r}", where="feeder", remedy="Choose one of the list.")
    _check(request, feeder)
    with transaction.atomic():
        application = Application.objects.create(
            applicant=applicant, feeder=feeder, **{k: getattr(request, k) for k in _FIELDS}
        )
        Event.objects.create(application=application, actor=str(applicant), action="file", after=_facts(application))
    return application


_FIELDS = (
    "name", "bus", "phases", "import_w", "export_w", "charger_model", "charger_count", "charger_import_w",
    "charger_export_w", "need_wh_per_day", "wanted", "protocol",
)  # fmt: skip


def _check(request: Request, feeder: Feeder) -> None:
    if not request.name.strip():
        raise InputError("the application has no name", where="name", remedy="Name the site.")
    if request.charger_count < 1:
        raise InputError("there is no charger", where="charger_count", remedy="At least one.")
    for side in ("import", "export"):
        asked = watts(getattr(request, f"{side}_w"), where=f"{side}_kw")
        nameplate = request.charger_count * watts(getattr(request, f"charger_{side}_w"), where=f"charger_{side}_kw")
        if asked > nameplate:
            raise InputError(
                f"{side} of {asked / 1000:g} kW is above the chargers' nameplates of {nameplate / 1000:g} kW",
                where=f"{side}_kw",
                remedy="Ask for at most the sum of the nameplates, or add chargers.",
            )
    if request.import_w == 0 and request.export_w == 0:
        raise InputError("nothing is asked for", where="import_kw", remedy="Ask for import, export or both.")
    known = [name for name, _ in PROTOCOLS]
    if request.protocol not in known:
        raise InputError(f"unknown protocol {request.protocol!r}", where="protocol", remedy=" or ".join(known))
    if not date(2020, 1, 1) <= request.wanted <= date(2100, 12, 31):
        raise InputError("the date is not in 2020..2100", where="wanted")
    _check_bus(request, feeder)


def _check_bus(request: Request, feeder: Feeder) -> None:
    version = feeder.versions.first()
    assert version is not None, "a feeder is stored together with its first version"
    buses = {bus[0]: bus[1] for bus in version.description["buses"]}
    if request.bus.lower() not in buses:
        near = [name for name in buses if request.bus.lower() in name][:5]
        raise InputError(
            f"feeder {feeder.name} has no bus {request.bus!r}",
            where="bus",
            remedy=f"Near it: {', '.join(near)}." if near else "The feeder's page lists its buses.",
        )
    if not request.phases or set(request.phases) - set("123") or len(set(request.phases)) != len(request.phases):
        raise InputError(f"{request.phases!r} are no phases", where="phases", remedy="For example 123, or 2.")
    has = buses[request.bus.lower()]
    missing = [phase for phase in request.phases if int(phase) not in has]
    if missing:
        raise InputError(
            f"bus {request.bus} has phases {''.join(map(str, has))}, not {''.join(missing)}",
            where="phases",
            remedy="Ask for phases that it has, or for another bus.",
        )


def move(application: Application, action: str, *, actor: str, **details: Any) -> Application:
    """Take an action; of two who try at once, one wins and the other gets Conflict."""
    target = states.after(action, application.state)
    with transaction.atomic():
        changed = Application.objects.filter(pk=application.pk, state=application.state).update(state=target)
        if not changed:
            raise Conflict("somebody else changed this application just now", where="state", remedy="Look at it again.")
        Event.objects.create(
            application=application,
            actor=actor,
            action=action,
            before={"state": application.state},
            after={"state": target, **details},
        )
    application.state = target
    return application


def _facts(application: Application) -> dict[str, Any]:
    return {name: str(getattr(application, name)) for name in _FIELDS} | {"state": application.state}
