"""Which mixtures of sites are worst: a constraint counts what sites put on it, never what others take off.

Limits form a box and the feasible set does not. A site that relieves a constraint may be idle, so each constraint is
held in the corner in which only those that add to it are at their limits. A corner is an exact AC point of its own;
constraints that agree on who relieves them share one. What a corner leaves of relief is taken out to first order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from derms.errors import NotConverged
from derms.grid.network import ComplexArray, FloatArray
from derms.grid.sharing_feeder import SharedFeeder

INSIDE = 2e-5
"""Relative violation that still counts as holding: far below any meter, above the solver's own noise."""
HOLDS = 0.0
"""An answer exceeds no limit; rows aim a little inside (`ROOM`), above the solver's noise."""
ROOM = 0.25 * INSIDE
MOST_NEW_ROWS, MOST_NEAR_ROWS = 256, 24
"""Rows taken up in a turn: of what is broken, and of what is near."""
FAR = 4.0
"""A constraint so many times further than near keeps the row of an earlier point."""
MOST_CORNERS, MOST_SMALL_CORNERS, SMALL = 8, 24, 1000
"""Corners kept at once, and on a network of fewer nodes than `SMALL`."""
REUSE = 2.0
"""A slope serves again until the watts have moved its constraint by so many times what is near."""
NEAR_PROBE = 0.002
FEW_SITES = 32
RELIEF = 1e-3
"""A relief of a constraint beyond this part of its limit gets a corner of its own."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Constraints as rows · watts <= room, both per unit of the limit: number, corner, slopes (r, s) >= 0, room (r,).

    `worst`: the largest relative violation of any constraint in any corner.
    """

    codes: NDArray[np.int64]
    slopes: FloatArray
    room: FloatArray
    worst: float


