"""What a study looks at once, at the hours that bind: regulator modes, the trip of a settled site, protection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from derms.errors import NotConverged
from derms.grid.capacity import participating_criteria
from derms.grid.devices import devices
from derms.grid.existing import cases, injections
from derms.grid.hosting import one_bus
from derms.grid.opendss import Circuit, Injection
from derms.grid.protection import protection
from derms.grid.regulators import has_controls, least_of, modes
from derms.grid.site_year import SiteStudy, fast_engine
from derms.grid.study_request import StudyRequest

MODES = ("frozen", "edge", "free")


def closing(circuit: Circuit, request: StudyRequest, worst: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Return what depends on the binding hours only: `worst`: for each side [hour, watts] of the least limit.

    Result: `regulator_modes`: each side's hour with `frozen`, `edge`, `free` (kW, criterion, element; `free` only for a
    site at fixed power factor, and for voltage, thermal and head criteria) and `least`, the mode of the least; `same`:
    nothing on the feeder moves, the three are one. `trip`: the voltage step when the site, settled at its limit in that
    hour, is lost (P to 0 with the controls where they came to rest). `protection`: see there.
    """
    engine = fast_engine(circuit, request.existing)
    moving = has_controls(circuit)
    answer: dict[str, Any] = {"regulator_modes": {}, "trip": {}}
    criteria = participating_criteria(circuit, request) if moving else None
    for side, (hour, watts) in worst.items():
        study = SiteStudy(circuit, replace(request, regulators="frozen"))
        circuit.settle(hour, read=False)
        study.add(engine.present(hour))
        known = study.found[0]
        if criteria is None:
            kw = getattr(known, f"{side}_w") // 100 / 10
            answer["regulator_modes"][side] = {"hour": hour, "same": True, **{name: {"kw": kw} for name in MODES}}
        else:
            wanted = MODES if request.inverter == "unity" else MODES[:2]
            found = modes(circuit, request, known, side, criteria, wanted)
            answer["regulator_modes"][side] = {
                "hour": hour, "same": False, "least": least_of(found),
                **{name: {"kw": found[name][0] // 100 / 10, "criterion": found[name][1], "element": found[name][2]}
                   for name in found},
            }  # fmt: skip
        answer["trip"][side] = _trip(circuit, request, side, int(hour), float(watts))
    network = engine.hour_state(request.hours[0]).network
    site = one_bus(network, request.bus, request.phases, power_factor=request.power_factor)
    answer["protection"] = [
        item.to_dict() for item in protection(network, devices(circuit), request.criteria, site, float(request.export_w))
    ]
    return answer


def _trip(circuit: Circuit, request: StudyRequest, side: str, hour: int, watts: float) -> dict[str, Any] | None:
    """Return the largest voltage step when a settled site is lost; None where its controls find no rest."""
    found = [_trip_in(circuit, request, side, hour, watts, case) for case in cases(request.existing)]
    known = [item for item in found if item is not None]
    return max(known, key=lambda item: item["pu"] / item["limit_pu"]) if len(known) == len(found) else None


def _trip_in(
    circuit: Circuit, request: StudyRequest, side: str, hour: int, watts: float, case: str
) -> dict[str, Any] | None:
    sign, others = 1.0 if side == "import" else -1.0, injections(request.existing, case)
    try:
        before = circuit.settle(hour, injections=[Injection(request.bus, request.phases, sign * watts), *others])
        after = circuit.solve(others)
    except NotConverged:
        return None
    change = np.abs(after.v_pu - before.v_pu)[circuit.phase_nodes]
    medium = np.isin(circuit.phase_nodes, circuit.medium_voltage_nodes)
    most = np.where(medium, request.criteria.rapid_change_pu, request.criteria.rapid_change_lv_pu)
    place = int((change / most).argmax())
    return {
        "hour": hour, "kw": watts // 100 / 10, "pu": round(float(change[place]), 5), "limit_pu": float(most[place]),
        "node": circuit.nodes[int(circuit.phase_nodes[place])], "passes": bool(change[place] <= most[place]),
    }  # fmt: skip
