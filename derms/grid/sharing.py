"""Envelopes of many sites together in one direction: AC point, adjoint rows, sharing rule, AC point again, until it holds.

Rows are linear at the AC point itself and found by one transposed solve for sixteen constraints; a linear answer from
the base point would be unsafe (reversal of a flow is missed). A constraint counts what sites put on it, never what
they take off: limits hold for any use inside the box. What the loop cannot bring inside is scaled towards the floor,
and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.errors import NotConverged
from derms.grid.factors import solve_transposed
from derms.grid.fast import HourState
from derms.grid.hosting import Watch, limits_of, name_of, row_currents
from derms.grid.lanes import WIDTH
from derms.grid.load_law import CONSTANT_POWER
from derms.grid.network import ComplexArray, FloatArray, Network
from derms.grid.powerflow import Reference, chord, newton
from derms.grid.sharing_rules import Demand, Division, divide
from derms.grid.sweep import Watched

INSIDE = 2e-5
"""Relative violation that still counts as holding: far below any meter, above the solver's own noise."""
MOST_TURNS = 14
SETTLED = 2e-3
"""A rule has settled when no limit moves by more than this part of itself, or two points in turn
hold and their sums agree so closely."""
NEAR_VOLTS, NEAR_AMPS = 0.002, 0.03
"""A constraint within this relative distance of its limit gets a row before it is broken."""
MOST_NEW_ROWS = 640
NEAR_CORNER = 0.005
"""A constraint within this relative distance of its limit has its corner checked."""
MOST_CORNERS = 8
MOST_PROGRAMMES = 6
"""Linear programmes solved for the maximum total; its answer is the best point that held."""


@dataclass(frozen=True)
class Sites:
    """s sites on a network: `nodes` (s, 3), -1 for none; `var_per_watt` of what they draw."""

    names: tuple[str, ...]
    nodes: NDArray[np.int64]
    var_per_watt: float = 0.0

    @property
    def phases(self) -> FloatArray:
        """Return how many phases each site has."""
        return (self.nodes >= 0).sum(axis=1).astype(np.float64)


@dataclass(frozen=True)
class Shared:
    """Limits of one direction, watts (s,), verified together on the AC network.

    `binding`: (criterion, element) that stops each site ("" twice: its own cap); `share`: of its flexible part;
    `price`: watts in all that one more watt of room on the binding row would give. `violation`: the largest relative
    one left;
    `corners` looked at, beside all at their limits, and whether one made the limits shrink.
    `scaled`: the loop did not end and the answer was scaled to hold; `bound_w`: what the rule gives on the last rows
    (for the maximum total, the linear programme's bound at its last point).
    """

    watts: FloatArray
    binding: tuple[tuple[str, str], ...]
    share: FloatArray
    price: FloatArray
    violation: float
    turns: int
    scaled: bool
    bound_w: float
    corners: int
    shrunk: bool


