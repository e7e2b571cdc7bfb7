"""The feeder under many sites at once: exact AC points, every constraint's excess there, and adjoint rows.

Constraints by number: each watched node's low voltage, each one's high voltage, each monitored row's current, and the
power out of the feeder at its head where that is limited.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.grid.factors import solve_transposed
from derms.grid.fast import HourState
from derms.grid.hosting import BEYOND, Watch, limits_of, name_of, row_currents
from derms.grid.lanes import WIDTH
from derms.grid.network import ComplexArray, FloatArray, Network
from derms.grid.powerflow import Reference, chord, linearise, newton
from derms.grid.sharing_sites import Sites, with_sites

NEAR_VOLTS, NEAR_AMPS = 0.002, 0.03
"""A constraint within this relative distance of its limit gets a row before it is broken."""
SAME_FACTORS_PU = 0.005
"""Factors serve again where no voltage has moved further from their point."""
LEAST_HEAD_W = 100e3
"""The excess at the head is relative to its limit, or to this where less is allowed."""


class SharedFeeder:
    """One hour with sites on it, all in one direction: `sign` 1 for import, -1 for export.

    `counted` (r,): monitored rows whose current is limited; None for all.
    """

    def __init__(
        self, state: HourState, watching: Watch, sites: Sites, sign: float, counted: NDArray[np.bool_] | None = None
    ) -> None:
        self.network, self.sites, self.sign = state.network, sites, sign
        self.watching, self.base = watching, state
        watched, _ = limits_of(state.network, watching, state.volts)
        flat = sites.nodes.reshape(-1)
        self._live = np.flatnonzero(flat >= 0)
        self._site = self._live // 3
        self._nodes = flat[self._live]
        self._with_sites = with_sites(state.network, self._nodes)
        loads = state.reference.branches.inverse_v2
        self._p, self._q = state.reference.p / loads, state.reference.q / loads
        self._point: Reference | None = None
        nodes = watching.watched_nodes
        nominal = state.network.base_v[nodes]
        self._low, self._high, amps = np.sqrt(watched.low2), np.sqrt(watched.high2), np.sqrt(watched.amps2)
        if counted is not None:
            amps = np.where(counted, amps, BEYOND)
        self._head = watching.head_rows
        # One value where the head is watched, none where it is not.
        self._head_w = np.array(watched.power_limit, dtype=np.float64).reshape(-1)
        self.unit = np.concatenate([nominal, nominal, amps, np.maximum(self._head_w, LEAST_HEAD_W)])
        """Each constraint's unit: nominal volts, limiting amperes, watts."""
        self.near = np.concatenate([
            np.full(2 * len(nodes), NEAR_VOLTS), np.full(len(amps) + len(self._head_w), NEAR_AMPS)
        ])  # fmt: skip
        self._node_pairs, self._row_pairs = _neighbours(state.network, nodes)

    def solve(self, watts: FloatArray, start: ComplexArray | None = None) -> ComplexArray:
        """Return the AC point's voltages with the sites at `watts` (s,), linearised nearby; raises NotConverged."""
        powers = self._powers(watts)
        found = self._nearby(powers, start)
        if found is None:
            self._point = newton(self._with_sites, *powers, self.base.volts)
            return self._point.volts.view(np.complex128)
        moved = np.abs(found - self._at.volts.view(np.complex128)) / self.network.base_v
        if self._point is None or moved.max() > SAME_FACTORS_PU:
            self._point = linearise(self._with_sites, found, *powers)
        return found

    def voltages(self, watts: FloatArray, start: ComplexArray | None = None) -> ComplexArray:
        """Return the AC point's voltages, by the last point's factors where they lead there; raises NotConverged."""
        powers = self._powers(watts)
        found = self._nearby(powers, start)
        return newton(self._with_sites, *powers, self.base.volts).volts.view(np.complex128) if found is None else found

    @property
    def _at(self) -> Reference:
        return self._point or self.base.reference

    def _nearby(self, powers: tuple[FloatArray, FloatArray], start: ComplexArray | None) -> ComplexArray | None:
        first = self._at.volts.view(np.complex128) if start is None else start
        return chord(self._with_sites, self._at.factors, *powers, first)

    def furthest(self, floor: FloatArray, cap: FloatArray, step: float = 0.02) -> float:
        """Return about where on the straight way from floor to cap the first constraint breaks, by two points near floor.

        Above 1 where none does. A place to begin, no answer; raises NotConverged.
        """
        low = self.excess(self.voltages(floor))
        rise = (self.excess(self.voltages(floor + step * (cap - floor))) - low) / step
        rising = rise > 1e-9
        reach = np.where(rising, np.maximum(-low, 0.0) / np.where(rising, rise, 1.0), np.inf)
        return float(reach.min(initial=2.0))

    def _powers(self, watts: FloatArray) -> tuple[FloatArray, FloatArray]:
        each = self.sign * (watts / self.sites.phases)[self._site]
        return np.concatenate([self._p, each]), np.concatenate([self._q, each * self.sites.var_per_watt])

    def excess(self, volts: ComplexArray) -> FloatArray:
        """Return how far each constraint is beyond its limit, relative to its unit."""
        magnitude = np.abs(volts[self.watching.watched_nodes])
        currents = row_currents(self.network, volts)
        head, node = self._head
        out = -(volts[node] * currents[head].conj()).real.sum()
        count, rows = len(magnitude), len(currents)
        over = np.concatenate([
            self._low - magnitude, magnitude - self._high, np.abs(currents) - self.unit[2 * count : 2 * count + rows],
            out - self._head_w,
        ])  # fmt: skip
        return np.asarray(over / self.unit)

    def rows(self, volts: ComplexArray, codes: NDArray[np.int64]) -> FloatArray:
        """Return d(constraint)/d(watts of each site), (len(codes), s) of the constraint's unit, by adjoint solves.

        The factors are the last linearised point's; `volts` may be those of a corner of it.
        """
        slopes = np.zeros((len(codes), len(self.sites.names)))
        factors = self._at.factors
        drawn = self.sign / (self.sites.phases[self._site]) * (1.0 - 1j * self.sites.var_per_watt)
        drawn = drawn / volts[self._nodes].conj()
        rows, right = self.network.rows, np.zeros((2 * self.network.size, WIDTH))
        for first in range(0, len(codes), WIDTH):
            some = codes[first : first + WIDTH]
            right[:] = 0.0
            _gradients(
                self.watching.watched_nodes, rows.start, rows.node, rows.coefficient, *self._head, some, volts, right
            )
            solve_transposed(factors, right)
            _by_site(self._nodes, self._site, drawn, right, slopes[first : first + WIDTH])
        return slopes / self.unit[codes][:, None]

    def worst_first(self, excess: FloatArray, near: FloatArray) -> list[int]:
        """Return the constraints beyond -`near` that are worse than their neighbours along the feeder, worst first.

        What a neighbour hides shows when the neighbour is inside.
        """
        count, rows = len(self._low), len(self.network.rows.element)
        keep = np.concatenate([
            _peaks(excess[:count], self._node_pairs), _peaks(excess[count : 2 * count], self._node_pairs),
            _peaks(excess[2 * count : 2 * count + rows], self._row_pairs), np.ones(len(self._head_w), dtype=bool),
        ])  # fmt: skip
        found = np.flatnonzero((excess > -near) & keep)
        order: list[int] = found[np.argsort(-excess[found], kind="stable")].tolist()
        return order

    def name_of(self, code: int) -> tuple[str, str]:
        """Return a constraint's criterion and element."""
        count = len(self._low)
        # The sweep numbers low and high limits in turn.
        return name_of(self.network, self.watching, code if code >= 2 * count else 2 * (code % count) + (code >= count))


