"""Protection criteria: what a site's inverters add to a fault, and what they hide from the relay at the feeder's breaker.

The network without its loads, its source behind its impedance; a bolted fault, three-phase or line to ground; the site
a current of `fault_current_pu` times its rated one, at the angle that is worst. All is linear in the site's power, so
each criterion gives the largest power at once. Fault studies need no hour: they are made once for a control state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.grid.criteria import CriteriaSettings
from derms.grid.devices import Devices
from derms.grid.electrical_distance import distance_of_nodes, nearest_primary
from derms.grid.hosting import Candidates
from derms.grid.network import ComplexArray, FloatArray, Network

DEFAULT_RISE, DEFAULT_DUTY, DEFAULT_REACH = 0.10, 0.875, 0.10
"""SGIP fast-track screens: 10 % of the fault current at the nearest primary point, 87.5 % of the interrupting rating.
Loss of reach 10 %: the criterion of the California and EPRI capacity tools."""
LEAST_AMPS = 1.0


@dataclass(frozen=True)
class Protection:
    """One criterion: `value` at the asked power against `limit`; `limit_w`: the largest power that keeps it (inf: any)."""

    criterion: str
    value: float
    limit: float
    limit_w: float
    element: str
    amps: float
    in_use: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; a power that nothing limits is None."""
        most = self.limit_w // 100 / 10 if np.isfinite(self.limit_w) else None
        return {
            "criterion": self.criterion, "unit": "pu", "value": round(self.value, 6), "limit": self.limit,
            "margin": round(self.limit - self.value, 6), "limit_kw": most, "element": self.element,
            "fault_amps": round(self.amps, 1), "in_use": self.in_use,
        }  # fmt: skip


def protection(
    network: Network, found: Devices, settings: CriteriaSettings, site: Candidates, inverter_w: float
) -> list[Protection]:
    """Return the three protection criteria for inverters of `inverter_w` watts at the site.

    Fault-current rise at the nearest primary point; interrupting duty at every element whose rating is given
    (`interrupting_amps`, terminal 1); loss of reach of the feeder's breaker for a fault at any medium-voltage place.
    """
    study = _FaultStudy(network, site, settings.fault_current_pu)
    return [
        _rise(study, settings, inverter_w),
        _duty(study, settings, inverter_w),
        _reach(study, found, settings, inverter_w),
    ]


class _FaultStudy:
    """Open-circuit voltages and impedance columns of the network without loads; the site's current for one watt."""

    def __init__(self, network: Network, site: Candidates, pu: float) -> None:
        from scipy import sparse
        from scipy.sparse.linalg import splu

        self.network = network
        admittance = network.admittance
        matrix = sparse.csr_matrix((admittance.value, admittance.column, admittance.start), shape=(network.size,) * 2)
        # The nodes stand in elimination order already, and the diagonal is strong: any other order fills up.
        self._solve = splu(
            matrix.tocsc(), permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        ).solve
        self.volts: ComplexArray = self._solve(network.source)
        self.site_nodes = site.nodes[0][site.nodes[0] >= 0]
        v = self.volts[self.site_nodes]
        # One watt over the site's phases, against its own voltage: an injection into the node.
        current = np.zeros(network.size, dtype=complex)
        current[self.site_nodes] = pu / len(v) / network.base_v[self.site_nodes] * v / np.abs(v)
        self.by_site: ComplexArray = self._solve(current)

    def columns(self, nodes: NDArray[np.int64]) -> ComplexArray:
        """Return the columns of the impedance matrix at some nodes, (n, k)."""
        right = np.zeros((self.network.size, len(nodes)), dtype=complex)
        right[nodes, np.arange(len(nodes))] = 1.0
        found: ComplexArray = self._solve(right)
        return found

    def fault(self, nodes: NDArray[np.int64]) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """Return a bolted fault's currents (k,), what a watt of the site adds to them, and the impedance columns."""
        columns = self.columns(nodes)
        inverse = np.linalg.inv(columns[nodes])
        return inverse @ self.volts[nodes], inverse @ self.by_site[nodes], columns


def _share(site: ComplexArray, before: ComplexArray) -> tuple[float, int]:
    """Return the largest part that a watt adds to a current of some weight, and whose."""
    part = np.abs(site) / np.maximum(np.abs(before), LEAST_AMPS)
    return float(part.max(initial=0.0)), int(part.argmax()) if len(part) else 0


def _most(limit: float, slope: float) -> float:
    return limit / slope if slope > 1e-15 else np.inf


