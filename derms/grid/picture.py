"""One hour of a feeder as a picture: every bus's voltage and every element's loading, without a site and with it.

The hour settles with its controls; the site is then put in with taps and capacitors held, as a study does. The electrical
distance of a bus is the series impedance of its path from the source, percent on a base of 1 MVA: times the megawatts it is
the voltage drop, so it orders a voltage profile as the wires do, which a distance on the map does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from derms.grid.electrical_distance import electrical_distance
from derms.grid.opendss import Circuit, Injection, Snapshot


def picture(circuit: Circuit, arguments: Mapping[str, Any], report: Callable[[int, int], None]) -> dict[str, Any]:
    """Return voltages and loadings of an hour.

    `hour`: study hour from 0; `sites`: [bus, phases, W, var] each, import positive; empty for the feeder as it is.
    Result: `distance` (% on 1 MVA, None where no path leads) and `v` ([phase, pu without, pu with] a phase) in the order of
    the circuit's buses; `loading` ([per unit without, with]) in the order of its elements; `head_kw` without and with.
    """
    sites = [Injection(bus, tuple(phases), float(p_w), float(q_var)) for bus, phases, p_w, q_var in arguments["sites"]]
    before = circuit.settle(int(arguments["hour"]))
    after = circuit.solve(sites) if sites else before
    far = electrical_distance(circuit)
    return {
        "hour": int(arguments["hour"]),
        "distance": [round(far[name], 3) if name in far else None for name in circuit.buses],
        "v": _volts(circuit, before, after),
        "loading": [
            [round(float(one), 4), round(float(two), 4)]
            for one, two in zip(before.loading_pu, after.loading_pu, strict=True)
        ],
        "head_kw": [round(before.head_w / 1000, 1), round(after.head_w / 1000, 1)],
    }


def _volts(circuit: Circuit, before: Snapshot, after: Snapshot) -> list[list[list[float]]]:
    places = {name: place for place, name in enumerate(circuit.buses)}
    found: list[list[list[float]]] = [[] for _ in places]
    for place, node in enumerate(circuit.nodes):
        bus, phase = node.rsplit(".", 1)
        if phase in ("1", "2", "3") and before.v_pu[place] > 0.05:
            found[places[bus]].append([int(phase), round(float(before.v_pu[place]), 5), round(float(after.v_pu[place]), 5)])
    return found
