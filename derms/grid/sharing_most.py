"""The maximum total: linear programmes over tangents, begun at the best that any other rule gives.

Every visited point leaves the tangents of its constraints, each in its own worst corner; all of them together bound the
next programme, whose answer is tried on the AC network: it leaves tangents of its own, and the part of the way to it
that holds is the next best point. The problem is not convex: the answer is the best point found that holds. Very many sites
begin at one fair point near the largest sum instead (`_many`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from derms.errors import NotConverged
from derms.grid.network import FloatArray
from derms.grid.sharing_bound import priced_bound
from derms.grid.sharing_corners import HOLDS, INSIDE, Rows
from derms.grid.sharing_rules import Division, divide, most_in_all

if TYPE_CHECKING:
    from derms.grid.sharing import Shared, Sharing

STARTS = ("pro_rata_capacity", "pro_rata_need", "equal", "last_in_first_off", "alpha_fair")
MOST_PROGRAMMES = 14
CLOSE = 0.002
"""The search ends when bound and best point are within this part of each other."""
MOST_TANGENTS = 400
MOST_CELLS = 1_000_000
"""Sites times nodes. Beyond, a programme of all rows takes seconds (1,000 sites on a feeder with a transformer each) and
a control cycle has none to give: see `_many`. A count, so the same each time."""
LEAN = 0.25
"""Alpha of the fair point at which the steps of many sites begin: near the largest sum, and the only one of its kind."""
MOST_TRIMMED = 0.01
STEPS, STRIDE, LEAST_STRIDE_W, FAILS = 6, 0.3, 1000.0, 2
PRICED_KIND = (
    "prices over the tangents of every constraint near its limit, in its worst corner, at the best point found; a bound "
    "of the linear model, not of AC: it is one as far as constraints are convex in the sites' power"
)
BOUND_KIND = (
    "linear programme over tangents of every constraint near its limit, in its worst corner, at every point visited; "
    "a bound of the linear model, not of AC: it is one as far as constraints are convex in the sites' power"
)
PARTS = (1.0, 0.9, 0.7, 0.45, 0.2)


def maximum_total(sharing: Sharing) -> Shared:
    """Return the best point found and, as `bound_w`, the least that any programme promised (`BOUND_KIND`)."""
    if len(sharing.demand.cap) * sharing.feeder.network.size > MOST_CELLS:
        return _many(sharing)
    start, turns, tangents = _best_start(sharing)
    demand, best = sharing.demand, start.watts
    bound, rows, division, stuck = float(demand.cap.sum()), None, None, 0
    for _ in range(MOST_PROGRAMMES):
        pool = tangents.rows()
        if pool is None:
            return replace(start, bound_kind=BOUND_KIND)
        wanted = divide("maximum_total", demand, pool.slopes, pool.room)
        bound = min(bound, float(wanted.watts.sum()))
        if bound - best.sum() <= CLOSE * best.sum():
            break
        turns += 1
        tangents.weigh(wanted.watts)
        better = _towards(sharing, best, wanted.watts, tangents)
        stuck = 0 if better.sum() > best.sum() * (1.0 + 0.1 * CLOSE) else stuck + 1
        if better.sum() > best.sum():
            best = better
            tangents.add(sharing.corners.rows(best))
        if stuck > 3:
            break
    rows = sharing.corners.rows(best)
    division = _explained(divide("maximum_total", demand, rows.slopes, rows.room), best, rows, demand.cap)
    found = sharing.answer(best, rows, division, turns, max(bound, float(best.sum())))
    if found.watts.sum() < start.watts.sum():
        found = replace(start, bound_w=max(bound, float(start.watts.sum())), turns=turns)
    return replace(found, bound_kind=BOUND_KIND)


def _many(sharing: Sharing) -> Shared:
    """Return what a lean alpha-fair point becomes by programmes of few entries within a stride around the best point."""
    demand, start = sharing.demand, sharing.loop("alpha_fair", alpha=LEAN)
    best, turns, stride, failed = start.watts, start.turns, STRIDE, 0
    rows = sharing.corners.rows(best)
    for _ in range(STEPS):
        turns += 1
        around = replace(
            demand, floor=np.maximum(demand.floor, best - stride * best - LEAST_STRIDE_W),
            cap=np.minimum(demand.cap, best + stride * best + LEAST_STRIDE_W),
        )  # fmt: skip
        wanted = most_in_all(around, rows.slopes, rows.room, best).watts
        try:
            held = sharing.trimmed(wanted, sharing.corners.rows(wanted), MOST_TRIMMED)
        except NotConverged:
            held = None
        more = -1.0 if held is None else float(held.sum() - best.sum())
        failed = 0 if more > 0.1 * CLOSE * best.sum() else failed + 1
        if held is not None and more > 0.0:
            best = held
        if failed >= FAILS:
            break
        stride = stride if not failed else 0.5 * stride
        rows = sharing.corners.rows(best)
    rows = sharing.corners.rows(best)
    division = most_in_all(demand, rows.slopes, rows.room, best)
    found = sharing.answer(best, rows, _explained(division, best, rows, demand.cap), turns, 0.0)
    if found.watts.sum() < start.watts.sum():
        found = replace(start, turns=turns)
    bound = priced_bound(demand.floor, demand.cap, rows.slopes, rows.room, division.price)
    return replace(found, bound_w=max(bound, float(found.watts.sum())), bound_kind=PRICED_KIND)


def _best_start(sharing: Sharing) -> tuple[Shared, int, _Tangents]:
    """Return the other rules' largest answer, their turns, and the tangents there."""
    best, turns, tangents = None, 0, _Tangents()
    corners = None
    for rule in STARTS:
        found = sharing.loop(rule)
        turns += found.turns
        if corners is not None:
            sharing.corners.take_over(corners)
        corners = sharing.corners
        if found.violation <= INSIDE:
            tangents.add(corners.rows(found.watts))
        if best is None or (found.violation <= INSIDE and found.watts.sum() > best.watts.sum()):
            best = found
    assert best is not None
    return best, turns, tangents


