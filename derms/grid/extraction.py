"""From a compiled circuit to a `Network`: the second leaf of the door to OpenDSS, and the last place that sees it.

The network is checked against OpenDSS before it is used: with the circuit's own voltages the currents at every node must
balance. What the arrays cannot say (a load model 6 or 7, an inverter control, a current source) is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.errors import ModelRefused
from derms.grid.elimination import elimination_order, pattern
from derms.grid.load_law import CONSTANT_POWER, EXPONENTS, MODELS, ZIP, Branches
from derms.grid.network import Admittance, ComplexArray, FloatArray, MonitoredRows, Network
from derms.grid.opendss import MEDIUM_VOLTAGE_V, Circuit
from derms.units import SQRT3

AGREES_PU = 1e-5
"""How closely the extracted network must reproduce OpenDSS's node voltages."""
LINEAR = ("line", "transformer", "autotrans", "capacitor", "reactor", "vsource", "fault", "gictransformer")
POWER = ("generator", "pvsystem", "storage")
WITHOUT_CURRENT = (
    "regcontrol", "capcontrol", "energymeter", "monitor", "fuse", "recloser", "relay", "swtcontrol", "sensor",
)  # fmt: skip
SITE_PREFIX = "headroom_site_"


@dataclass
class _Primitive:
    """One element's primitive admittance on the circuit's node numbers (-1: ground)."""

    nodes: NDArray[np.int64]
    matrix: ComplexArray


