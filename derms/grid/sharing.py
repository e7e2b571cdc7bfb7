"""Envelopes of many sites together in one direction: AC points, adjoint rows, sharing rule, again until it holds.

Rows are linear at the AC point itself and found by one transposed solve for sixteen constraints; a linear answer from
the base point would be unsafe (reversal of a flow is missed). Each constraint is held in its own worst corner (see
`sharing_corners`): limits hold for any use inside the box. What the loop cannot bring inside is scaled towards the
floor, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from derms.errors import NotConverged
from derms.grid.fast import HourState
from derms.grid.hosting import Watch
from derms.grid.network import FloatArray
from derms.grid.sharing_corners import INSIDE, Corners, Rows
from derms.grid.sharing_feeder import SharedFeeder
from derms.grid.sharing_rules import Demand, Division, divide
from derms.grid.sharing_sites import Sites

MOST_TURNS = 24
SETTLED = 2e-3
"""A rule has settled when no limit moves by more than this part of itself, or two points in turn
hold and their sums agree so closely."""
MOST_PROBES = 4
BEYOND_FIRST = 1.5
BISECTIONS = 14


@dataclass(frozen=True)
class Shared:
    """Limits of one direction, watts (s,), verified together on the AC network.

    `binding`: (criterion, element) that stops each site ("" twice: its own cap); `share`: of its flexible part;
    `price`: shadow price of what binds, watts in all for a limit wider by all of itself (its rating, its nominal
    voltage), to first order. `violation`: the largest relative one left, all at their limits or in a corner;
    `corners` looked at, beside all at their limits, and whether one made the limits shrink.
    `scaled`: the loop did not end and the answer was scaled to hold; `bound_w`: what the rule gives on the last rows;
    for the maximum total see `sharing_most`. `bound_kind`: what sort of bound that is.
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
    bound_kind: str = "the rule on the rows of the last point"


class Sharing:
    """One direction of one hour: `sign` 1 for import, -1 for export. `counted`: see `SharedFeeder`."""

    def __init__(
        self, state: HourState, watching: Watch, sites: Sites, demand: Demand, sign: float,
        counted: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        self.feeder = SharedFeeder(state, watching, sites, sign, counted)
        self.demand, self.corners = demand, Corners(self.feeder, demand.floor)

    def run(self, rule: str, *, alpha: float = 1.0) -> Shared:
        """Share by a rule and return limits that hold; raises NotConverged when not even the floor has a solution."""
        if rule == "maximum_total":
            from derms.grid.sharing_most import maximum_total

            return maximum_total(self)
        return self.loop(rule, alpha=alpha)

    def loop(self, rule: str, *, alpha: float = 1.0) -> Shared:
        """Return what `run` returns, for every rule but the maximum total."""
        self.corners = Corners(self.feeder, self.demand.floor)
        floor, cap = self.demand.floor, self.demand.cap
        watts = self._begin()
        good, bound = floor, float(cap.sum())
        division, rows, turns = None, None, 0
        best, before, settled, probes = -1.0, -1.0, False, 0
        for turns in range(1, MOST_TURNS + 1):
            try:
                rows = self.corners.rows(watts)
            except NotConverged:
                watts = floor + 0.5 * (watts - floor)
                continue
            holds, total = rows.worst <= INSIDE, float(watts.sum())
            calm = holds and abs(total - before) <= SETTLED * before
            before = total if holds else -1.0
            if holds and total > best:
                best, good = total, watts
            if holds and (settled or calm or not len(rows.codes)):
                probes += 1
                if probes > MOST_PROBES or not self.corners.probe(watts):
                    break
                # What shows only in a corner has a row now: earlier points that held do not count any more.
                best, before, good = -1.0, -1.0, floor
                rows = self.corners.rows(watts)
            division = divide(rule, self.demand, rows.slopes, rows.room, alpha=alpha)
            bound = float(division.watts.sum())
            settled = bool((np.abs(division.watts - watts) <= 1.0 + SETTLED * division.watts).all())
            # A rule that jumps between two answers is led towards the best point that held.
            halve = best >= 0.0 and turns > MOST_TURNS // 2
            watts = 0.5 * (division.watts + good) if halve else division.watts
        found = self.answer(watts, rows, division, turns, bound)
        if (found.scaled or found.shrunk) and good.sum() > found.watts.sum() and max(self.corners.worst(good)) <= INSIDE:
            return replace(self.answer(good, rows, division, turns, bound), scaled=True)
        return found

    def _begin(self) -> FloatArray:
        """Return a point somewhat beyond the first constraint: what breaks there is what matters."""
        floor, cap = self.demand.floor, self.demand.cap
        try:
            reach = self.feeder.furthest(floor, cap)
        except NotConverged:
            return cap.copy()
        return floor + min(1.0, BEYOND_FIRST * reach + 0.02) * (cap - floor)

    def answer(self, watts: FloatArray, rows: Rows | None, division: Division | None, turns: int, bound: float) -> Shared:
        """Return `watts`, scaled towards the floor until they hold with their corners, and what stops each site."""
        floor, cap = self.demand.floor, self.demand.cap
        whole, corner = self.corners.worst(watts)
        scaled, shrunk = whole > INSIDE, whole <= INSIDE < corner
        if scaled or shrunk:
            watts = self.scaled_back(watts)
            whole, corner = self.corners.worst(watts)
        flexible = np.where(cap > floor, cap - floor, 1.0)
        price, binding = np.zeros(len(floor)), []
        for site in range(len(floor)):
            row = -1 if division is None or rows is None else int(division.row[site])
            binding.append(("", "") if row < 0 or rows is None else self.feeder.name_of(int(rows.codes[row])))
            if row >= 0 and division is not None:
                price[site] = division.price[row]
        whole_watts = np.floor(watts)
        return Shared(
            whole_watts, tuple(binding), (whole_watts - floor) / flexible, price, max(whole, corner), turns, scaled, bound,
            len(self.corners.corners) - 1, shrunk,
        )  # fmt: skip

    def scaled_back(self, watts: FloatArray) -> FloatArray:
        """Return the largest scaling of the way from floor to `watts` that holds with its corners; the floor at least."""
        floor, low, high = self.demand.floor, 0.0, 1.0
        below, above = -0.1, max(self.corners.worst(watts))
        for turn in range(BISECTIONS):
            # The worst of many constraints bends and rests: the straight line and the middle in turn.
            middle = 0.5 * (low + high)
            if turn % 2 == 0 and np.isfinite(above):
                middle = low + (high - low) * min(max(0.98 * -below / max(above - below, 1e-12), 0.02), 0.98)
            worst = max(self.corners.worst(floor + middle * (watts - floor)))
            if worst <= INSIDE:
                low, below = middle, min(worst, -1e-9)
                if worst > -INSIDE:
                    break
            else:
                high, above = middle, worst
        return floor + low * (watts - floor)
