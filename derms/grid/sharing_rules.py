"""Sharing rules on linear rows: who gets how much of what the constraints leave. Pure arithmetic, deterministic.

All work on `rows` x <= `room` with floor <= x <= cap; `rows` (r, s) holds no negative number (what a site takes off a
constraint is never counted on), and the floor is inside `room`, or is what the answer falls back to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.errors import InputError
from derms.grid.alpha_fair import alpha_fair
from derms.grid.bystanders import without_bystanders
from derms.grid.network import FloatArray

RULES = ("equal", "pro_rata_capacity", "pro_rata_need", "last_in_first_off", "maximum_total", "alpha_fair")
NOTHING_BINDS = -1
NOTHING = 1e-5
"""What a site does to a row below this part of the row's largest entry is left out of a linear programme."""


@dataclass(frozen=True)
class Demand:
    """What s sites must and may get, watts of one direction; `need_w` for pro rata by need; `rank`: 0 was first in."""

    floor: FloatArray
    cap: FloatArray
    need: FloatArray
    rank: NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """The answer: watts (s,), the row that stops each site (-1: its cap), and each row's shadow price (r,).

    A shadow price is the change of all watts together by the row's room; a fair rule may give less in all with more room.
    """

    watts: FloatArray
    row: NDArray[np.int64]
    price: FloatArray


def divide(
    rule: str, demand: Demand, rows: FloatArray, room: FloatArray, *, alpha: float = 1.0,
    present: FloatArray | None = None, priced: bool = True,
) -> Division:  # fmt: skip
    """Divide by a rule; `present`: the watts (s,) at which the rows were made; `priced`: shadow prices are wanted.

    Raises InputError for an unknown rule, or for an alpha outside 0.1..10.
    """
    if rule not in RULES:
        raise InputError(f"unknown sharing rule {rule!r}", where="rule", remedy=", ".join(RULES))
    if rule == "maximum_total":
        return most_in_all(demand, rows, room, present)
    even = rule not in ("last_in_first_off", "alpha_fair")
    whole = len(rows)
    rows, room, origin = without_bystanders(demand.floor, demand.cap, rows, room, present, at_caps=even)
    if rule == "equal":
        found = _fill(demand, np.ones(len(demand.cap)), rows, room, level=True, priced=priced)
    elif rule == "pro_rata_capacity":
        found = _fill(demand, demand.cap - demand.floor, rows, room, level=False, priced=priced)
    elif rule == "pro_rata_need":
        found = _fill(demand, np.maximum(demand.need, 1e-3), rows, room, level=False, priced=priced)
    elif rule == "last_in_first_off":
        found = _in_order(demand, rows, room, priced=priced)
    else:
        watts, price, shadow = alpha_fair(demand.floor, demand.cap, rows, room, alpha, present, priced=priced)
        row = _tightest(watts, demand, rows, price) if priced else np.full(len(watts), NOTHING_BINDS)
        found = Division(watts, row, shadow)
    return _of_whole(found, origin, whole)


def _of_whole(found: Division, origin: NDArray[np.int64], count: int) -> Division:
    """Return a division by `count` rows: what stops a site is the row that its row is of, and prices add up."""
    price = np.zeros(count)
    np.add.at(price, origin, found.price)
    row = found.row if not count else np.where(found.row >= 0, origin[found.row], NOTHING_BINDS)
    return Division(found.watts, row, price)


def _fill(
    demand: Demand, weight: FloatArray, rows: FloatArray, room: FloatArray, *, level: bool, priced: bool
) -> Division:  # fmt: skip
    """Raise all together (by `weight`, or to one `level` of watts) until a row is full: its sites stay, others go on."""
    watts, stopped, full_at = _fill_kernel(
        demand.floor, demand.cap, weight, (rows, np.ascontiguousarray(rows.T)), room, level
    )
    if not priced:
        return Division(watts, stopped, np.zeros(len(rows)))
    # Who was stopped before it moved stays where it is, whatever the row's room.
    moved = np.where(watts > demand.floor, weight, 0.0)
    full = np.flatnonzero(np.isfinite(full_at))
    return Division(watts, stopped, _shadow_prices(rows, stopped, moved, full[np.argsort(full_at[full], kind="stable")]))


def _shadow_prices(rows: FloatArray, stopped: NDArray[np.int64], speed: FloatArray, order: NDArray[np.int64]) -> FloatArray:
    """Return each row's price: rows fill in `order`; those stopped by a row move by their `speed` with its level.

    A row holds only sites stopped by it or before it, so levels follow from rooms by a triangular system.
    """
    price, ours = np.zeros(len(rows)), []
    for row in order.tolist():
        mine = (stopped == row) & (speed > 0.0)
        if mine.any():
            ours.append((row, np.where(mine, speed, 0.0)))
    if ours:
        kept = np.array([row for row, _ in ours])
        moves = np.stack([move for _, move in ours], axis=1)
        price[kept] = np.linalg.solve(np.tril(rows[kept] @ moves).T, moves.sum(axis=0))
    return price


