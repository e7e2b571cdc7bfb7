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
from derms.grid.network import FloatArray

RULES = ("equal", "pro_rata_capacity", "pro_rata_need", "last_in_first_off", "maximum_total", "alpha_fair")
NOTHING_BINDS = -1
BYSTANDER = 0.02
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


def divide(rule: str, demand: Demand, rows: FloatArray, room: FloatArray, *, alpha: float = 1.0) -> Division:
    """Divide by a rule; raises InputError for an unknown one, or for an alpha outside 0.1..10."""
    if rule not in RULES:
        raise InputError(f"unknown sharing rule {rule!r}", where="rule", remedy=", ".join(RULES))
    if rule == "maximum_total":
        return _most(demand, rows, room)
    rows, room = _without_bystanders(demand, rows, room)
    if rule == "equal":
        return _fill(demand, np.ones(len(demand.cap)), rows, room, level=True)
    if rule == "pro_rata_capacity":
        return _fill(demand, demand.cap - demand.floor, rows, room, level=False)
    if rule == "pro_rata_need":
        return _fill(demand, np.maximum(demand.need, 1e-3), rows, room, level=False)
    if rule == "last_in_first_off":
        return _in_order(demand, rows, room)
    watts, price, shadow = alpha_fair(demand.floor, demand.cap, rows, room, alpha)
    return Division(watts, _tightest(watts, demand, rows, price), shadow)


def _without_bystanders(demand: Demand, rows: FloatArray, room: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Take sites that hardly touch a row out of it, with what they would use at their caps: it must not stop them.

    A site counts as a bystander below 2 % of the row's largest sensitivity, as long as all of them use at most half
    the room.
    """
    if not len(rows):
        return rows, room
    cleared, left = rows.copy(), room.copy()
    _clear_bystanders(cleared, left, demand.floor, demand.cap)
    return cleared, left


@njit(cache=True)
def _clear_bystanders(rows, room, floor, cap):  # type: ignore[no-untyped-def]
    for r in range(rows.shape[0]):
        most, carried = 0.0, 0.0
        for i in range(rows.shape[1]):
            most = max(most, rows[r, i])
            carried += rows[r, i] * floor[i]
        used = 0.0
        for i in range(rows.shape[1]):
            if rows[r, i] < BYSTANDER * most:
                used += rows[r, i] * cap[i]
        if used <= 0.5 * max(room[r] - carried, 0.0):
            for i in range(rows.shape[1]):
                if rows[r, i] < BYSTANDER * most:
                    rows[r, i] = 0.0
            room[r] -= used


def _fill(demand: Demand, weight: FloatArray, rows: FloatArray, room: FloatArray, *, level: bool) -> Division:
    """Raise all together (by `weight`, or to one `level` of watts) until a row is full: its sites stay, others go on."""
    watts, stopped, full_at = _fill_kernel(demand.floor, demand.cap, weight, np.ascontiguousarray(rows.T), room, level)
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
def _fill_kernel(floor, cap, weight, by_site, room, level):  # type: ignore[no-untyped-def]
    """`by_site` (s, r): a site's column lies together; the rows' flow is kept up to date site by site."""
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
            if moving[i] and ((what >= 0 and by_site[i, what] > 0.0) or end[i] <= at):
                moving[i] = False
                if end[i] <= at:
                    x[i] = cap[i]
                else:
                    stopped[i] = what
                flow -= by_site[i] * weight[i]


def _in_order(demand: Demand, rows: FloatArray, room: FloatArray) -> Division:
    """Give to the first in all it may have, then to the next: the last in is the first off."""
    x = demand.floor.copy()
    stopped = np.full(len(x), NOTHING_BINDS, dtype=np.int64)
    left, speed, order = room - rows @ x, np.zeros(len(x)), []
    by_site = np.ascontiguousarray(rows.T)
    for site in np.argsort(demand.rank, kind="stable"):
        column = by_site[site]
        more = demand.cap[site] - x[site]
        uses = column > 0.0
        if uses.any():
            reach = np.where(uses, np.maximum(left, 0.0) / np.where(uses, column, 1.0), np.inf)
            place = int(reach.argmin())
            if reach[place] < more:
                more, stopped[site] = float(reach[place]), place
                if more > 0.0:
                    speed[site] = 1.0
                    order.append(place)
        x[site] += more
        left -= column * more
    return Division(x, stopped, _shadow_prices(rows, stopped, speed, np.array(order, dtype=np.int64)))


def _most(demand: Demand, rows: FloatArray, room: FloatArray) -> Division:
    """Maximise the sum: a linear programme (HiGHS)."""
    from scipy import sparse
    from scipy.optimize import linprog

    bounds = np.stack([demand.floor, demand.cap], axis=1)
    most = np.maximum(room, rows @ demand.floor)
    live = np.flatnonzero(rows @ demand.cap > most)
    scale = np.maximum(rows[live].max(axis=1, initial=0.0), 1e-30)
    scaled = rows[live] / scale[:, None]
    scaled[scaled < NOTHING] = 0.0
    answer = linprog(
        -np.ones(len(demand.cap)), A_ub=sparse.csr_matrix(scaled), b_ub=most[live] / scale, bounds=bounds, method="highs",
    )  # fmt: skip
    price = np.zeros(len(room))
    if answer.x is None:
        return Division(demand.floor.copy(), np.full(len(demand.cap), NOTHING_BINDS), price)
    x = np.clip(answer.x, demand.floor, demand.cap)
    price[live] = -answer.ineqlin.marginals / scale
    return Division(x, _tightest(x, demand, rows, price), price)


def _tightest(x: FloatArray, demand: Demand, rows: FloatArray, price: FloatArray) -> NDArray[np.int64]:
    """Return for each site below its cap the row that costs it most."""
    cost = rows * price[:, None]
    if not len(cost):
        return np.full(len(x), NOTHING_BINDS, dtype=np.int64)
    place = cost.argmax(axis=0)
    stops = (cost[place, np.arange(len(x))] > 0.0) & (x < demand.cap - 1.0)
    return np.where(stops, place, NOTHING_BINDS)
