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
from derms.grid.bystanders import BYSTANDER
from derms.grid.fast import HourState
from derms.grid.hosting import Watch
from derms.grid.network import FloatArray
from derms.grid.sharing_corners import HOLDS, INSIDE, Corners, Rows
from derms.grid.sharing_feeder import SharedFeeder
from derms.grid.sharing_rules import Demand, Division, divide
from derms.grid.sharing_sites import Sites

MOST_TURNS = 24
SETTLED = 2e-3
"""A rule has settled when its answer and the point that holds differ by no more than this part of all."""
CALM, STEADY, RESTS = 1.02, 1e-2, 0.02
"""A rule is calm when it gives no more than `CALM` of a point that holds, and two such in turn agree within `STEADY`; it
rests when its answers in turn differ by no more than `RESTS`."""
MOST_PROBES = 4
BEYOND_FIRST = 1.5
BISECTIONS = 14
STRIDE, FIRST_STRIDE = 1.0, 0.02
"""A site grows in a turn by at most so much of itself, and so much of its cap: beyond, nothing is known."""
MOST_TRIMS, MOST_TRIMMED = 3, 0.003
"""A point that breaks a constraint by less than this is brought inside by trimming the sites on that row."""


@dataclass(frozen=True)
class Shared:
    """Limits of one direction, watts (s,), verified together on the AC network.

    `binding`: (criterion, element) that stops each site ("" twice: its own cap); `share`: of its flexible part;
    `price`: shadow price of what binds, watts in all for a limit wider by all of itself (its rating, its nominal
    voltage), to first order. `violation`: the largest relative one left, all at their limits or in a corner;
    `corners` looked at, beside all at their limits, and whether one made the limits shrink.
    `scaled`: the loop did not end, and the answer is the best point that held or was scaled to hold; `bound_w`: what the
    rule gives on the last rows; for the maximum total see `sharing_most`. `bound_kind`: what sort of bound that is.
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
        watts, present = self._begin(), None
        best, bound = floor, float(cap.sum())
        rows, turns, known, probes, before, rests = None, 0, False, 0, -1.0, False
        division: Division | None = None
        for turns in range(1, MOST_TURNS + 1):
            try:
                rows = self.corners.rows(watts)
            except NotConverged:
                watts = floor + 0.5 * (watts - floor)
                continue
            held = self.trimmed(watts, rows)
            if held is not None and (not known or held.sum() > best.sum()):
                best, known = held, True
            present = watts if present is None or rests else 0.5 * (present + watts)
            last = division
            division = divide(rule, self.demand, rows.slopes, rows.room, alpha=alpha, present=present, priced=False)
            bound = float(division.watts.sum())
            rests = last is not None and _near(division.watts, last.watts, RESTS)
            calm = held is not None and abs(held.sum() - before) <= STEADY * before and bound <= CALM * held.sum()
            before = -1.0 if held is None else float(held.sum())
            if held is not None and (calm or _near(division.watts, held, SETTLED) or not len(rows.codes)):
                probes += 1
                if probes > MOST_PROBES or not self.corners.probe(held):
                    break
                # What shows only in a corner has a row now: earlier points that held do not count any more.
                known, best, watts, before = False, floor, held, -1.0
                continue
            stride = watts + STRIDE * (watts - floor) + FIRST_STRIDE * (cap - floor)
            # A rule that jumps between answers is led to a point between them.
            wanted = division.watts if rests or turns <= MOST_TURNS // 3 else 0.5 * (division.watts + watts)
            watts = np.minimum(wanted, stride)
        else:
            held = None
        watts = held if held is not None else best if known else watts
        if rows is not None:
            division = divide(rule, self.demand, rows.slopes, rows.room, alpha=alpha, present=present)
        found = self.answer(watts, rows, division, turns, bound)
        return replace(found, scaled=found.scaled or held is None)

    def trimmed(self, watts: FloatArray, rows: Rows, most: float = MOST_TRIMMED) -> FloatArray | None:
        """Return `watts`, less what the sites of overfull rows have too much if that is little; None if it never holds."""
        floor = self.demand.floor
        for _ in range(MOST_TRIMS):
            if rows.worst <= HOLDS:
                return watts
            if rows.worst > most:
                return None
            over = rows.slopes @ watts - rows.room
            full = np.flatnonzero(over > 0.0)
            if not len(full):
                return None
            slopes = rows.slopes[full]
            theirs = slopes >= BYSTANDER * slopes.max(axis=1)[:, None]
            carried = (np.where(theirs, slopes, 0.0)) @ (watts - floor)
            part = np.clip(1.0 - 1.02 * over[full] / np.maximum(carried, 1e-12), 0.0, 1.0)
            watts = floor + np.where(theirs, part[:, None], 1.0).min(axis=0) * (watts - floor)
            try:
                rows = self.corners.rows(watts)
            except NotConverged:
                return None
        return watts if rows.worst <= HOLDS else None

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
        scaled, shrunk = whole > HOLDS, whole <= HOLDS < corner
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
            if worst <= HOLDS:
                low, below = middle, min(worst, -1e-9)
                if worst > -INSIDE:
                    break
            else:
                high, above = middle, worst
        return floor + low * (watts - floor)


def _near(some: FloatArray, other: FloatArray, part: float) -> bool:
    """Say whether two points differ by no more than a part of all, and a watt a site."""
    return bool(np.abs(some - other).sum() <= len(other) + part * other.sum())