class Sharing:
    """One direction of one hour: `sign` 1 for import, -1 for export."""

    def __init__(self, state: HourState, watching: Watch, sites: Sites, demand: Demand, sign: float) -> None:
        self.network, self.sites, self.demand, self.sign = state.network, sites, demand, sign
        self.watching, self.base = watching, state
        self.watched, _ = limits_of(state.network, watching, state.volts)
        flat = sites.nodes.reshape(-1)
        self._live = np.flatnonzero(flat >= 0)
        self._site = self._live // 3
        self._network = with_sites(state.network, flat[self._live])
        loads = state.reference.branches.inverse_v2
        self._p, self._q = state.reference.p / loads, state.reference.q / loads
        self._start = state.volts
        self._last: Reference | None = None
        nodes = watching.watched_nodes
        self._nominal = state.network.base_v[nodes]
        self._low, self._high = np.sqrt(self.watched.low2), np.sqrt(self.watched.high2)
        self._amps = np.sqrt(self.watched.amps2)

    def solve(self, watts: FloatArray) -> Reference:
        """Return the AC point with the sites at `watts` (s,); raises NotConverged."""
        self._last = newton(self._network, *self._powers(watts), self._start)
        return self._last

    def voltages(self, watts: FloatArray) -> ComplexArray:
        """Return the AC point's voltages only, with the last point's factors where they do; raises NotConverged."""
        if self._last is not None:
            last = self._last.volts.view(np.complex128)
            found = chord(self._network, self._last.factors, *self._powers(watts), last)
            if found is not None:
                return found
        return self.solve(watts).volts.view(np.complex128)

    def _powers(self, watts: FloatArray) -> tuple[FloatArray, FloatArray]:
        each = self.sign * (watts / self.sites.phases)[self._site]
        return np.concatenate([self._p, each]), np.concatenate([self._q, each * self.sites.var_per_watt])

    def excess(self, volts: ComplexArray) -> FloatArray:
        """Return how far each constraint is beyond its limit, relative: nodes low, nodes high, rows."""
        magnitude = np.abs(volts[self.watching.watched_nodes])
        amps = np.abs(row_currents(self.network, volts))
        return np.concatenate(
            [(self._low - magnitude) / self._nominal, (magnitude - self._high) / self._nominal, amps / self._amps - 1.0]
        )

    def run(self, rule: str, *, alpha: float = 1.0) -> Shared:
        """Share by a rule and return limits that hold; raises NotConverged when not even the floor has a solution."""
        if rule == "maximum_total":
            return self._maximum_total()
        floor, cap = self.demand.floor, self.demand.cap
        watts, good, bound = cap.copy(), floor, float(cap.sum())
        self._active: set[int] = set()
        active: set[int] = set()
        division, codes, slopes, worst, turns = None, np.zeros(0, dtype=np.int64), np.zeros((0, len(cap))), np.inf, 0
        best_total, before, settled = -1.0, -1.0, False
        near = np.concatenate([np.full(2 * len(self._nominal), NEAR_VOLTS), np.full(len(self._amps), NEAR_AMPS)])
        for turns in range(1, MOST_TURNS + 1):
            try:
                point = self.solve(watts)
            except NotConverged:
                watts = floor + 0.5 * (watts - floor)
                continue
            volts = point.volts.view(np.complex128)
            excess = self.excess(volts)
            worst = float(excess.max(initial=-1.0))
            calm = worst <= INSIDE and abs(float(watts.sum()) - before) <= SETTLED * before
            before = float(watts.sum()) if worst <= INSIDE else -1.0
            if worst <= INSIDE and watts.sum() > best_total:
                best_total, good = float(watts.sum()), watts
            new = self._worst_new(excess, near, active)
            if (settled and worst <= INSIDE) or calm:
                break
            active |= new
            if not active:
                break
            codes = np.array(sorted(active), dtype=np.int64)
            slopes = self.rows(point, codes)
            room = self._room(excess, codes, slopes, watts)
            positive = np.maximum(slopes, 0.0)
            division = divide(rule, self.demand, positive, room, alpha=alpha)
            bound = float(division.watts.sum())
            settled = bool((np.abs(division.watts - watts) <= 1.0 + SETTLED * division.watts).all())
            # A rule that jumps between two answers is led towards the best point that held.
            halve = best_total >= 0.0 and turns > MOST_TURNS // 2
            watts = 0.5 * (division.watts + good) if halve else division.watts
        self._active = active
        return self._answer(watts, worst, division, codes, turns, bound)

    def _corners(self, watts: FloatArray) -> tuple[FloatArray, float, int, bool]:
        """Check the corners in which those who take load off a near constraint do nothing; shrink the others until
        they hold.

        Returns the watts, the violation with all at their limits, how many corners were looked at, whether one was shrunk.
        """
        point = self.solve(watts)
        excess = self.excess(point.volts.view(np.complex128))
        near = np.flatnonzero(excess > -NEAR_CORNER)
        near = near[np.argsort(-excess[near], kind="stable")][:MOST_NEW_ROWS].astype(np.int64)
        seen: set[bytes] = set()
        shrunk = False
        for slopes in self.rows(point, near):
            helped = float(np.minimum(slopes, 0.0) @ watts)
            mask = slopes > 0.0
            if helped >= -1e-6 * abs(float(slopes @ watts)) or mask.tobytes() in seen:
                continue
            seen.add(mask.tobytes())
            others = np.where(mask, watts, 0.0)
            if self._holds(others)[0] > 0.0:
                shrunk = True
                low = self._part_that_holds(np.where(mask, self.demand.floor, 0.0), others)
                watts = np.where(mask, self.demand.floor + low * (watts - self.demand.floor), watts)
            if len(seen) >= MOST_CORNERS:
                break
        return watts, self._holds(watts)[0], len(seen), shrunk

    def _part_that_holds(self, floor: FloatArray, watts: FloatArray) -> float:
        """Return a part of the way from floor to watts that breaks nothing: the good end of a bracket."""
        low, below = 0.0, min(self._holds(floor)[0], -1e-9)
        high, above = 1.0, max(self._holds(watts)[0], 1e-9)
        for turn in range(9):
            # The worst of many constraints bends and rests: the straight line and the middle in turn.
            if turn % 2 or not np.isfinite(above):
                middle = 0.5 * (low + high)
            else:
                # A hair on the good side of the straight line between the ends.
                middle = low + (high - low) * min(max(0.98 * -below / (above - below), 0.02), 0.98)
            violation = self._holds(floor + middle * (watts - floor))[0]
            if violation <= 0.0:
                low, below = middle, min(violation, -1e-9)
                if violation > -INSIDE:
                    break
            else:
                high, above = middle, violation
        return low

    def _maximum_total(self) -> Shared:
        """Climb from the pro-rata answer: linear programmes at the AC point, each step shortened until it holds.

        The problem is not convex: the answer is the best point found, `bound_w` the last programme's own promise.
        """
        start = self.run("pro_rata_capacity")
        watts, active = start.watts, set(self._active)
        if not active:
            return start
        worst, division, codes, bound, turns = start.violation, None, np.zeros(0, dtype=np.int64), 0.0, 0
        for turn in range(1, MOST_PROGRAMMES + 1):
            turns = turn
            point = self.solve(watts)
            excess = self.excess(point.volts.view(np.complex128))
            codes = np.array(sorted(active), dtype=np.int64)
            slopes = self.rows(point, codes)
            room = self._room(excess, codes, slopes, watts)
            division = divide("maximum_total", self.demand, np.maximum(slopes, 0.0), room)
            bound = float(division.watts.sum())
            better = None
            for part in (1.0, 0.5, 0.2, 0.05):
                trial = watts + part * (division.watts - watts)
                found = self._holds(trial)
                active |= found[1]
                if found[0] <= INSIDE and trial.sum() > watts.sum() + 1.0:
                    better, worst = trial, found[0]
                    break
            if better is None or better.sum() < 1.002 * watts.sum():
                watts = watts if better is None else better
                break
            watts = better
        return self._answer(watts, worst, division, codes, start.turns + turns, max(bound, float(watts.sum())))

    def _holds(self, watts: FloatArray) -> tuple[float, set[int]]:
        """Return the largest violation at `watts` (inf without a solution) and the worst broken constraints."""
        try:
            excess = self.excess(self.voltages(watts))
        except NotConverged:
            return np.inf, set()
        return float(excess.max(initial=-1.0)), self._worst_new(excess, np.full(len(excess), -INSIDE), set())

    def _worst_new(self, excess: FloatArray, near: FloatArray, active: set[int]) -> set[int]:
        """Return the constraints to add: those beyond or near their limits, the worst few hundred a turn."""
        found = np.flatnonzero(excess > -near)
        found = found[np.argsort(-excess[found], kind="stable")]
        return set([code for code in found.tolist() if code not in active][:MOST_NEW_ROWS])

    def rows(self, point: Reference, codes: NDArray[np.int64]) -> FloatArray:
        """Return d(constraint)/d(watts of each site), (len(codes), s), volts or amperes a watt, by adjoint solves."""
        volts = point.volts.view(np.complex128)
        slopes = np.zeros((len(codes), len(self.sites.names)))
        nodes = self.sites.nodes.reshape(-1)[self._live]
        drawn = self.sign / (self.sites.phases[self._site]) * (1.0 - 1j * self.sites.var_per_watt) / volts[nodes].conj()
        rows, right = self.network.rows, np.zeros((2 * self.network.size, WIDTH))
        for first in range(0, len(codes), WIDTH):
            some = codes[first : first + WIDTH]
            right[:] = 0.0
            _gradients(self.watching.watched_nodes, rows.start, rows.node, rows.coefficient, some, volts, right)
            solve_transposed(point.factors, right)
            _by_site(nodes, self._site, drawn, right, slopes[first : first + WIDTH])
        return slopes

    def _scale(self, codes: NDArray[np.int64]) -> FloatArray:
        """Return the unit of each constraint: nominal volts, or limiting amperes."""
        return np.concatenate([self._nominal, self._nominal, self._amps])[codes]

    def _room(self, excess: FloatArray, codes: NDArray[np.int64], slopes: FloatArray, watts: FloatArray) -> FloatArray:
        """Return what is left for the sites' positive parts when those that take load off are at nothing."""
        return -(excess[codes] + 0.25 * INSIDE) * self._scale(codes) + slopes @ watts

    def _answer(
        self, watts: FloatArray, worst: float, division: Division | None, codes: NDArray[np.int64], turns: int, bound: float
    ) -> Shared:
        floor, cap, scaled = self.demand.floor, self.demand.cap, False
        if worst > INSIDE:
            watts, worst, scaled = *self._scale_back(watts), True
        watts, worst, corners, shrunk = self._corners(watts)
        if worst > INSIDE:
            watts, worst, scaled = *self._scale_back(watts), True
        flexible = np.where(cap > floor, cap - floor, 1.0)
        count = len(self.sites.names)
        stopped = np.full(count, -1) if division is None else division.row
        price = np.zeros(count)
        binding = []
        for site, row in enumerate(stopped):
            if row < 0 or division is None:
                binding.append(("", ""))
                continue
            binding.append(name_of(self.network, self.watching, self._code(int(codes[row]))))
            price[site] = division.price[row] * self._scale(codes[row : row + 1])[0]
        whole = np.floor(watts)
        return Shared(
            whole, tuple(binding), (whole - floor) / flexible, price, worst, turns, scaled, bound, corners, shrunk
        )

    def _code(self, code: int) -> int:
        """Turn our numbering (all low, all high, rows) into the sweep's (low and high in turn, rows)."""
        count = len(self.watching.watched_nodes)
        return code if code >= 2 * count else 2 * (code % count) + (code >= count)

    def _scale_back(self, watts: FloatArray) -> tuple[FloatArray, float]:
        """Return the largest scaling towards the floor that holds, and its violation."""
        floor, low, high, left = self.demand.floor, 0.0, 1.0, np.inf
        for _ in range(14):
            middle = 0.5 * (low + high)
            try:
                volts = self.voltages(floor + middle * (watts - floor))
            except NotConverged:
                high = middle
                continue
            worst = float(self.excess(volts).max(initial=-1.0))
            if worst <= INSIDE:
                low, left = middle, worst
            else:
                high = middle
        return floor + low * (watts - floor), left if low > 0.0 else float(
            self.excess(self.solve(floor).volts.view(np.complex128)).max(initial=-1.0)
        )


