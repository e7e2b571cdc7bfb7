"""Alpha-fair sharing on linear rows: a primal-dual interior-point method whose linear systems are as small as the rows.

Maximises the sum of ((x - floor + 1)/unit)^(1-alpha)/(1-alpha), of the logarithm at alpha 1, over rows x <= room and
floor <= x <= cap. The utility is a sum over sites, so each step solves one system of the size of the rows.
"""

from __future__ import annotations

import numpy as np

from derms.errors import InputError
from derms.grid.network import FloatArray

MOST_STEPS = 80
CENTRE = 0.15
"""How much of the complementarity each step leaves."""
ROWS_AT_ONCE = 12
TO_THE_WALL = 0.99
SOLVED = 1e-7
"""Complementarity and dual residual at the end, relative to the utility's slope."""


def alpha_fair(
    floor: FloatArray, cap: FloatArray, rows: FloatArray, room: FloatArray, alpha: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return watts (s,), each row's multiplier (r,) in utility by room, and its shadow price (r,), watts in all by room.

    `rows` (r, s) holds no negative number. A row without room keeps its sites at their floor. Raises InputError for an
    alpha outside 0.1..10.
    """
    if not 0.1 <= alpha <= 10.0:
        raise InputError(f"alpha {alpha} is outside 0.1..10", where="alpha")
    price, shadow, watts = np.zeros(len(room)), np.zeros(len(room)), cap.copy()
    least = rows @ floor
    full = room - least <= 1e-9 * np.maximum(np.abs(room), 1e-12)
    stuck = (rows[full] > 0.0).any(axis=0)
    watts[stuck] = floor[stuck]
    price[full] = 1.0  # whatever it is, it is what stops them
    free = np.flatnonzero(~stuck & (cap > floor))
    left = room - rows @ np.where(stuck | (cap <= floor), watts, 0.0)
    live = np.flatnonzero(~full & (rows[:, free] @ cap[free] > left))
    if not len(live) or not len(free):
        return watts, price, shadow
    wide = float(np.median(cap[free] - floor[free]))
    part, span = rows[np.ix_(live, free)], (cap[free] - floor[free]) / wide
    unit = left[live] - part @ floor[free]
    part = part * (wide / unit)[:, None]
    found, multiplier = _few_rows(part, span, 1.0 / wide, alpha)
    watts[free] = floor[free] + wide * found
    price[live] = multiplier / unit
    shadow[live] = _sensitivity(part, found, span, multiplier, 1.0 / wide, alpha) * wide / unit
    return watts, price, shadow


def _few_rows(rows: FloatArray, span: FloatArray, offset: float, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Return x and the multipliers of rows x <= 1: few rows bind, so the rest come in as they are broken."""
    multiplier, x, known = np.zeros(len(rows)), span, np.zeros(len(rows), dtype=bool)
    while True:
        carried = rows @ x
        broken = np.flatnonzero((carried > 1.0 + 1e-6) & ~known)
        if not len(broken):
            return x, multiplier
        known[broken[np.argsort(-carried[broken], kind="stable")][:ROWS_AT_ONCE]] = True
        x, multiplier[known] = _interior(rows[known], np.ones(int(known.sum())), span, offset, alpha)


def _interior(
    rows: FloatArray, room: FloatArray, span: FloatArray, offset: float, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Return x in 0..span and the rows' multipliers; `offset`: one watt in the units of x."""
    x = np.minimum(0.5 * span, 0.5 * (room / np.maximum(rows.sum(axis=1), 1e-12)).min())
    slack = room - rows @ x
    slope = (x + offset) ** -alpha
    push = 0.1 * float(slope.mean())
    low, high, price = push / x, push / (span - x), push / slack
    count = 2 * len(x) + len(room)
    for _ in range(MOST_STEPS):
        slope = (x + offset) ** -alpha
        gap = (low @ x + high @ (span - x) + price @ slack) / count
        dual = slope - rows.T @ price + low - high
        if gap <= SOLVED * max(float((slope * x).mean()), 1e-300) and np.abs(dual).max() <= SOLVED * slope.max():
            break
        aim = CENTRE * gap
        curve = alpha * slope / (x + offset) + low / x + high / (span - x)
        right = slope - rows.T @ price + aim / x - aim / (span - x)
        scaled = rows / curve
        system = scaled @ rows.T
        system[np.diag_indices_from(system)] += slack / price
        # What the rows must still give: their slack aims at aim / price.
        more = np.linalg.solve(system, scaled @ right - (slack - aim / price))
        step = (right - rows.T @ more) / curve
        slack_step = -rows @ step
        low_step, high_step = aim / x - low - low / x * step, aim / (span - x) - high + high / (span - x) * step
        far = _reach((x, step), (span - x, -step), (slack, slack_step))
        near = _reach((price, more), (low, low_step), (high, high_step))
        x, slack = x + far * step, slack + far * slack_step
        price, low, high = price + near * more, low + near * low_step, high + near * high_step
    return x, price


def _reach(*pairs: tuple[FloatArray, FloatArray]) -> float:
    """Return how much of a step keeps everything above nothing."""
    most = 1.0
    for value, step in pairs:
        down = step < 0.0
        if down.any():
            most = min(most, TO_THE_WALL * float((value[down] / -step[down]).min()))
    return most


def _sensitivity(
    rows: FloatArray, x: FloatArray, span: FloatArray, multiplier: FloatArray, offset: float, alpha: float
) -> FloatArray:
    """Return d(sum of x)/d(room): the sites that are neither at nothing nor at their span move along the full rows."""
    price = np.zeros(len(rows))
    moves = (x > 1e-4 * span) & (x < (1.0 - 1e-4) * span)
    binds = multiplier > 1e-5 * multiplier.max(initial=0.0)
    if not moves.any() or not binds.any():
        return price
    give = (x[moves] + offset) ** (alpha + 1.0) / alpha
    part = rows[np.ix_(binds, moves)]
    price[binds] = np.linalg.lstsq((part * give) @ part.T, (part * give).sum(axis=1), rcond=1e-10)[0]
    return price
