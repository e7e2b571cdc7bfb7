"""One hour of a feeder as a picture: every bus's voltage and every element's loading, without a site and with it.

The hour settles with its controls; the site is then put in with taps and capacitors held, as a study does. The electrical
distance of a bus is the series impedance of its path from the source, percent on a base of 1 MVA: times the megawatts it is
the voltage drop, so it orders a voltage profile as the wires do, which a distance on the map does not.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

from derms.grid.opendss import Circuit, Injection, Snapshot
from derms.units import SQRT3

BASE_VA = 1e6


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


def electrical_distance(circuit: Circuit) -> dict[str, float]:
    """Return each bus's series impedance from the source along the least path, percent on 1 MVA."""
    links: dict[str, list[tuple[str, float]]] = {}
    for one, two, percent in _links(circuit):
        links.setdefault(one, []).append((two, percent))
        links.setdefault(two, []).append((one, percent))
    found: dict[str, float] = {}
    waiting = [(0.0, circuit.source_bus)]
    while waiting:
        distance, bus = heapq.heappop(waiting)
        if bus in found:
            continue
        found[bus] = distance
        for other, percent in links.get(bus, ()):
            if other not in found:
                heapq.heappush(waiting, (distance + percent, other))
    return found


def _links(circuit: Circuit) -> list[tuple[str, str, float]]:
    """Return bus, bus, % on 1 MVA of every enabled line, transformer and reactor in series."""
    dss, found = circuit.engine, []
    for name in dss.PDElements.AllNames():
        kind = name.split(".", 1)[0].lower()
        if kind not in ("line", "transformer", "reactor"):
            continue
        dss.Circuit.SetActiveElement(name)
        buses = [bus.split(".", 1)[0].lower() for bus in dss.CktElement.BusNames()]
        if not dss.CktElement.Enabled() or len(buses) < 2 or buses[0] == buses[1]:
            continue
        if kind == "transformer":
            dss.Transformers.Name(name.split(".", 1)[1])
            dss.Transformers.Wdg(1)
            rating_kva = dss.Transformers.kVA() or 1.0
            phases = dss.CktElement.NumPhases()
            percent = abs(dss.Transformers.Xhl()) * 1000.0 / rating_kva * (phases / 3 if phases < 3 else 1.0)
            found += [(buses[0], other, percent) for other in buses[1:]]
        elif kind == "line":
            dss.Lines.Name(name.split(".", 1)[1])
            ohm = abs(complex(dss.Lines.R1(), dss.Lines.X1())) * dss.Lines.Length()
            found.append((buses[0], buses[1], _percent(ohm, circuit.buses[buses[0]].base_v)))
        else:
            dss.Reactors.Name(name.split(".", 1)[1])
            ohm = abs(complex(dss.Reactors.R(), dss.Reactors.X()))
            found.append((buses[0], buses[1], _percent(ohm, circuit.buses[buses[0]].base_v)))
    return found


def _percent(ohm: float, base_v: float) -> float:
    return 100.0 * ohm * BASE_VA / (base_v * SQRT3) ** 2


def _volts(circuit: Circuit, before: Snapshot, after: Snapshot) -> list[list[list[float]]]:
    places = {name: place for place, name in enumerate(circuit.buses)}
    found: list[list[list[float]]] = [[] for _ in places]
    for place, node in enumerate(circuit.nodes):
        bus, phase = node.rsplit(".", 1)
        if phase in ("1", "2", "3") and before.v_pu[place] > 0.05:
            found[places[bus]].append([int(phase), round(float(before.v_pu[place]), 5), round(float(after.v_pu[place]), 5)])
    return found
