"""Electrical distance: the series impedance of the path from the source, percent voltage for one megavolt-ampere."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np

from derms.grid.network import FloatArray, Network
from derms.grid.opendss import Circuit
from derms.units import SQRT3

BASE_VA = 1e6


def electrical_distance(circuit: Circuit) -> dict[str, float]:
    """Return each bus's series impedance from the source along the least path, percent on 1 MVA; kept with the circuit.

    A bus to which no path leads is left out. Opened and closed switches change it: a circuit is compiled in one state.
    """
    if "electrical_distance" in circuit.kept:
        return dict(circuit.kept["electrical_distance"])
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
    circuit.kept["electrical_distance"] = found
    return dict(found)


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


def distance_of_nodes(distance: Mapping[str, float], network: Network) -> FloatArray:
    """Return each node's electrical distance (n,), percent on 1 MVA; inf where no path leads."""
    return np.array([distance.get(name.rsplit(".", 1)[0], np.inf) for name in network.nodes])


def nearest_primary(network: Network, node: int) -> int:
    """Return the medium-voltage node that is electrically nearest to `node`: itself if it is one."""
    from scipy import sparse
    from scipy.sparse.csgraph import dijkstra

    if network.medium_voltage[node]:
        return node
    start, column, value = network.admittance.start, network.admittance.column, network.admittance.value
    row = np.repeat(np.arange(network.size), np.diff(start))
    joined = (row != column) & (np.abs(value) > 0.0)
    step = BASE_VA / (3.0 * np.abs(value) * network.base_v[row] * network.base_v[column])
    graph = sparse.csr_matrix((step[joined], (row[joined], column[joined])), shape=(network.size, network.size))
    distance = dijkstra(graph, directed=False, indices=node)
    return int(np.where(network.medium_voltage & network.phase_node, distance, np.inf).argmin())