class Extraction:
    """Takes networks out of one circuit, one for each control state; the pattern and the loads are found once."""

    def __init__(self, circuit: Circuit, places: Sequence[tuple[str, int]] = ()) -> None:
        """Read the circuit's elements; it must be solved, without sites.

        `places`: (bus, phase) of sites that are there already: each gets a branch of its own, the last of all, that draws
        nothing until a study says so.
        """
        self.circuit = circuit
        self._sites = tuple(places)
        self._dss = circuit.engine
        self._names = [name.lower() for name in self._dss.Circuit.AllElementNames()]
        self._refuse_unknown()
        order = [name.lower() for name in self._dss.Circuit.YNodeOrder()]
        self._y_place = {name: place for place, name in enumerate(order)}
        self._to_y = np.array([self._y_place[name] for name in circuit.nodes], dtype=np.int64)
        self._place = {name: place for place, name in enumerate(circuit.nodes)}
        self._primitives = {name: self._primitive(name) for name in self._linear()}
        self._moving = self._controlled()
        self._known: dict[Any, Network] = {}
        self._template: Network | None = None

    def voltages(self) -> ComplexArray:
        """Return the circuit's present node voltages, in the circuit's own order, volts."""
        raw = np.asarray(self._dss.Circuit.YNodeVArray(), dtype=np.float64)
        return (raw[0::2] + 1j * raw[1::2])[self._to_y]

    def network(self) -> Network:
        """Return the network of the circuit's present control state; it must be solved, without sites."""
        state = self.circuit.controls()
        if state not in self._known:
            for name in self._moving:
                self._primitives[name] = self._primitive(name)
            if self._template is None:
                self._template = self._first()
                self._known[state] = self._template
            else:
                place = np.empty(self._template.size, dtype=np.int64)
                place[self._template.to_circuit] = np.arange(self._template.size)
                self._known[state] = replace(
                    self._template, admittance=self._admittance(place, self._all_edges), rows=self._rows(place)
                )
        return self._known[state]

    # -- inside -------------------------------------------------------------------------------------------------

    def _refuse_unknown(self) -> None:
        for name in self._names:
            kind = name.split(".", 1)[0]
            if kind not in LINEAR and kind not in POWER and kind not in WITHOUT_CURRENT and kind != "load":
                raise ModelRefused(
                    f"the fast engine has no law for a {kind}", where=name, remedy="Use the OpenDSS engine for this feeder."
                )
        if self.circuit.islands:
            raise ModelRefused(
                f"{len(self.circuit.islands)} nodes are not energised", where=self.circuit.islands[0],
                remedy="Close the switch, or take the part out of the model.",
            )  # fmt: skip

    def _linear(self) -> list[str]:
        found = []
        for name in self._names:
            if name.split(".", 1)[0] in LINEAR:
                self._dss.Circuit.SetActiveElement(name)
                if self._dss.CktElement.Enabled():
                    found.append(name)
        return found

    def _controlled(self) -> list[str]:
        """Return the elements whose admittance a control may change."""
        found = [f"capacitor.{name.lower()}" for name in self._dss.Capacitors.AllNames() if name.lower() != "none"]
        found += [name for name in self._primitives if name.startswith("transformer.")]
        return [name for name in found if name in self._primitives]

    def _primitive(self, name: str) -> _Primitive:
        element = self._dss.CktElement
        self._dss.Circuit.SetActiveElement(name)
        raw = np.asarray(element.YPrim(), dtype=np.float64)
        nodes = self._conductors()
        size = len(nodes)
        return _Primitive(np.array(nodes, dtype=np.int64), (raw[0::2] + 1j * raw[1::2]).reshape(size, size).T)

    def _conductors(self) -> list[int]:
        """Return the active element's conductors as the circuit's node numbers (-1: ground)."""
        element = self._dss.CktElement
        buses = [bus.split(".", 1)[0].lower() for bus in element.BusNames()]
        order = element.NodeOrder()
        each = element.NumConductors()
        return [-1 if node == 0 else self._place[f"{buses[number // each]}.{node}"] for number, node in enumerate(order)]

    def _first(self) -> Network:
        branches, shape_of, shapes_p, shapes_q, follows = self._loads()
        size = len(self.circuit.nodes)
        edges, loaded = self._edges(), np.zeros(size, dtype=bool)
        for ends in (branches.a, branches.b):
            loaded[ends[ends >= 0]] = True
        pairs = np.stack([branches.a, branches.b], axis=1)
        edges = np.concatenate([edges, pairs[pairs[:, 1] >= 0]])
        self._all_edges = edges
        first = elimination_order(self.circuit.node_bus, edges, loaded)
        place = np.empty(size, dtype=np.int64)
        place[first] = np.arange(size)
        factors_pattern, second = pattern(size, place[edges], loaded[first])
        order = first[second]
        place[order] = np.arange(size)
        branches = replace(branches, a=_renumber(place, branches.a), b=_renumber(place, branches.b))
        network = Network(
            nodes=tuple(self.circuit.nodes[node] for node in order),
            base_v=self.circuit.node_base_v[order],
            to_circuit=order,
            phase_node=np.isin(np.arange(size), self.circuit.phase_nodes)[order],
            medium_voltage=(self.circuit.node_base_v * SQRT3 > MEDIUM_VOLTAGE_V)[order],
            admittance=self._admittance(place, edges),
            source=np.zeros(size, dtype=complex),
            source_nodes=np.zeros(0, dtype=np.int64),
            source_y=np.zeros((0, 0), dtype=complex),
            pattern=factors_pattern,
            branches=branches,
            rows=self._rows(place),
            shape_of=shape_of,
            shapes_p=shapes_p,
            shapes_q=shapes_q,
            follows_scale=follows,
            load_mult=self.circuit.load_mult,
        )
        nodes, matrix = self._source_admittance(place)
        return replace(network, source=self._source(network, nodes), source_nodes=nodes, source_y=matrix)

    def _edges(self) -> NDArray[np.int64]:
        pairs = set()
        for primitive in self._primitives.values():
            live = primitive.nodes[primitive.nodes >= 0]
            pairs |= {(int(low), int(high)) for low in live for high in live if low < high}
        return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)

    def _admittance(self, place: NDArray[np.int64], pairs: NDArray[np.int64]) -> Admittance:
        """Return Y in the new numbering; `pairs` (old numbers) get a place in the pattern even where Y is zero."""
        from scipy import sparse

        every = np.arange(len(place))
        rows = [every, place[pairs[:, 0]], place[pairs[:, 1]]]
        columns = [every, place[pairs[:, 1]], place[pairs[:, 0]]]
        values = [np.zeros(len(item), dtype=complex) for item in rows]
        for primitive in self._primitives.values():
            live = np.flatnonzero(primitive.nodes >= 0)
            at = place[primitive.nodes[live]]
            rows.append(np.repeat(at, len(at)))
            columns.append(np.tile(at, len(at)))
            values.append(primitive.matrix[np.ix_(live, live)].ravel())
        size = len(place)
        at_rows, at_columns = np.concatenate(rows), np.concatenate(columns)
        matrix = sparse.csr_matrix((np.concatenate(values), (at_rows, at_columns)), shape=(size, size))
        matrix.sum_duplicates()
        matrix.sort_indices()
        return Admittance(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data)

    def _rows(self, place: NDArray[np.int64]) -> MonitoredRows:
        start, node, coefficient, element, own = [0], [], [], [], []
        for number, item in enumerate(self.circuit.elements):
            primitive = self._primitives[item.name]
            for conductor in range(item.phases):
                line = primitive.matrix[conductor]
                live = np.flatnonzero((primitive.nodes >= 0) & (line != 0))
                node += list(place[primitive.nodes[live]])
                coefficient += list(line[live])
                start.append(len(node))
                element.append(number)
                own.append(int(place[primitive.nodes[conductor]]))
        return MonitoredRows(
            np.array(start, dtype=np.int64), np.array(node, dtype=np.int64), np.array(coefficient, dtype=complex),
            np.array(element, dtype=np.int64), np.array(own, dtype=np.int64), self.circuit.element_names,
            np.array([item.normal_amps for item in self.circuit.elements]),
        )  # fmt: skip

    def _source_admittance(self, place: NDArray[np.int64]) -> tuple[NDArray[np.int64], ComplexArray]:
        """Return the voltage sources' nodes and primitive admittance on them."""
        parts = [item for name, item in self._primitives.items() if name.startswith("vsource.")]
        nodes = np.unique(np.concatenate([place[item.nodes[item.nodes >= 0]] for item in parts]))
        matrix = np.zeros((len(nodes), len(nodes)), dtype=complex)
        for item in parts:
            live = np.flatnonzero(item.nodes >= 0)
            at = np.searchsorted(nodes, place[item.nodes[live]])
            matrix[np.ix_(at, at)] += item.matrix[np.ix_(live, live)]
        return nodes, matrix

    def _source(self, network: Network, nodes: NDArray[np.int64]) -> ComplexArray:
        """Return the voltage source's current injection, found from the solved state (no load hangs there)."""
        at = np.zeros(network.size, dtype=bool)
        at[nodes] = True
        if at[network.branches.a].any():
            raise ModelRefused("a load hangs at the voltage source", where="source", remedy="Put a line between them.")
        return np.where(at, network.admittance.times(self.voltages()[network.to_circuit]), 0.0)

    # -- loads --------------------------------------------------------------------------------------------------

    def _loads(self) -> tuple[Branches, Any, Any, Any, Any]:
        table = _LoadTable(self._dss, self._place, self.circuit.hours, self.circuit.node_base_v)
        for name in self._names:
            kind = name.split(".", 1)[0]
            if kind == "load" and not name.startswith(f"load.{SITE_PREFIX}"):
                self._dss.Circuit.SetActiveElement(name)
                if self._dss.CktElement.Enabled():
                    table.add_load(name, self._conductors())
        for name in self._names:
            if name.split(".", 1)[0] in POWER:
                self._dss.Circuit.SetActiveElement(name)
                if self._dss.CktElement.Enabled():
                    table.add_power(name, self._conductors())
        for bus, phase in self._sites:
            self.circuit.bus(bus, (phase,))
            table.add_site(self._place[f"{bus}.{phase}"])
        return table.branches(), *table.scaling()

    def present_powers(self, network: Network) -> tuple[FloatArray, FloatArray]:
        """Return each generator, PV and storage branch's present P and Q (W, var, import positive); loads get 0."""
        p, q = np.zeros(len(network.branches)), np.zeros(len(network.branches))
        names = [name for name in self._names if name.split(".", 1)[0] in POWER]
        for number in sorted({-1 - int(owner) for owner in network.branches.owner if owner < 0}):
            self._dss.Circuit.SetActiveElement(names[number])
            powers = np.asarray(self._dss.CktElement.Powers(), dtype=np.float64) * 1000.0
            places = np.flatnonzero(network.branches.owner == -1 - number)
            p[places] = powers[0 : 2 * len(places) : 2]
            q[places] = powers[1 : 2 * len(places) : 2]
        return p, q


