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
from derms.grid.powerflow import Reference, chord, linearise, newton
from derms.grid.sharing_rules import Demand, Division, divide
from derms.grid.sweep import Watched

INSIDE = 2e-5
"""Relative violation that still counts as holding: far below any meter, above the solver's own noise."""
MOST_TURNS = 24
SETTLED = 2e-3
"""A rule has settled when no limit moves by more than this part of itself, or two points in turn
hold and their sums agree so closely."""
NEAR_VOLTS, NEAR_AMPS = 0.002, 0.03
"""A constraint within this relative distance of its limit gets a row before it is broken."""
MOST_NEW_ROWS = 96
NEAR_CORNER = 0.005
"""A constraint within this relative distance of its limit has its corner checked."""
MOST_CORNERS = 8
MOST_NEAR_CORNERS = 64
CORNER_ROWS = 4
"""Rows kept of a corner that breaks something: its worst, of neighbours the worse."""
MOST_CORNER_ROUNDS = 6
"""How often the corners are looked at while sharing; what they forbid then becomes rows."""
MOST_PROGRAMMES = 8
FIRST_REACH, LEAST_REACH = 0.1, 0.01
"""How far from the point a programme may move a site, of its cap: a programme is linear, the feeder is not."""
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
        self._node_pairs, self._row_pairs = _neighbours(state.network, nodes)
        self._near = np.concatenate([np.full(2 * len(nodes), NEAR_VOLTS), np.full(len(self._amps), NEAR_AMPS)])
        self._active: set[int] = set()
        self._prices: dict[int, float] = {}
        self._corner_rows: dict[tuple[bytes, int], tuple[FloatArray, float]] = {}

    def solve(self, watts: FloatArray) -> Reference:
        """Return the AC point with the sites at `watts` (s,); raises NotConverged."""
        found = self._nearby(watts)
        powers = self._powers(watts)
        self._last = newton(self._network, *powers, self._start) if found is None else linearise(
            self._network, found, *powers
        )  # fmt: skip
        return self._last

    def _nearby(self, watts: FloatArray) -> ComplexArray | None:
        """Return the AC point by the last point's factors, or the base's; None where they do not lead there."""
        last = self._last or self.base.reference
        return chord(self._network, last.factors, *self._powers(watts), last.volts.view(np.complex128))

    def voltages(self, watts: FloatArray) -> ComplexArray:
        """Return the AC point's voltages only, with the last point's factors where they do; raises NotConverged."""
        found = self._nearby(watts)
        return self.solve(watts).volts.view(np.complex128) if found is None else found

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
        self._active, self._corner_rows, self._prices = set(), {}, {}
        division, codes, worst, turns = None, np.zeros(0, dtype=np.int64), np.inf, 0
        best_total, before, settled, rounds = -1.0, -1.0, False, 0
        most = MOST_TURNS if rule != "alpha_fair" else MOST_TURNS // 2
        for turns in range(1, most + 1):
            try:
                point = self.solve(watts)
            except NotConverged:
                watts = floor + 0.5 * (watts - floor)
                continue
            excess = self.excess(point.volts.view(np.complex128))
            worst = float(excess.max(initial=-1.0))
            calm = worst <= INSIDE and abs(float(watts.sum()) - before) <= SETTLED * before
            before = float(watts.sum()) if worst <= INSIDE else -1.0
            if worst <= INSIDE and watts.sum() > best_total:
                best_total, good = float(watts.sum()), watts
            new = self._worst_new(excess, self._near, self._active)
            if (settled and worst <= INSIDE) or calm:
                rounds += 1
                if rounds > MOST_CORNER_ROUNDS or not self._broken_corners(point, excess, watts):
                    break
                # What a corner forbids the rows now say: earlier points that held do not count any more.
                best_total, before, good = -1.0, -1.0, floor
            self._active |= new
            if not self._active and not self._corner_rows:
                break
            codes, rows, room = self._programme(point, excess, watts)
            division = divide(rule, self.demand, rows, room, alpha=alpha, price=self._last_prices(codes))
            self._prices = dict(zip(codes.tolist(), division.price.tolist(), strict=True))
            bound = float(division.watts.sum())
            settled = bool((np.abs(division.watts - watts) <= 1.0 + SETTLED * division.watts).all())
            # A rule that jumps between two answers is led towards the best point that held.
            halve = best_total >= 0.0 and turns > most // 2
            watts = 0.5 * (division.watts + good) if halve else division.watts
        return self._answer(watts, worst, division, codes, turns, bound)

    def _last_prices(self, codes: NDArray[np.int64]) -> FloatArray:
        """Return the last turn's price of each constraint: a rule that works by prices starts there."""
        return np.array([self._prices.get(code, 0.0) for code in codes.tolist()])

    def _programme(
        self, point: Reference, excess: FloatArray, watts: FloatArray
    ) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        """Return the constraints' codes, rows and room at a point: those in use there, and those of broken corners."""
        codes = np.array(sorted(self._active), dtype=np.int64)
        slopes = self.rows(point, codes)
        room = self._room(excess, codes, slopes, watts)
        rows = np.maximum(slopes, 0.0)
        if self._corner_rows:
            extra = list(self._corner_rows.items())
            codes = np.concatenate([codes, np.array([key[1] for key, _ in extra], dtype=np.int64)])
            rows = np.concatenate([rows, np.stack([row for _, (row, _) in extra])])
            room = np.concatenate([room, np.array([left for _, (_, left) in extra])])
        return codes, rows, room

    def _corner_masks(self, point: Reference, excess: FloatArray, watts: FloatArray) -> list[NDArray[np.bool_]]:
        """Return the corners to look at: for each constraint near its limit, those idle who take load off it."""
        near = np.flatnonzero(excess > -NEAR_CORNER)
        near = near[np.argsort(-excess[near], kind="stable")][:MOST_NEAR_CORNERS].astype(np.int64)
        found: dict[bytes, NDArray[np.bool_]] = {}
        for slopes in self.rows(point, near):
            mask = slopes > 0.0
            if float(np.minimum(slopes, 0.0) @ watts) < -1e-6 * abs(float(slopes @ watts)):
                found.setdefault(mask.tobytes(), mask)
            if len(found) >= MOST_CORNERS:
                break
        return list(found.values())

    def _broken_corners(self, point: Reference, excess: FloatArray, watts: FloatArray) -> bool:
        """Look at the corners and keep a row, linear at the corner itself, for each constraint that is broken there."""
        broken = False
        for mask in self._corner_masks(point, excess, watts):
            others = np.where(mask, watts, 0.0)
            try:
                there = self.excess(self.voltages(others))
            except NotConverged:
                continue
            if float(there.max(initial=-1.0)) <= 0.0:
                continue
            broken = True
            at = self.solve(others)
            codes = np.array(self._worst_first(there, np.zeros(len(there)))[:CORNER_ROWS], dtype=np.int64)
            rows = np.where(mask, np.maximum(self.rows(at, codes), 0.0), 0.0)
            room = -(there[codes] + 0.25 * INSIDE) * self._scale(codes) + rows @ others
            for place, code in enumerate(codes.tolist()):
                self._corner_rows[mask.tobytes(), code] = (rows[place], float(room[place]))
        return broken

    def _corners(self, watts: FloatArray) -> tuple[FloatArray, float, int, bool]:
        """Check the corners in which those who take load off a near constraint do nothing; shrink the others until
        they hold.

        Returns the watts, the violation with all at their limits, how many corners were looked at, whether one was shrunk.
        """
        point = self.solve(watts)
        excess, shrunk = self.excess(point.volts.view(np.complex128)), False
        masks = self._corner_masks(point, excess, watts)
        for mask in masks:
            others = np.where(mask, watts, 0.0)
            if self._holds(others)[0] > 0.0:
                shrunk = True
                low = self._part_that_holds(np.where(mask, self.demand.floor, 0.0), others)
                watts = np.where(mask, self.demand.floor + low * (watts - self.demand.floor), watts)
        return watts, self._holds(watts)[0], len(masks), shrunk

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
        """Climb from the pro-rata answer: linear programmes at the AC point, each step shortened until it and its corners
        hold.

        The problem is not convex: the answer is the best point found, never less than pro rata; `bound_w` is the last
        programme's own promise, not a proof.
        """
        start = self.run("pro_rata_capacity")
        watts, worst, division, codes = start.watts, start.violation, None, np.zeros(0, dtype=np.int64)
        bound, turns = float(watts.sum()), 0
        if not self._active and not self._corner_rows:
            return start
        reach = FIRST_REACH
        while turns < MOST_PROGRAMMES:
            turns += 1
            point = self.solve(watts)
            excess = self.excess(point.volts.view(np.complex128))
            # A small programme is a fast one: what is far from its limit comes back when it is broken.
            self._active = {code for code in self._active if excess[code] > -4.0 * self._near[code]}
            codes, rows, room = self._programme(point, excess, watts)
            near = replace(
                self.demand, floor=np.maximum(self.demand.floor, watts - reach * self.demand.cap),
                cap=np.minimum(self.demand.cap, watts + reach * self.demand.cap),
            )  # fmt: skip
            known = len(self._active) + len(self._corner_rows)
            wanted = divide("maximum_total", near, rows, room).watts
            better = self._better(watts, wanted)
            if better is None:
                grew = len(self._active) + len(self._corner_rows) > known
                reach *= 0.75 if grew else 0.4
                if reach < LEAST_REACH:
                    break
                continue
            gained, watts, reach = float(better.sum() - watts.sum()), better, min(1.0, 1.5 * reach)
            if gained < 0.001 * float(watts.sum()):
                break
        point = self.solve(watts)
        excess = self.excess(point.volts.view(np.complex128))
        worst = float(excess.max(initial=-1.0))
        codes, rows, room = self._programme(point, excess, watts)
        division = divide("maximum_total", self.demand, rows, room)
        bound = float(division.watts.sum())
        found = self._answer(watts, worst, division, codes, start.turns + turns, max(bound, float(watts.sum())))
        if found.watts.sum() < start.watts.sum() or found.violation > INSIDE:
            return replace(start, bound_w=max(bound, float(start.watts.sum())), turns=found.turns)
        return found

    def _better(self, watts: FloatArray, wanted: FloatArray) -> FloatArray | None:
        """Return the further of two parts of the way that holds with its corners and gives more; keep rows for what does
        not hold."""
        for part in (1.0, 0.5):
            trial = watts + part * (wanted - watts)
            if trial.sum() <= watts.sum() + 1.0:
                break
            worst, new = self._holds(trial)
            self._active |= new
            if worst <= INSIDE:
                point = self.solve(trial)
                if not self._broken_corners(point, self.excess(point.volts.view(np.complex128)), trial):
                    return trial
        return None

    def _holds(self, watts: FloatArray) -> tuple[float, set[int]]:
        """Return the largest violation at `watts` (inf without a solution) and the worst broken constraints."""
        try:
            excess = self.excess(self.voltages(watts))
        except NotConverged:
            return np.inf, set()
        return float(excess.max(initial=-1.0)), self._worst_new(excess, np.full(len(excess), -INSIDE), set())

    def _worst_new(self, excess: FloatArray, near: FloatArray, active: set[int]) -> set[int]:
        """Return the constraints to add: those beyond or near their limits and worse than their neighbours along the
        feeder, the worst few dozen a turn. What a neighbour hides shows when the neighbour is inside."""
        return set([code for code in self._worst_first(excess, near) if code not in active][:MOST_NEW_ROWS])

    def _worst_first(self, excess: FloatArray, near: FloatArray) -> list[int]:
        count = len(self._nominal)
        keep = np.concatenate([
            _peaks(excess[:count], self._node_pairs), _peaks(excess[count : 2 * count], self._node_pairs),
            _peaks(excess[2 * count :], self._row_pairs),
        ])  # fmt: skip
        found = np.flatnonzero((excess > -near) & keep)
        order: list[int] = found[np.argsort(-excess[found], kind="stable")].tolist()
        return order

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


def _neighbours(network: Network, watched: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs (k, 2) of places in `watched` joined along one phase, and pairs of monitored rows in series."""
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
