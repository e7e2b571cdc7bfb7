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
MOST_SWEEPS = 20


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


def divide(
    rule: str, demand: Demand, rows: FloatArray, room: FloatArray, *, alpha: float = 1.0, price: FloatArray | None = None
) -> Division:
    """Divide by a rule; raises InputError for an unknown one. `price`: where alpha-fair's prices begin, (r,)."""
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
        return _alpha_fair(demand, rows, room, alpha, np.zeros(len(room)) if price is None else price)
    raise InputError(f"unknown sharing rule {rule!r}", where="rule", remedy=", ".join(RULES))


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


def _alpha_fair(demand: Demand, rows: FloatArray, room: FloatArray, alpha: float, first: FloatArray) -> Division:
    """Maximise the sum of (x - floor + 1)^(1-alpha)/(1-alpha) (of the logarithm at 1) by prices, row after row."""
    if not 0.1 <= alpha <= 10.0:
        raise InputError(f"alpha {alpha} is outside 0.1..10", where="alpha")
    start, site, value = _packed(np.ascontiguousarray(rows))
    x, price = _prices(demand.floor, demand.cap, start, site, value, room, alpha, first)
    return Division(x, _tightest(x, demand, rows, price), price)


@njit(cache=True)
def _packed(rows):  # type: ignore[no-untyped-def]
    """Return a matrix by its entries above nothing: where each row starts, columns, values."""
    start = np.zeros(rows.shape[0] + 1, dtype=np.int64)
    for r in range(rows.shape[0]):
        start[r + 1] = start[r]
        for i in range(rows.shape[1]):
            start[r + 1] += rows[r, i] > 0.0
    site, value = np.empty(start[-1], dtype=np.int64), np.empty(start[-1])
    k = 0
    for r in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            if rows[r, i] > 0.0:
                site[k], value[k] = i, rows[r, i]
                k += 1
    return start, site, value


@njit(cache=True)
def _at_price(cost, floor, cap, alpha):  # type: ignore[no-untyped-def]
    if cost <= 1e-15:
        return cap
    more = 1.0 / cost if alpha == 1.0 else cost ** (-1.0 / alpha)
    return min(cap, floor + max(0.0, more - 1.0))


@njit(cache=True)
def _prices(floor, cap, start, site, value, room, alpha, begin):  # type: ignore[no-untyped-def]
    """Coordinate ascent in the dual: each row's price is set so that the row is just full, until no price moves."""
    count, sites = room.size, floor.size
    price, cost = begin.copy(), np.zeros(sites)
    for r in range(count):
        for k in range(start[r], start[r + 1]):
            cost[site[k]] += value[k] * price[r]
    for _ in range(MOST_SWEEPS):
        moved = 0.0
        for r in range(count):
            first, last = start[r], start[r + 1]
            new = _row_price(first, last, site, value, cost, price[r], floor, cap, alpha, room[r])
            if new != price[r]:
                moved = max(moved, abs(new - price[r]) / max(new, price[r], 1e-12))
                for k in range(first, last):
                    cost[site[k]] += value[k] * (new - price[r])
                price[r] = new
        if moved < 1e-3:
            break
    x = np.empty(sites)
    for i in range(sites):
        x[i] = _at_price(max(cost[i], 0.0), floor[i], cap[i], alpha)
    # Prices that have not come to rest leave a row a little too full: its sites give back what is too much.
    for r in range(count):
        used = least = 0.0
        for k in range(start[r], start[r + 1]):
            used += value[k] * x[site[k]]
            least += value[k] * floor[site[k]]
        if used > room[r] and used > least:
            part = max(room[r] - least, 0.0) / (used - least)
            for k in range(start[r], start[r + 1]):
                x[site[k]] = floor[site[k]] + part * (x[site[k]] - floor[site[k]])
    return x, price


@njit(cache=True)
def _row_price(first, last, site, value, cost, now, floor, cap, alpha, room):  # type: ignore[no-untyped-def]
    """The price at which a row is just full, the others' prices standing: Newton's steps inside a bracket."""
    used, slope = _used(first, last, site, value, cost, 0.0, floor, cap, alpha)
    if (now == 0.0 and used <= room) or abs(used - room) <= 1e-5 * abs(room):
        return now
    low, high, more = -now, np.inf, 0.0
    if used <= room:
        high = 0.0
        least, _ = _used(first, last, site, value, cost, low, floor, cap, alpha)
        if least <= room:
            return 0.0
    else:
        low = 0.0
    for _ in range(60):
        step = (room - used) / slope if slope < 0.0 else 0.0
        target = more + step
        if not low < target < high or step == 0.0:
            target = 0.5 * (low + high) if high < np.inf else max(8.0 * (now + more), 1e-9) - now
        more = target
        used, slope = _used(first, last, site, value, cost, more, floor, cap, alpha)
        if used > room:
            low = more
        else:
            high = more
        if (used <= room and room - used <= 1e-5 * abs(room)) or high - low <= 1e-5 * (now + high) or more > 1e15:
            break
    return max(now + (high if high < np.inf else more), 0.0)


@njit(cache=True)
def _used(first, last, site, value, cost, more, floor, cap, alpha):  # type: ignore[no-untyped-def]
    """What a row carries when its price rises by `more`, and the derivative of that by the price."""
    used = slope = 0.0
    for k in range(first, last):
        i = site[k]
        now = cost[i] + value[k] * more
        x = _at_price(now, floor[i], cap[i], alpha)
        used += value[k] * x
        if floor[i] < x < cap[i]:
            slope -= value[k] * value[k] * (x - floor[i] + 1.0) / (alpha * now)
    return used, slope