class _LoadTable:
    """Collects load branches and the shapes that scale them."""

    def __init__(self, dss: Any, place: dict[str, int], hours: int, base_v: FloatArray) -> None:
        self._dss, self._place, self._hours, self._base_v = dss, place, hours, base_v
        self._rows: list[tuple[Any, ...]] = []
        self._shape_index: dict[str, int] = {}
        self._shapes: list[tuple[FloatArray, FloatArray]] = []
        self._count = {"load": 0, "power": 0}

    def add_load(self, name: str, conductors: list[int]) -> None:
        """Add the active load's branches."""
        loads = self._dss.Loads
        loads.Name(name[5:])
        model, phases = int(loads.Model()), int(self._dss.CktElement.NumPhases())
        if model not in MODELS:
            raise ModelRefused(
                f"the fast engine has no law for load model {model}", where=name,
                remedy="Models 1 to 5 and 8 are known; use the OpenDSS engine for this feeder.",
            )  # fmt: skip
        base_v = float(loads.kV()) * 1000.0
        delta = bool(loads.IsDelta())
        if not delta and phases in (2, 3):
            base_v /= SQRT3
        low, high = float(loads.Vminpu()), float(loads.Vmaxpu())
        zip_v = list(loads.ZIPV()) if model == ZIP else [1.0, 0, 0, 1.0, 0, 0, 0]
        exponents = (float(loads.CVRwatts()), float(loads.CVRvars())) if model == EXPONENTS else (0.0, 0.0)
        fixed = int(loads.Status()) != 0
        shape = -1 if not (loads.Yearly() or loads.Daily()) else self._shape(loads.Yearly() or loads.Daily(), name)
        for phase in range(phases):
            a = conductors[phase]
            b = conductors[(phase + 1) % len(conductors)] if delta else conductors[-1]
            power = (float(loads.kW()) * 1000.0 / phases, float(loads.kvar()) * 1000.0 / phases)
            if a < 0:
                a, b = b, a
            self._rows.append(
                (a, b, *power, base_v, model, low, high, *exponents, zip_v[:3], zip_v[3:6], zip_v[6],
                 self._count["load"], shape, not fixed)
            )  # fmt: skip
        self._count["load"] += 1

    def add_power(self, name: str, conductors: list[int]) -> None:
        """Add the active generator's, PV system's or storage's branches: constant power as it runs now."""
        if name.startswith("generator."):
            self._dss.Generators.Name(name[10:])
            if int(self._dss.Generators.Model()) not in (1, 7):
                raise ModelRefused("the fast engine knows generator models 1 and 7", where=name)
        phases = int(self._dss.CktElement.NumPhases())
        for phase in range(phases):
            a = conductors[phase]
            b = conductors[phases] if len(conductors) > phases else -1
            base_v = self._base_v[a]
            self._rows.append(
                (a, b, 0.0, 0.0, base_v, CONSTANT_POWER, 0.0, np.inf, 0.0, 0.0, [1.0, 0, 0], [1.0, 0, 0], 0.0,
                 -1 - self._count["power"], -1, False)
            )  # fmt: skip
        self._count["power"] += 1

    def add_site(self, node: int) -> None:
        """Add a branch of constant power at a node, of nothing as yet."""
        self._rows.append(
            (node, -1, 0.0, 0.0, self._base_v[node], CONSTANT_POWER, 0.0, np.inf, 0.0, 0.0, [1.0, 0, 0], [1.0, 0, 0], 0.0,
             self._count["load"], -1, False)
        )  # fmt: skip
        self._count["load"] += 1

    def _shape(self, name: str, where: str) -> int:
        key = name.lower()
        if key not in self._shape_index:
            shapes = self._dss.LoadShape
            shapes.Name(key)
            if shapes.UseActual():
                raise ModelRefused("a load shape in actual watts is not known to the fast engine", where=where)
            if abs(float(shapes.HrInterval()) - 1.0) > 1e-9 and int(shapes.Npts()) > 1:
                raise ModelRefused("load shapes must be hourly for the fast engine", where=where)
            p = np.asarray(shapes.PMult(), dtype=np.float64)
            raw = np.asarray(shapes.QMult(), dtype=np.float64)
            # A shape without Q multipliers answers [0.0].
            q = raw if len(raw) == len(p) and raw.any() else p
            over = np.arange(self._hours) % len(p)
            self._shape_index[key] = len(self._shapes)
            self._shapes.append((p[over], q[over]))
        return self._shape_index[key]

    def branches(self) -> Branches:
        """Return the branches, in the circuit's node numbers."""
        columns: list[Any] = list(zip(*self._rows, strict=True)) if self._rows else [[] for _ in range(16)]
        integers, reals = (0, 1, 5, 13), (2, 3, 4, 6, 7, 8, 9, 12)
        arrays: dict[int, Any] = {i: np.array(columns[i], dtype=np.int64) for i in integers}
        arrays |= {i: np.array(columns[i], dtype=np.float64) for i in reals}
        zips = [np.array(columns[i], dtype=np.float64).reshape(-1, 3) for i in (10, 11)]
        return Branches(
            arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], arrays[5], arrays[6], arrays[7], arrays[8], arrays[9],
            zips[0], zips[1], arrays[12], arrays[13],
        )  # fmt: skip

    def scaling(self) -> tuple[Any, FloatArray, FloatArray, Any]:
        """Return shape index and "follows the scale" of each branch, and the shapes' P and Q."""
        shapes = self._shapes or [(np.ones(1), np.ones(1))]
        return (
            np.array([row[14] for row in self._rows], dtype=np.int64),
            np.stack([shape[0] for shape in shapes]),
            np.stack([shape[1] for shape in shapes]),
            np.array([row[15] for row in self._rows], dtype=bool),
        )


def _renumber(place: NDArray[np.int64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(nodes >= 0, place[nodes], -1)
