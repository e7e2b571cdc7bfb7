"""Sharing rules on linear rows: who gets how much of what the constraints leave. Pure arithmetic, deterministic.

All work on `rows` x <= `room` with floor <= x <= cap; `rows` (r, s) holds no negative number (what a site takes off a constraint
is never counted on), and the floor is inside `room`, or is what the answer falls back to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.errors import InputError
from derms.grid.network import FloatArray

RULES = ("equal", "pro_rata_capacity", "pro_rata_need", "last_in_first_off", "maximum_total", "alpha_fair")
NOTHING_BINDS = -1


@dataclass(frozen=True)
class Demand:
    """What s sites must and may get, watts of one direction; `need_w` for pro rata by need; `rank`: 0 was first in."""

    floor: FloatArray
    cap: FloatArray
    need: FloatArray
    rank: NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """The answer: watts (s,), the row that stops each site (-1: its cap), and each row's shadow price (r,), W per unit."""

    watts: FloatArray
    row: NDArray[np.int64]
    price: FloatArray


def divide(rule: str, demand: Demand, rows: FloatArray, room: FloatArray, *, alpha: float = 1.0) -> Division:
    """Divide by a rule; raises InputError for an unknown one."""
    if rule == "equal":
        return _fill(demand, np.ones(len(demand.cap)), rows, room, level=True)
    if rule == "pro_rata_capacity":
        return _fill(demand, demand.cap - demand.floor, rows, room, level=False)
    if rule == "pro_rata_need":
        return _fill(demand, np.maximum(demand.need, 1e-3), rows, room, level=False)
    if rule == "last_in_first_off":
        return _in_order(demand, rows, room)
    if rule == "maximum_total":
        return _most(demand, rows, room)
    if rule == "alpha_fair":
        return _alpha_fair(demand, rows, room, alpha)
    raise InputError(f"unknown sharing rule {rule!r}", where="rule", remedy=", ".join(RULES))


def _fill(demand: Demand, weight: FloatArray, rows: FloatArray, room: FloatArray, *, level: bool) -> Division:
    """Raise all sites together (by `weight`, or to one `level` of watts) until a row is full; its sites stay, others go on."""
    watts, stopped, price = _fill_kernel(demand.floor, demand.cap, weight, np.ascontiguousarray(rows), room, level)
    return Division(watts, stopped, price)


@njit(cache=True)
def _fill_kernel(floor, cap, weight, rows, room, level):  # type: ignore[no-untyped-def]
    count, sites = rows.shape[0], floor.size
    x, stopped = floor.copy(), np.full(sites, -1, dtype=np.int64)
    moving = cap > floor
    left = room - rows @ x
    price, at = np.zeros(count), 0.0
    # At one level a site starts to move when the level passes its floor.
    begin = floor.copy() if level else np.zeros(sites)
    end = np.where(weight > 0, (cap if level else (cap - floor) / np.maximum(weight, 1e-12)), 0.0)
    while True:
        nearest, what = np.inf, -2
        speed = np.zeros(sites)
        for i in range(sites):
            if moving[i]:
                if begin[i] > at:
                    if begin[i] < nearest:
                        nearest, what = begin[i], -3
                else:
                    speed[i] = weight[i]
                    if end[i] < nearest:
                        nearest, what = end[i], -3
        if what == -2:
            return x, stopped, price
        flow = rows @ speed
        for r in range(count):
            if flow[r] > 1e-15:
                reach = at + max(left[r], 0.0) / flow[r]
                if reach < nearest:
                    nearest, what = reach, r
        step = nearest - at
        x += speed * step
        left -= flow * step
        at = nearest
        if what >= 0:
            price[what] = speed.sum() / flow[what]
            for i in range(sites):
                if moving[i] and rows[what, i] > 0.0:
                    moving[i], stopped[i] = False, what
        else:
            for i in range(sites):
                if moving[i] and end[i] <= at:
                    moving[i], x[i] = False, cap[i]


def _in_order(demand: Demand, rows: FloatArray, room: FloatArray) -> Division:
    """Give to the first in all it may have, then to the next: the last in is the first off."""
    x = demand.floor.copy()
    stopped = np.full(len(x), NOTHING_BINDS, dtype=np.int64)
    left, price = room - rows @ x, np.zeros(len(room))
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
                price[place] = max(price[place], 1.0 / column[place])
        x[site] += more
        left -= column * more
    return Division(x, stopped, price)