@njit(cache=True)
def _fill_kernel(floor, cap, weight, both, room, level):  # type: ignore[no-untyped-def]
    """`both`: (r, s) and (s, r), so that a row and a site's column each lie together; the rows' flow is kept up to date."""
    rows, by_site = both
    sites, count = by_site.shape
    x, stopped = floor.copy(), np.full(sites, -1, dtype=np.int64)
    left = room.copy()
    for i in range(sites):
        if x[i] != 0.0:
            left -= by_site[i] * x[i]
    full_at, flow, at = np.full(count, np.inf), np.zeros(count), 0.0
    # At one level a site starts to move when the level passes its floor; by weight all start at once.
    begin = floor.copy() if level else np.zeros(sites)
    end = cap.copy() if level else (cap - floor) / np.maximum(weight, 1e-12)
    waiting, moving = cap > floor, np.zeros(sites, dtype=np.bool_)
    full = np.zeros(count, dtype=np.bool_)
    while True:
        for i in range(sites):
            if waiting[i] and begin[i] <= at:
                waiting[i] = False
                for r in range(count):
                    if full[r] and by_site[i, r] > 0.0:
                        stopped[i] = r
                if stopped[i] >= 0:
                    continue
                moving[i] = True
                flow += by_site[i] * weight[i]
        nearest, what = np.inf, -2
        for i in range(sites):
            if waiting[i] and begin[i] < nearest:
                nearest, what = begin[i], -3
            elif moving[i] and end[i] < nearest:
                nearest, what = end[i], -3
        if what == -2:
            return x, stopped, full_at
        for r in range(count):
            if not full[r] and flow[r] > 1e-15:
                reach = at + max(left[r], 0.0) / flow[r]
                if reach < nearest:
                    nearest, what = reach, r
        step = nearest - at
        for i in range(sites):
            if moving[i]:
                x[i] += weight[i] * step
        left -= flow * step
        at = nearest
        if what >= 0:
            full_at[what] = at
            full[what] = True
        for i in range(sites):
            if moving[i] and ((what >= 0 and rows[what, i] > 0.0) or end[i] <= at):
                moving[i] = False
                if end[i] <= at:
                    x[i] = cap[i]
                else:
                    stopped[i] = what
                flow -= by_site[i] * weight[i]


def _in_order(demand: Demand, rows: FloatArray, room: FloatArray, *, priced: bool) -> Division:
    """Give to the first in all it may have, then to the next: the last in is the first off."""
    order = np.argsort(demand.rank, kind="stable")
    watts, stopped, speed, filled, count = _order_kernel(
        demand.floor, demand.cap, np.ascontiguousarray(rows.T), room, order
    )
    if not priced:
        return Division(watts, stopped, np.zeros(len(rows)))
    return Division(watts, stopped, _shadow_prices(rows, stopped, speed, filled[:count]))


@njit(cache=True)
def _order_kernel(floor, cap, by_site, room, order):  # type: ignore[no-untyped-def]
    sites, count = by_site.shape
    x, left = floor.copy(), room.copy()
    stopped, speed = np.full(sites, -1, dtype=np.int64), np.zeros(sites)
    filled, full = np.zeros(sites, dtype=np.int64), 0
    for i in range(sites):
        if x[i] != 0.0:
            left -= by_site[i] * x[i]
    for i in order:
        more = cap[i] - x[i]
        for r in range(count):
            if by_site[i, r] > 0.0 and max(left[r], 0.0) < more * by_site[i, r]:
                more, stopped[i] = max(left[r], 0.0) / by_site[i, r], r
        if more > 0.0:
            if stopped[i] >= 0:
                speed[i], filled[full] = 1.0, stopped[i]
                full += 1
            x[i] += more
            left -= by_site[i] * more
            if stopped[i] >= 0:
                left[stopped[i]] = 0.0
    return x, stopped, speed, filled, full


def most_in_all(demand: Demand, rows: FloatArray, room: FloatArray, present: FloatArray | None = None) -> Division:
    """Maximise the sum by a linear programme (HiGHS).

    With `present`, bystanders leave the rows at what they use there: a programme so sparse takes a hundredth of the
    time, but its sum is no bound (see `sharing_bound`).
    """
    from scipy import sparse
    from scipy.optimize import linprog

    floor, cap = demand.floor, demand.cap
    bounds = np.stack([floor, cap], axis=1)
    room = np.maximum(room, rows @ floor)
    used, left, origin = rows, room, np.arange(len(room))
    if present is not None:
        used, left, origin = without_bystanders(floor, cap, rows, room, present, at_caps=False)
        left = np.maximum(left, used @ floor)
    live = np.flatnonzero(used @ cap > left)
    scale = np.maximum(used[live].max(axis=1, initial=0.0), 1e-30)
    scaled = used[live] / scale[:, None]
    scaled[scaled < NOTHING] = 0.0
    answer = linprog(
        -np.ones(len(cap)), A_ub=sparse.csr_matrix(scaled), b_ub=left[live] / scale, bounds=bounds, method="highs"
    )
    price = np.zeros(len(room))
    if answer.x is None:
        return Division(floor.copy(), np.full(len(cap), NOTHING_BINDS), price)
    x = np.clip(answer.x, floor, cap)
    np.add.at(price, origin[live], np.maximum(-answer.ineqlin.marginals, 0.0) / scale)
    return Division(x, _tightest(x, demand, rows, price), price)


def _tightest(x: FloatArray, demand: Demand, rows: FloatArray, price: FloatArray) -> NDArray[np.int64]:
    """Return for each site below its cap the row that costs it most."""
    cost = rows * price[:, None]
    if not len(cost):
        return np.full(len(x), NOTHING_BINDS, dtype=np.int64)
    place = cost.argmax(axis=0)
    stops = (cost[place, np.arange(len(x))] > 0.0) & (x < demand.cap - 1.0)
    return np.where(stops, place, NOTHING_BINDS)
