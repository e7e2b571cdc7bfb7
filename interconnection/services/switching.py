"""Tables of limits for each switching state of a feeder, ready before the switch is thrown; each state's certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction

from derms.errors import Conflict, InputError, NotFound
from derms.grid.one_less import MOST
from derms.grid.study_request import StudyRequest
from derms.grid.switching_states import NORMAL, SwitchingState, month_hour_table, month_of
from derms.limits import NOTHING, Limit
from derms.sandbox.feeder_process import FeederProcess
from derms.sandbox.study_pool import run_study
from interconnection.models import FeederVersion
from interconnection.study_models import StateTable

CERTIFICATE_S = 3600.0


def tables(
    version: FeederVersion, states: Sequence[SwitchingState], request: StudyRequest, *, workers: int | None = None,
    certify: bool = True,
) -> list[StateTable]:  # fmt: skip
    """Study one site in the normal state and in each declared one, store and return the tables.

    A state in which the site has no supply gets limits of nothing and says so. `failsafe_kw` is the least firm limit over
    the states with supply; each such state's certificate is that every site of the request may be at it, in every hour.
    Raises what a study raises, InputError for two states of one name, Conflict for a name that stands for another state.
    """
    named = [state for state in states if state.name != NORMAL]
    if len({state.name for state in named}) != len(named):
        raise InputError("two states have one name", where="states")
    _one_meaning(version, named)
    found: dict[str, dict[str, Any]] = {}
    texts: dict[str, str] = {}
    for state in [SwitchingState(NORMAL), *named]:
        texts[state.name], dead = _text(version, state)
        lives = request.bus.lower() not in dead
        found[state.name] = {"state": state.to_dict(), "dead_buses": len(dead), "supplied": lives}
        if found[state.name]["supplied"]:
            found[state.name] |= _studied(texts[state.name], version.sha256, _of_state(request, state), workers)
        else:
            found[state.name] |= {"firm_w": {"import": 0, "export": 0}}
    supplied = [document for document in found.values() if document["supplied"]]
    failsafe = {side: min(document["firm_w"][side] for document in supplied) for side in ("import", "export")}
    for name, document in found.items():
        document["failsafe_kw"] = {side: watts // 100 / 10 for side, watts in failsafe.items()}
        if certify and document["supplied"]:
            document["certificate"] = _certificate(texts[name], request, failsafe)
    with transaction.atomic():
        FeederVersion.objects.select_for_update().get(pk=version.pk)  # another desk may have used a name meanwhile
        _one_meaning(version, named)
        return [_stored(version, request, name, document) for name, document in found.items()]


def _one_meaning(version: FeederVersion, states: Sequence[SwitchingState]) -> None:
    """All tables of one name are of one state: its elements, ties and ratings; else Conflict."""
    meant = {state.name: state.sha256() for state in states}
    for row in StateTable.objects.filter(version=version, state__in=meant):
        if SwitchingState.from_dict(row.document["state"]).sha256() != meant[row.state]:
            raise Conflict(
                f"tables are stored under {row.state!r} for other elements, ties or ratings", where="states",
                remedy="Give this state another name.",
            )  # fmt: skip


def generated(
    version: FeederVersion, ties: Sequence[tuple[str, str]] = (), *, most: int = MOST
) -> tuple[list[SwitchingState], int]:
    """Return the feeder's states with one element less (see `derms.grid.one_less`), and how many more there are."""
    with FeederProcess(version.text) as feeder:
        raw = feeder.call("one_less", {"ties": [list(pair) for pair in ties], "most": most})
    return [SwitchingState.from_dict(item) for item in raw["states"]], int(raw["more"])


def known_states(version: FeederVersion) -> dict[str, SwitchingState]:
    """Return the states of which tables are stored for a model, by name; without the normal one."""
    rows = StateTable.objects.filter(version=version).exclude(state=NORMAL).order_by("state", "pk")
    return {row.state: SwitchingState.from_dict(row.document["state"]) for row in rows}


def hourly_ceiling(version: FeederVersion, state: str, bus: str, phases: str, hours: Sequence[int]) -> Limit | None:
    """Return what a state's stored table leaves a place in the month and hour of each of these study hours.

    None: no table, or no value for one of them. A place without supply has nothing.
    """
    row = StateTable.objects.filter(version=version, state=state, bus=bus.lower(), phases=phases).first()
    if row is None:
        return None
    if not row.document["supplied"]:
        return NOTHING
    table, places = row.document["table"], [(month_of(hour), hour % 24) for hour in hours]
    kw = {side: [table[f"{side}_kw"][month][hour] for month, hour in places] for side in ("import", "export")}
    if None in kw["import"] or None in kw["export"]:
        return None
    return Limit(int(min(kw["import"]) * 1000), int(min(kw["export"]) * 1000))


def limits_in_state(version: FeederVersion, state: str, bus: str, phases: str) -> dict[str, Any]:
    """Return the stored table of a state and place; raises NotFound: then nothing but the failsafe is known."""
    row = StateTable.objects.filter(version=version, state=state, bus=bus.lower(), phases=phases).first()
    if row is None:
        raise NotFound(f"no table is stored for state {state!r} at bus {bus}", where="state", remedy="manage.py switching")
    return dict(row.document)


def _text(version: FeederVersion, state: SwitchingState) -> tuple[str, list[str]]:
    if state.name == NORMAL:
        return version.text, []
    with FeederProcess(version.text) as feeder:
        raw = feeder.call("state_text", {"text": version.text, "state": state.to_dict()})
    return str(raw["text"]), list(raw["dead_buses"])


def _of_state(request: StudyRequest, state: SwitchingState) -> StudyRequest:
    if state.thermal_pu is None:
        return request
    return replace(request, criteria=replace(request.criteria, thermal_pu=state.thermal_pu))


def _studied(text: str, sha256: str, request: StudyRequest, workers: int | None) -> dict[str, Any]:
    result = run_study(text, sha256, request, workers=workers)
    return {
        "firm_w": {"import": result.firm.import_w, "export": result.firm.export_w},
        "flexible_kw": {
            "import": result.flexible.import_w // 100 / 10, "export": result.flexible.export_w // 100 / 10,
        },
        "binding": {side: result.binding(side) for side in ("import", "export")},
        "table": month_hour_table(result),
        "violations": len(result.violations),
        "engine": result.engine,
    }  # fmt: skip


def _certificate(text: str, request: StudyRequest, failsafe: dict[str, int]) -> dict[str, Any]:
    """Check every hour of the state with the site at its failsafe limits, each way."""
    site = [request.bus, list(request.phases), failsafe["import"], failsafe["export"]]
    with FeederProcess(text) as feeder:
        power = max(request.import_w, request.export_w)
        elements = feeder.call("participants", {"sites": [[request.bus, list(request.phases), power]]})["elements"]
        return feeder.call(
            "certificate",
            {"sites": [site], "elements": elements, "criteria": request.criteria.to_dict()}, timeout_s=CERTIFICATE_S,
        )  # fmt: skip


def _stored(version: FeederVersion, request: StudyRequest, name: str, document: dict[str, Any]) -> StateTable:
    row, _ = StateTable.objects.update_or_create(
        version=version, state=name, bus=request.bus.lower(), phases="".join(map(str, request.phases)),
        defaults={"document": document},
    )  # fmt: skip
    return row