def _most(demand: Demand, rows: FloatArray, room: FloatArray) -> Division:
    """Maximise the sum: a linear programme (HiGHS)."""
    from scipy import sparse
    from scipy.optimize import linprog

    bounds = np.stack([demand.floor, demand.cap], axis=1)
    most = np.maximum(room, rows @ demand.floor)
    scale = np.maximum(np.abs(rows).max(axis=1, initial=0.0), 1e-12)
    answer = linprog(
        -np.ones(len(demand.cap)), A_ub=sparse.csr_matrix(rows / scale[:, None]), b_ub=most / scale, bounds=bounds,
        method="highs",
    )  # fmt: skip
    if answer.x is None:
        return Division(demand.floor.copy(), np.full(len(demand.cap), NOTHING_BINDS), np.zeros(len(room)))
    x = np.clip(answer.x, demand.floor, demand.cap)
    price = -answer.ineqlin.marginals / scale
    return Division(x, _tightest(x, demand, rows, price), price)


def _tightest(x: FloatArray, demand: Demand, rows: FloatArray, price: FloatArray) -> NDArray[np.int64]:
    """Return for each site below its cap the row that costs it most."""
    cost = rows * price[:, None]
    if not len(cost):
        return np.full(len(x), NOTHING_BINDS, dtype=np.int64)
    place = cost.argmax(axis=0)
    stops = (cost[place, np.arange(len(x))] > 0.0) & (x < demand.cap - 1.0)
    return np.where(stops, place, NOTHING_BINDS)


def _alpha_fair(demand: Demand, rows: FloatArray, room: FloatArray, alpha: float) -> Division:
    """Maximise the sum of (x - floor + 1)^(1-alpha)/(1-alpha) (of the logarithm at 1) by prices, row after row."""
    if not 0.1 <= alpha <= 10.0:
        raise InputError(f"alpha {alpha} is outside 0.1..10", where="alpha")
    x, price = _prices(demand.floor, demand.cap, np.ascontiguousarray(rows), room, alpha)
    return Division(x, _tightest(x, demand, rows, price), price)


@njit(cache=True)
def _at_price(cost, floor, cap, alpha):  # type: ignore[no-untyped-def]
    if cost <= 0.0:
        return cap
    return min(cap, floor + max(0.0, cost ** (-1.0 / alpha) - 1.0))


@njit(cache=True)
def _prices(floor, cap, rows, room, alpha):  # type: ignore[no-untyped-def]
    """Coordinate ascent in the dual: each row's price is set so that the row is just full, until no price moves."""
    count, sites = rows.shape
    price, cost = np.zeros(count), np.zeros(sites)
    for _ in range(200):
        moved = 0.0
        for r in range(count):
            used = 0.0
            for i in range(sites):
                used += rows[r, i] * _at_price(cost[i], floor[i], cap[i], alpha)
            if used <= room[r] and price[r] == 0.0:
                continue
            low, high = 0.0, max(price[r], 1e-12)
            while _used(rows, r, cost, price[r], high, floor, cap, alpha) > room[r] and high < 1e12:
                low, high = high, high * 4.0
            for _ in range(40):
                middle = 0.5 * (low + high)
                if _used(rows, r, cost, price[r], middle, floor, cap, alpha) > room[r]:
                    low = middle
                else:
                    high = middle
            new = high if high > 1e-11 else 0.0
            moved = max(moved, abs(new - price[r]) / max(new, price[r], 1e-12))
            for i in range(sites):
                cost[i] += rows[r, i] * (new - price[r])
            price[r] = new
        if moved < 1e-4:
            break
    x = np.empty(sites)
    for i in range(sites):
        x[i] = _at_price(cost[i], floor[i], cap[i], alpha)
    return x, price


@njit(cache=True)
def _used(rows, r, cost, before, trial, floor, cap, alpha):  # type: ignore[no-untyped-def]
    used = 0.0
    for i in range(floor.size):
        if rows[r, i] > 0.0:
            used += rows[r, i] * _at_price(cost[i] + rows[r, i] * (trial - before), floor[i], cap[i], alpha)
        else:
            used += 0.0
    return used
