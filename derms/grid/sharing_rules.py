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
from derms.grid.network import FloatArray

RULES = ("equal", "pro_rata_capacity", "pro_rata_need", "last_in_first_off", "maximum_total", "alpha_fair")
NOTHING_BINDS = -1
BYSTANDER = 0.02


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
    rows, room = _without_bystanders(demand, rows, room)
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


def _without_bystanders(demand: Demand, rows: FloatArray, room: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Take sites that hardly touch a row out of it, with what they would use at their caps: it must not stop them.

    A site counts as a bystander below 2 % of the row's largest sensitivity, as long as all of them use at most half
    the room.
    """
    if not len(rows):
        return rows, room
    bystander = rows < BYSTANDER * rows.max(axis=1, keepdims=True)
    used = np.where(bystander, rows, 0.0) @ demand.cap
    spare = room - rows @ demand.floor
    kept = used > 0.5 * np.maximum(spare, 0.0)
    bystander[kept] = False
    return np.where(bystander, 0.0, rows), room - np.where(kept, 0.0, used)


def _fill(demand: Demand, weight: FloatArray, rows: FloatArray, room: FloatArray, *, level: bool) -> Division:
    """Raise all together (by `weight`, or to one `level` of watts) until a row is full: its sites stay, others go on."""
    watts, stopped, price = _fill_kernel(demand.floor, demand.cap, weight, np.ascontiguousarray(rows.T), room, level)
    return Division(watts, stopped, price)


@njit(cache=True)
def _fill_kernel(floor, cap, weight, by_site, room, level):  # type: ignore[no-untyped-def]
    """`by_site` (s, r): a site's column lies together; the rows' flow is kept up to date site by site."""
    sites, count = by_site.shape
    x, stopped = floor.copy(), np.full(sites, -1, dtype=np.int64)
    left = room.copy()
    for i in range(sites):
        if x[i] != 0.0:
            left -= by_site[i] * x[i]
    price, flow, at, speeds = np.zeros(count), np.zeros(count), 0.0, 0.0
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
                speeds += weight[i]
        nearest, what = np.inf, -2
        for i in range(sites):
            if waiting[i] and begin[i] < nearest:
                nearest, what = begin[i], -3
            elif moving[i] and end[i] < nearest:
                nearest, what = end[i], -3
        if what == -2:
            return x, stopped, price
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
            price[what] = speeds / flow[what]
            full[what] = True
        for i in range(sites):
            if moving[i] and ((what >= 0 and by_site[i, what] > 0.0) or end[i] <= at):
                moving[i] = False
                if end[i] <= at:
                    x[i] = cap[i]
                else:
                    stopped[i] = what
                flow -= by_site[i] * weight[i]
                speeds -= weight[i]


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
    from scipy import sparse

    packed = sparse.csr_matrix(rows)
    x, price = _prices(
        demand.floor, demand.cap, packed.indptr.astype(np.int64), packed.indices.astype(np.int64), packed.data, room, alpha
    )
    return Division(x, _tightest(x, demand, rows, price), price)


@njit(cache=True)
def _at_price(cost, floor, cap, alpha):  # type: ignore[no-untyped-def]
    if cost <= 1e-15:
        return cap
    return min(cap, floor + max(0.0, cost ** (-1.0 / alpha) - 1.0))


@njit(cache=True)
def _prices(floor, cap, start, site, value, room, alpha):  # type: ignore[no-untyped-def]
    """Coordinate ascent in the dual: each row's price is set so that the row is just full, until no price moves."""
    count, sites = room.size, floor.size
    price, cost = np.zeros(count), np.zeros(sites)
    for _ in range(60):
        moved = 0.0
        for r in range(count):
            first, last = start[r], start[r + 1]
            if price[r] == 0.0 and _used(first, last, site, value, cost, 0.0, floor, cap, alpha) <= room[r]:
                continue
            low, high = -price[r], max(price[r], 1e-9)
            while _used(first, last, site, value, cost, high, floor, cap, alpha) > room[r] and high < 1e12:
                low, high = high, high * 8.0
            if _used(first, last, site, value, cost, low, floor, cap, alpha) <= room[r]:
                high = low
            while high - low > 1e-4 * (price[r] + high) + 1e-12:
                middle = 0.5 * (low + high)
                if _used(first, last, site, value, cost, middle, floor, cap, alpha) > room[r]:
                    low = middle
                else:
                    high = middle
            new = max(price[r] + high, 0.0)
            moved = max(moved, abs(new - price[r]) / max(new, price[r], 1e-12))
            for k in range(first, last):
                cost[site[k]] += value[k] * (new - price[r])
            price[r] = new
        if moved < 1e-3:
            break
    x = np.empty(sites)
    for i in range(sites):
        x[i] = _at_price(cost[i], floor[i], cap[i], alpha)
    return x, price


@njit(cache=True)
def _used(first, last, site, value, cost, more, floor, cap, alpha):  # type: ignore[no-untyped-def]
    """What a row carries when its price rises by `more`."""
    used = 0.0
    for k in range(first, last):
        i = site[k]
        used += value[k] * _at_price(cost[i] + value[k] * more, floor[i], cap[i], alpha)
    return used