@dataclass
class Corner:
    """Who is at the limit, the others being idle; its last AC point."""

    mask: Mask
    volts: ComplexArray | None = None
    excess: FloatArray = field(default_factory=lambda: np.zeros(0))
    used: bool = True
    at_floor: FloatArray | None = None
    slopes: dict[int, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    """By constraint: its slopes (s,), and the watts (s,) at which they were made."""


class Corners:
    """The corners in use on one feeder and the constraints that have rows."""

    def __init__(self, feeder: SharedFeeder, floor: FloatArray) -> None:
        self.feeder, self._floor = feeder, floor
        self._most = MOST_SMALL_CORNERS if feeder.network.size < SMALL else MOST_CORNERS
        self.active: set[int] = set()
        self._kept: dict[int, tuple[FloatArray, float]] = {}
        everybody = np.ones(len(floor), dtype=bool)
        self._all = everybody.tobytes()
        self.corners: dict[bytes, Corner] = {self._all: Corner(everybody)}

    def rows(self, watts: FloatArray) -> Rows:
        """Return the rows at `watts`, each at its worst corner there; raises NotConverged."""
        feeder = self.feeder
        main = self.corners[self._all]
        main.volts = feeder.solve(watts, main.volts)
        main.excess = feeder.excess(main.volts)
        for key, corner in self.corners.items():
            if key != self._all:
                self._look(corner, watts)
        self._find_active()
        codes = self._at_hand()
        slopes, room, left = self._linear(codes, watts)
        if self._add_corners(codes, slopes, left, watts):
            slopes, room, left = self._linear(codes, watts)
        worst = max(self._beyond(corner, corner.excess) for corner in self.corners.values())
        adds = np.maximum(slopes, 0.0)
        self._kept |= {code: (adds[k], room[k]) for k, code in enumerate(codes.tolist())}
        every = sorted(self._kept)
        kept = np.empty((len(every), len(watts)))
        for place, code in enumerate(every):
            kept[place] = self._kept[code][0]
        return Rows(np.array(every, dtype=np.int64), kept, np.array([self._kept[code][1] for code in every]), worst)

    def take_over(self, other: Corners) -> None:
        """Know also the constraints of another search on the same feeder, and its corners as far as there is room."""
        self.active |= other.active
        for key, corner in other.corners.items():
            if len(self.corners) < self._most:
                self.corners.setdefault(key, corner)

    def _look(self, corner: Corner, watts: FloatArray) -> None:
        corner.volts = self.feeder.voltages(np.where(corner.mask, watts, 0.0), corner.volts)
        corner.excess = self.feeder.excess(corner.volts)

    def _find_active(self) -> None:
        """Take up what is broken in a corner, and the nearest of what is near with all at their limits."""
        broken: dict[int, float] = {}
        for key, corner in self.corners.items():
            near = self.feeder.near if key == self._all else np.full(len(corner.excess), -HOLDS)
            for code in self.feeder.worst_first(corner.excess, near)[:MOST_NEW_ROWS]:
                if code not in self.active:
                    broken[code] = max(broken.get(code, -np.inf), float(corner.excess[code]))
        order = sorted(broken, key=lambda code: (-broken[code], code))
        much = sum(value > HOLDS for value in broken.values())
        self.active |= set(order[: max(MOST_NEAR_ROWS, min(much, MOST_NEW_ROWS))])

    def _at_hand(self) -> NDArray[np.int64]:
        """Return the constraints in use that are not far from their limits in every corner.

        What is left out keeps its row of an earlier point: far inside, a current's tangent is flat and says nothing.
        """
        codes = np.array(sorted(self.active), dtype=np.int64)
        worst = np.max([corner.excess[codes] for corner in self.corners.values()], axis=0)
        fresh = (worst > -FAR * self.feeder.near[codes]) | ~np.isin(codes, list(self._kept))
        return np.asarray(codes[fresh])

    def _linear(self, codes: NDArray[np.int64], watts: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return slopes (r, s) and room (r,) of each constraint at its worst known corner, and the relief left in it."""
        corners = list(self.corners.values())
        excess = np.stack([corner.excess[codes] for corner in corners]) if len(codes) else np.zeros((1, 0))
        chosen = excess.argmax(axis=0)
        slopes = np.zeros((len(codes), len(watts)))
        room, left = np.zeros(len(codes)), np.zeros(len(codes))
        for place, corner in enumerate(corners):
            here = np.flatnonzero(chosen == place)
            corner.used = len(here) > 0
            if not len(here) or corner.volts is None:
                continue
            at = np.where(corner.mask, watts, 0.0)
            rows = self._slopes(corner, codes[here], at)
            slopes[here] = rows
            room[here] = -(excess[place, here] + ROOM) + rows @ at
            left[here] = np.maximum(rows, 0.0) @ watts - rows @ at
        return slopes, room, left

    def _slopes(self, corner: Corner, codes: NDArray[np.int64], at: FloatArray) -> FloatArray:
        """Return slopes (k, s) in a corner at `at` watts: the last ones where they have hardly changed since."""
        assert corner.volts is not None
        known, near = corner.slopes, self.feeder.near
        found = np.zeros((len(codes), len(at)))
        moved: dict[int, FloatArray] = {}
        stale = []
        for place, code in enumerate(codes.tolist()):
            if code in known:
                slopes, made = known[code]
                if id(made) not in moved:
                    moved[id(made)] = abs(at - made)
                if abs(slopes) @ moved[id(made)] <= REUSE * near[code]:
                    found[place] = slopes
                    continue
            stale.append(place)
        if stale:
            found[stale] = self.feeder.rows(corner.volts, codes[stale])
            known |= {int(codes[place]): (found[place].copy(), at) for place in stale}
        return found

    def _add_corners(self, codes: NDArray[np.int64], slopes: FloatArray, left: FloatArray, watts: FloatArray) -> bool:
        """Give the constraints that would be worst without their relief a corner of their own; says whether it did."""
        idle = [key for key, corner in self.corners.items() if not corner.used and key != self._all]
        known = np.max([corner.excess[codes] for corner in self.corners.values()], axis=0)
        near = known + left > -self.feeder.near[codes]
        order = np.argsort(-(known + left), kind="stable")
        added = False
        for place in order[near[order] & (left[order] > RELIEF)]:
            mask = slopes[place] > 0.0
            key = mask.tobytes()
            if key in self.corners:
                continue
            if len(self.corners) >= self._most:
                if not idle:
                    break
                del self.corners[idle.pop(0)]
            corner = Corner(mask, self.corners[self._all].volts)
            try:
                self._look(corner, watts)
            except NotConverged:
                continue
            self.corners[key] = corner
            added = True
        return added

    def probe(self, watts: FloatArray) -> bool:
        """Look at each site alone, or of many those of each set of phases; says whether a constraint shows without a row.

        What each group adds to a constraint by itself, without what other groups take off it, tells which constraints
        would be near with those idle: every constraint of the feeder is looked at, to first order.
        """
        nothing = self.feeder.excess(self.feeder.base.volts)
        most = nothing.copy()
        for mask in self._groups:
            try:
                volts = self.feeder.voltages(np.where(mask, watts, 0.0))
            except NotConverged:
                continue
            most += np.maximum(self.feeder.excess(volts) - nothing, 0.0)
        found = self.feeder.worst_first(most, np.minimum(self.feeder.near, NEAR_PROBE))
        new = [code for code in found if code not in self.active][:MOST_NEW_ROWS]
        self.active |= set(new)
        return bool(new)

    @property
    def _groups(self) -> list[Mask]:
        """Return few sites one by one, many by the set of phases that they are on; one group alone needs no look."""
        nodes = self.feeder.sites.nodes
        if 1 < len(nodes) <= FEW_SITES:
            return list(np.eye(len(nodes), dtype=bool))
        phase = np.where(nodes >= 0, _phases(self.feeder)[nodes], 0)
        sets = (1 << phase).sum(axis=1) if len(nodes) else np.zeros(0)
        kinds = np.unique(sets)
        return [sets == kind for kind in kinds] if len(kinds) > 1 else []

    def worst(self, watts: FloatArray) -> tuple[float, float]:
        """Return the largest violation with all at `watts`, and in any corner; inf where there is no solution.

        A corner that the firm floor itself breaks counts by what is beyond that: the floor stands.
        """
        found = [-1.0, -1.0]
        for key, corner in self.corners.items():
            mine = key == self._all
            try:
                excess = self.feeder.excess(self.feeder.voltages(np.where(corner.mask, watts, 0.0)))
            except NotConverged:
                return (np.inf, np.inf) if mine else (found[0], np.inf)
            place = 0 if mine else 1
            found[place] = max(found[place], self._beyond(corner, excess))
        return found[0], found[1]

    def _beyond(self, corner: Corner, excess: FloatArray) -> float:
        """Return a corner's largest violation; what the floors alone break there is not counted, as they stand."""
        if excess.max(initial=-1.0) > INSIDE and not corner.mask.all():
            excess = excess - np.maximum(self._floor_excess(corner), 0.0)
        return float(excess.max(initial=-1.0))

    def _floor_excess(self, corner: Corner) -> FloatArray:
        if corner.at_floor is None:
            corner.at_floor = self.feeder.excess(self.feeder.voltages(np.where(corner.mask, self._floor, 0.0)))
        return corner.at_floor


def _phases(feeder: SharedFeeder) -> NDArray[np.int64]:
    """Return the phase number of each node (0 for what has none)."""
    names = feeder.network.nodes
    return np.array([int(name.rsplit(".", 1)[1]) if "." in name else 0 for name in names], dtype=np.int64)
