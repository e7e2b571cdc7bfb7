"""Several sites at once, at fixed powers, over some hours: every site in each power flow, by the arrays of a study.

The question before an offer is made. What the arrays do not know is answered by OpenDSS (`certificate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.errors import InputError, ModelRefused, NotConverged
from derms.grid.certificate import certificate
from derms.grid.criteria import CriteriaSettings
from derms.grid.fast import HourGroup
from derms.grid.hosting import Watch, limits_of, row_currents, watch
from derms.grid.load_law import kernel_arrays
from derms.grid.network import FloatArray, Network
from derms.grid.opendss import Circuit
from derms.grid.plant import participants
from derms.grid.powerflow import Reference, chord, newton, solve_one
from derms.grid.sharing_sites import with_sites
from derms.grid.site_year import fast_engine
from derms.grid.what_if import hour_groups

Place = tuple[str, tuple[int, ...]]
SIDES = (("import", 1.0), ("export", -1.0))


def together(circuit: Circuit, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether all sites may be at the given powers together in some hours, all importing or all exporting.

    `sites`: [bus, phases, import W, export W] each; those of one place count as one. `hours`: lists of study hours, each
    list's base states kept for the next question. `criteria`: settings of voltage and thermal limits. An element counts
    where one of the sites has its share of flow (`participation`).
    Result: `holds`; where it does not, `hour`, `side`, `criterion`, `element` of the worst; `margin` per unit (the
    least, negative when broken), `hours` looked at, `engine`.
    Raises InputError for a bus or phase that is not there, or for criteria other than voltage and thermal limits.
    """
    settings = CriteriaSettings(**arguments.get("criteria", {}))
    if settings.extras_on() or settings.reverse_power_w is not None:
        raise InputError("several sites together are judged by voltage and thermal limits", where="criteria")
    powers: dict[Place, list[float]] = {}
    for bus, phases, import_w, export_w in arguments["sites"]:
        known = circuit.bus(bus, phases)
        total = powers.setdefault((known.name, tuple(sorted(phases))), [0.0, 0.0])
        total[0] += import_w
        total[1] += export_w
    try:
        return _on_arrays(circuit, settings, powers, arguments["hours"])
    except (ModelRefused, NotConverged):
        return _by_opendss(circuit, arguments, powers)


def _on_arrays(
    circuit: Circuit, settings: CriteriaSettings, powers: Mapping[Place, Sequence[float]], hours: Sequence[Sequence[int]]
) -> dict[str, Any]:
    engine = fast_engine(circuit)
    scenes: dict[int, _Together] = {}
    least: tuple[float, dict[str, Any]] = (np.inf, {})
    count = 0
    for some in hours:
        for group in hour_groups(engine, some):
            count += len(group.hours)
            scene = scenes.get(id(group.network))
            if scene is None:
                scene = scenes[id(group.network)] = _Together.of(group, settings, tuple(powers))
            for column, (side, sign) in enumerate(SIDES):
                found = scene.worst(group, sign * np.array([both[column] for both in powers.values()]))
                if found[0] < least[0]:
                    least = (found[0], {**found[1], "side": side})
    margin, what = least
    answer = {"holds": margin >= 0.0, "margin": round(margin, 6), "hours": count, "engine": "arrays"}
    return answer if margin >= 0.0 else {**answer, **what}


def _by_opendss(
    circuit: Circuit, arguments: Mapping[str, Any], powers: Mapping[Place, Sequence[float]]
) -> dict[str, Any]:  # fmt: skip
    sites = [[bus, list(phases), *both] for (bus, phases), both in powers.items()]
    places = [[bus, list(phases), max(1.0, *both)] for (bus, phases), both in powers.items()]
    asked = {
        "sites": sites, "criteria": arguments.get("criteria", {}),
        "hours": sorted({hour for some in arguments["hours"] for hour in some}),
        "elements": participants(circuit, {"sites": places})["elements"],
    }  # fmt: skip
    return {**certificate(circuit, asked), "engine": "opendss"}


