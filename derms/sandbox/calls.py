"""What a parent may ask of a confined child: one table of pure functions over a compiled circuit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from derms.grid.capacity import electrical_findings, study_hours
from derms.grid.certificate import certificate
from derms.grid.closing import closing
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.envelope import EnvelopeRequest, envelope
from derms.grid.ladder import ladder
from derms.grid.live import live_envelope
from derms.grid.one_less import one_less
from derms.grid.opendss import Circuit
from derms.grid.outlook import outlook
from derms.grid.picture import picture
from derms.grid.plant import head_profile, participants, plant_step
from derms.grid.study_request import StudyRequest
from derms.grid.switching_states import SwitchingState, text_of_state
from derms.grid.together import together
from derms.grid.what_if import what_if
from derms.sandbox.capacity_map import capacity_map

Report = Callable[[int, int], None]
Call = Callable[[Circuit, dict[str, Any], Report], dict[str, Any]]


def _describe(circuit: Circuit, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Buses, rated elements, electrical findings, and what the first hour breaks already."""
    base = circuit.settle(0)
    criteria = Criteria(circuit, CriteriaSettings())
    broken = [list(item) for item in criteria.violations(base)]
    return {
        "name": circuit.name,
        "hours": circuit.hours,
        "nodes": len(circuit.nodes),
        "head_kw": round(base.head_w / 1000.0, 3),
        "losses_kw": round(base.losses_w / 1000.0, 3),
        "buses": [
            [bus.name, list(bus.phases), round(bus.base_v, 3), bus.x, bus.y, round(bus.distance_km, 4)]
            for bus in circuit.buses.values()
        ],
        "elements": [
            [item.name, item.kind, item.normal_amps, item.rating_origin, item.bus1, item.bus2, item.phases]
            for item in circuit.elements
        ],
        "findings": list(electrical_findings(circuit)),
        "violations": broken,
    }


def _study_hours(circuit: Circuit, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Some hours of a study."""
    request = StudyRequest.from_dict(arguments["request"])
    return study_hours(circuit, request, arguments["hours"], progress=report).to_dict()


def _closing(circuit: Circuit, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """What a study looks at once, at the hours that bind."""
    return closing(circuit, StudyRequest.from_dict(arguments["request"]), arguments["worst"])


def _state_text(circuit: Circuit, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """A model's text in a switching state, and the buses without supply in it."""
    found = text_of_state(arguments["text"], SwitchingState.from_dict(arguments["state"]))
    return {"text": found.text, "dead_buses": list(found.dead_buses)}


def _one_less(circuit: Circuit, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """The states with one element less, and how many more there are."""
    states, more = one_less(circuit, [(str(one), str(two)) for one, two in arguments["ties"]], int(arguments["most"]))
    return {"states": [state.to_dict() for state in states], "more": more}


def _findings(circuit: Circuit, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"findings": list(electrical_findings(circuit))}


def _envelope(circuit: Circuit, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """What several sites may do together now."""
    return envelope(circuit, EnvelopeRequest.from_dict(arguments)).to_dict()


CALLS: dict[str, Call] = {
    "describe": _describe,
    "study_hours": _study_hours,
    "findings": _findings,
    "closing": _closing,
    "state_text": _state_text,
    "one_less": _one_less,
    "envelope": _envelope,
    "plant": lambda circuit, arguments, report: plant_step(circuit, arguments),
    "live_envelope": lambda circuit, arguments, report: live_envelope(circuit, arguments),
    "outlook": outlook,
    "islands": lambda circuit, arguments, report: {"islands": list(circuit.islands)},
    "participants": lambda circuit, arguments, report: participants(circuit, arguments),
    "certificate": certificate,
    "together": lambda circuit, arguments, report: together(circuit, arguments),
    "capacity_map": capacity_map,
    "ladder": ladder,
    "picture": picture,
    "what_if": lambda circuit, arguments, report: what_if(circuit, arguments),
    "head_profile": lambda circuit, arguments, report: head_profile(circuit, arguments),
}