@njit(cache=True)
def _gradients(watched, start, node, coefficient, codes, volts, right):  # type: ignore[no-untyped-def]
    """Write d|V| or d|I| by real and imaginary node voltages, one lane a constraint; low limits with their sign turned."""
    count = watched.size
    for lane in range(codes.size):
        code = codes[lane]
        if code < 2 * count:
            k = watched[code % count]
            unit = volts[k] / abs(volts[k]) * (-1.0 if code < count else 1.0)
            right[2 * k, lane], right[2 * k + 1, lane] = unit.real, unit.imag
            continue
        row = code - 2 * count
        current = 0.0 + 0.0j
        for m in range(start[row], start[row + 1]):
            current += coefficient[m] * volts[node[m]]
        along = current.conjugate() / max(abs(current), 1e-9)
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


def with_sites(network: Network, nodes: NDArray[np.int64]) -> Network:
    """Return the network with a constant-power branch to ground at each of `nodes`: one power flow knows all sites."""
    branches, count = network.branches, len(nodes)

    def more(array: NDArray, value: float) -> NDArray:  # type: ignore[type-arg]
        return np.concatenate([array, np.full((count, *array.shape[1:]), value, dtype=array.dtype)])

    together = replace(
        branches, a=np.concatenate([branches.a, nodes]), b=more(branches.b, -1), p_w=more(branches.p_w, 0.0),
        q_var=more(branches.q_var, 0.0), base_v=np.concatenate([branches.base_v, network.base_v[nodes]]),
        model=more(branches.model, CONSTANT_POWER), v_min=more(branches.v_min, 0.0), v_max=more(branches.v_max, np.inf),
        exponent_p=more(branches.exponent_p, 0.0), exponent_q=more(branches.exponent_q, 0.0),
        zip_p=more(branches.zip_p, 0.0), zip_q=more(branches.zip_q, 0.0), cut_off=more(branches.cut_off, 0.0),
        owner=more(branches.owner, -1),
    )  # fmt: skip
    return replace(network, branches=together)


__all__ = ["Shared", "Sharing", "Sites", "Watched", "with_sites"]