def _neighbours(network: Network, watched: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs (k, 2) of places in `watched` joined along one phase, and pairs of monitored rows in series."""
    known = network.__dict__.setdefault("_neighbours", {})
    key = watched.tobytes()
    if key not in known:
        known[key] = _find_neighbours(network, watched)
    found: tuple[NDArray[np.int64], NDArray[np.int64]] = known[key]
    return found


def _find_neighbours(network: Network, watched: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    phase = np.array([int(name.rsplit(".", 1)[1]) for name in network.nodes])
    bus = np.unique([name.rsplit(".", 1)[0] for name in network.nodes], return_inverse=True)[1]
    admittance, place = network.admittance, np.full(network.size, -1, dtype=np.int64)
    place[watched] = np.arange(len(watched))
    row = np.repeat(np.arange(network.size), np.diff(admittance.start))
    column = admittance.column
    joined = (phase[row] == phase[column]) & (bus[row] != bus[column]) & (row < column) & (admittance.value != 0)
    joined &= (place[row] >= 0) & (place[column] >= 0)
    nodes = np.stack([place[row[joined]], place[column[joined]]], axis=1)
    rows = network.rows
    at = np.repeat(np.arange(len(rows.own)), np.diff(rows.start))
    # A row's far end in its own phase; rows that begin there are the next in series.
    far = (bus[rows.node] != bus[rows.own[at]]) & (phase[rows.node] == phase[rows.own[at]])
    begins: dict[int, list[int]] = {}
    for number, node in enumerate(rows.own.tolist()):
        begins.setdefault(node, []).append(number)
    series = [
        (number, other) for number, node in zip(at[far].tolist(), rows.node[far].tolist(), strict=True)
        for other in begins.get(node, ()) if other != number
    ]  # fmt: skip
    return nodes, np.array(series, dtype=np.int64).reshape(-1, 2)


def _peaks(values: FloatArray, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which values no neighbour exceeds."""
    keep = np.ones(len(values), dtype=bool)
    left, right = values[pairs[:, 0]], values[pairs[:, 1]]
    keep[pairs[left < right, 0]] = False
    keep[pairs[right < left, 1]] = False
    return keep


@njit(cache=True)
def _gradients(watched, start, node, coefficient, head, head_node, codes, volts, right):  # type: ignore[no-untyped-def]
    """Write d|V|, d|I| or d(power out) by real and imaginary node voltages, one lane a constraint; low limits negative."""
    count, rows = watched.size, start.size - 1
    for lane in range(codes.size):
        code = codes[lane]
        if code < 2 * count:
            k = watched[code % count]
            unit = volts[k] / abs(volts[k]) * (-1.0 if code < count else 1.0)
            right[2 * k, lane], right[2 * k + 1, lane] = unit.real, unit.imag
        elif code < 2 * count + rows:
            row = code - 2 * count
            current = _current(start, node, coefficient, row, volts)
            _add_row(start, node, coefficient, row, current.conjugate() / max(abs(current), 1e-9), lane, right)
        else:
            for m in range(head.size):
                current = _current(start, node, coefficient, head[m], volts)
                right[2 * head_node[m], lane] -= current.real
                right[2 * head_node[m] + 1, lane] -= current.imag
                _add_row(start, node, coefficient, head[m], -volts[head_node[m]].conjugate(), lane, right)


@njit(cache=True)
def _current(start, node, coefficient, row, volts):  # type: ignore[no-untyped-def]
    current = 0.0 + 0.0j
    for m in range(start[row], start[row + 1]):
        current += coefficient[m] * volts[node[m]]
    return current


@njit(cache=True)
def _add_row(start, node, coefficient, row, along, lane, right):  # type: ignore[no-untyped-def]
    """Add the derivative of Re(along · current of the row)."""
    for m in range(start[row], start[row + 1]):
        part = along * coefficient[m]
        right[2 * node[m], lane] += part.real
        right[2 * node[m] + 1, lane] -= part.imag


@njit(cache=True)
def _by_site(nodes, site, drawn, adjoint, slopes):  # type: ignore[no-untyped-def]
    """Add up what a watt at each site does to each lane's constraint."""
    for k in range(nodes.size):
        i, s = nodes[k], site[k]
        for lane in range(slopes.shape[0]):
            moved = drawn[k].real * adjoint[2 * i, lane] + drawn[k].imag * adjoint[2 * i + 1, lane]
            slopes[lane, s] -= moved