def _towards(sharing: Sharing, best: FloatArray, wanted: FloatArray, tangents: _Tangents) -> FloatArray:
    """Try the way from the best point to a wanted one: tangents where it breaks something, and the furthest that holds."""
    for part in PARTS:
        trial = best + part * (wanted - best)
        try:
            rows = sharing.corners.rows(trial)
        except NotConverged:
            continue
        tangents.add(rows)
        if rows.worst <= HOLDS:
            return trial
        if part == PARTS[0]:
            # What is a little too much is scaled by its worst row, and often holds at once.
            near = _repaired(sharing, trial, rows)
            if near is not None and near.sum() > best.sum():
                return near
    return best


def _repaired(sharing: Sharing, trial: FloatArray, rows: Rows) -> FloatArray | None:
    """Return the trial with the sites of each overfull row scaled back until the rows hold, if the network agrees."""
    floor, watts = sharing.demand.floor, trial.copy()
    for _ in range(3):
        for slopes, room in zip(rows.slopes, rows.room, strict=True):
            carried, least = float(slopes @ watts), float(slopes @ floor)
            if carried > room and carried > least:
                part = max(room - least, 0.0) / (carried - least)
                touched = slopes > 0.02 * slopes.max()
                watts = np.where(touched, floor + part * (watts - floor), watts)
        try:
            rows = sharing.corners.rows(watts)
        except NotConverged:
            return None
        if rows.worst <= HOLDS:
            return watts
    return None


def _explained(division: Division, best: FloatArray, rows: Rows, cap: FloatArray) -> Division:
    """Return the programme's prices, and for each site below its cap the priced row that it costs most."""
    cost = rows.slopes * division.price[:, None]
    if not len(cost):
        return division
    place = cost.argmax(axis=0)
    stops = (cost[place, np.arange(len(best))] > 0.0) & (best < cap - 1.0)
    return replace(division, row=np.where(stops, place, -1))


class _Tangents:
    """All rows that were ever made, at most `MOST_TANGENTS`: what has been slack longest goes first."""

    def __init__(self) -> None:
        self._slopes: list[FloatArray] = []
        self._room: list[float] = []
        self._codes: list[int] = []
        self._slack: list[int] = []

    def add(self, rows: Rows) -> None:
        """Take up a point's rows."""
        for slopes, room, code in zip(rows.slopes, rows.room.tolist(), rows.codes.tolist(), strict=True):
            self._slopes.append(slopes)
            self._room.append(room)
            self._codes.append(code)
            self._slack.append(0)

    def weigh(self, watts: FloatArray) -> None:
        """Note which rows were far from full at a programme's answer, and drop those that are so most often."""
        carried = np.stack(self._slopes) @ watts
        slack = carried < np.array(self._room) - 0.02
        self._slack = [count + 1 if far else 0 for count, far in zip(self._slack, slack.tolist(), strict=True)]
        if len(self._slack) <= MOST_TANGENTS:
            return
        keep = sorted(np.argsort(self._slack, kind="stable")[:MOST_TANGENTS].tolist())
        self._slopes, self._room = [self._slopes[k] for k in keep], [self._room[k] for k in keep]
        self._codes, self._slack = [self._codes[k] for k in keep], [self._slack[k] for k in keep]

    def rows(self) -> Rows | None:
        """Return all rows, or None."""
        if not self._slopes:
            return None
        return Rows(np.array(self._codes, dtype=np.int64), np.stack(self._slopes), np.array(self._room), 0.0)