def _rise(study: _FaultStudy, settings: CriteriaSettings, inverter_w: float) -> Protection:
    nodes = np.unique([nearest_primary(study.network, int(node)) for node in study.site_nodes])
    currents, added, _ = study.fault(nodes)
    slope, which = _share(added, currents)
    limit = settings.fault_rise or DEFAULT_RISE
    return Protection(
        "fault_rise", slope * inverter_w, limit, _most(limit, slope), study.network.nodes[nodes[which]],
        float(np.abs(currents[which])), settings.fault_rise is not None,
    )  # fmt: skip


def _duty(study: _FaultStudy, settings: CriteriaSettings, inverter_w: float) -> Protection:
    limit = settings.interrupting_share or DEFAULT_DUTY
    used = settings.interrupting_share is not None
    worst = Protection("interrupting_duty", 0.0, limit, np.inf, "no interrupting rating is known", 0.0, used)
    rows = study.network.rows
    for name, rating in settings.interrupting_amps:
        if name not in rows.names:
            continue
        nodes = np.unique(rows.own[rows.element == rows.names.index(name)])
        currents, added, _ = study.fault(nodes)
        total = np.abs(currents) + np.abs(added) * inverter_w
        room = np.maximum(limit * rating - np.abs(currents), 0.0)
        most = float((room / np.maximum(np.abs(added), 1e-15)).min())
        if most < worst.limit_w:
            place = int(total.argmax())
            worst = Protection(
                "interrupting_duty", float(total[place] / rating), limit, most, name, float(total[place]), used
            )
    return worst


def _reach(study: _FaultStudy, found: Devices, settings: CriteriaSettings, inverter_w: float) -> Protection:
    """Loss of current at the feeder's breaker, for faults at any medium-voltage place, three-phase and line to ground."""
    limit, network = settings.reach_loss or DEFAULT_REACH, study.network
    used = settings.reach_loss is not None
    if found.breaker is None:
        return Protection("reach_loss", 0.0, limit, np.inf, "no element is known as the feeder's breaker", 0.0, used)
    rows = network.rows
    mine = np.flatnonzero(rows.element == rows.names.index(found.breaker))
    touched = np.unique(np.concatenate([rows.node[rows.start[row] : rows.start[row + 1]] for row in mine]))
    head = np.zeros((len(mine), len(touched)), dtype=complex)
    for place, row in enumerate(mine):
        some = slice(rows.start[row], rows.start[row + 1])
        head[place, np.searchsorted(touched, rows.node[some])] = rows.coefficient[some]
    quiet, of_site = head @ study.volts[touched], head @ study.by_site[touched]
    worst, where, amps = 0.0, "", 0.0
    distance = distance_of_nodes(found.distance, network)
    for nodes in _places(network, distance, float(distance[rows.own[mine]].max())):
        columns = study.columns(nodes)
        into = head @ columns[touched]
        for group in _faults(network, nodes):
            at = nodes[group]
            inverse = np.linalg.inv(columns[at][:, group])
            before = quiet - into[:, group] @ (inverse @ study.volts[at])
            change = of_site - into[:, group] @ (inverse @ study.by_site[at])
            # The phases that carry the fault: the relay sees the largest current.
            seen = np.abs(before) >= 0.5 * np.abs(before).max()
            slope, _ = _share(change[seen], before[seen])
            if slope > worst:
                worst, where, amps = slope, network.nodes[at[0]], float(np.abs(before).max())
    return Protection("reach_loss", worst * inverter_w, limit, _most(limit, worst), where, amps, used)


BLOCK, FARTHEST = 96, 240


def _places(network: Network, distance: FloatArray, head: float) -> list[NDArray[np.int64]]:
    """Return the farthest medium-voltage nodes behind the head, bus by bus, in blocks: reach is lost where the fault
    current is least."""
    primary = np.flatnonzero(network.medium_voltage & network.phase_node & np.isfinite(distance) & (distance > head))
    by_bus: dict[str, list[int]] = {}
    for node in primary:
        by_bus.setdefault(network.nodes[node].rsplit(".", 1)[0], []).append(int(node))
    order = sorted(by_bus, key=lambda bus: (-distance[by_bus[bus][0]], bus))[:FARTHEST]
    blocks: list[list[int]] = [[]]
    for bus in order:
        if len(blocks[-1]) >= BLOCK:
            blocks.append([])
        blocks[-1] += by_bus[bus]
    return [np.array(block, dtype=np.int64) for block in blocks if block]


def _faults(network: Network, nodes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the faults of a block as places in it: each node to ground, and each three-phase bus whole."""
    found = [np.array([place]) for place in range(len(nodes))]
    by_bus: dict[str, list[int]] = {}
    for place, node in enumerate(nodes):
        by_bus.setdefault(network.nodes[node].rsplit(".", 1)[0], []).append(place)
    return found + [np.array(places) for places in by_bus.values() if len(places) == 3]