@dataclass(frozen=True)
class _Together:
    """All places on one network: the network with their branches, and which rows count."""

    network: Network
    joined: Network
    inverse_v2: FloatArray
    reference: Reference
    watching: Watch
    share: FloatArray
    """(branches of the sites, places): the part of each place's power that a branch carries."""
    counted: NDArray[np.int64]

    @classmethod
    def of(cls, group: HourGroup, settings: CriteriaSettings, places: Sequence[Place]) -> _Together:
        """Bind places to a group's network."""
        network, before = group.network, group.reference
        index = network.index()
        nodes = [[index[f"{bus}.{phase}"] for phase in phases] for bus, phases in places]
        flat = np.array([node for some in nodes for node in some], dtype=np.int64)
        share = np.zeros((len(flat), len(places)))
        row = 0
        for place, some in enumerate(nodes):
            share[row : row + len(some), place] = 1.0 / len(some)
            row += len(some)
        watching = watch(network, settings)
        return cls(
            network, with_sites(network, flat), kernel_arrays(network.branches).inverse_v2, before, watching, share,
            _counted(network, before, watching, nodes),
        )  # fmt: skip

    def worst(self, group: HourGroup, watts: FloatArray) -> tuple[float, dict[str, Any]]:
        """Return the least margin per unit over the group's hours with the places at `watts` (places,), and where."""
        each = self.share @ watts
        volts = np.empty((self.network.size, len(group.hours)), dtype=complex)
        for lane in range(len(group.hours)):
            p = np.concatenate([group.p[:, lane] / self.inverse_v2, each])
            q = np.concatenate([group.q[:, lane] / self.inverse_v2, np.zeros(len(each))])
            start = np.ascontiguousarray(group.volts[:, lane])
            found = chord(self.joined, self.reference.factors, p, q, start)
            try:
                # Where the base state's factors do not lead, Newton's method decides.
                volts[:, lane] = newton(self.joined, p, q, start).volts.view(complex) if found is None else found
            except NotConverged:
                return -1.0, {"hour": group.hours[lane], "criterion": "convergence", "element": "power flow"}
        return self._least(group, volts)

    def _least(self, group: HourGroup, volts: NDArray[np.complex128]) -> tuple[float, dict[str, Any]]:
        network, watching, count = self.network, self.watching, len(group.hours)
        limits, _ = limits_of(network, watching, group.volts)
        nodes, rows = watching.watched_nodes, self.counted
        magnitude, nominal = np.abs(volts[nodes]), network.base_v[nodes][:, None]
        amps = np.abs(row_currents(network, volts)[rows])
        rated = network.rows.amps[network.rows.element[rows]][:, None]
        margins = (
            ("undervoltage", (magnitude - np.sqrt(limits.low2[:, :count])) / nominal),
            ("overvoltage", (np.sqrt(limits.high2[:, :count]) - magnitude) / nominal),
            ("thermal", (np.sqrt(limits.amps2[rows, :count]) - amps) / rated),
        )
        criterion, margin = min(margins, key=lambda item: item[1].min(initial=np.inf))
        if not margin.size:
            return np.inf, {}
        place, lane = np.unravel_index(int(margin.argmin()), margin.shape)
        at = (
            network.rows.names[network.rows.element[rows[place]]] if criterion == "thermal" else network.nodes[nodes[place]]
        )
        return float(margin[place, lane]), {"hour": group.hours[lane], "criterion": criterion, "element": at}


def _counted(network: Network, reference: Reference, watching: Watch, nodes: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return the rows of elements that carry at least the participation's share of some place's power.

    dV/dP of each place by one solve with the reference's factors: a site of no power adds nothing to the Jacobian.
    """
    rows = network.rows
    if not (watching.share2 > 0.0).any():
        return np.arange(len(rows.element))
    volts = reference.volts.view(np.complex128)
    moves = np.empty((network.size, len(nodes)), dtype=complex)
    for place, some in enumerate(nodes):
        right = np.zeros(network.size, dtype=complex)
        right[list(some)] = -np.conj(1.0 / len(some) / volts[list(some)])
        moves[:, place] = solve_one(reference.factors, right)
    carried = np.abs(row_currents(network, moves)) ** 2 * watching.share2[:, None] > 1.0
    elements = np.unique(rows.element[carried.any(axis=1)])
    return np.flatnonzero(np.isin(rows.element, elements))
