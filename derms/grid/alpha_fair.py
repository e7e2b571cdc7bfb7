"""Alpha-fair sharing on linear rows, by interior points where rows are few and by the rows' prices where they are many.

Maximises the sum of ((x - floor + 1)/unit)^(1-alpha)/(1-alpha), of the logarithm at alpha 1, over rows x <= room and
floor <= x <= cap. The utility is a sum over sites: each step of the interior points solves one system of the size of the
rows, and prices alone say what every site takes. Rows that touch one site only are its cap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from derms.errors import InputError
from derms.grid.bystanders import caps_alone
from derms.grid.network import FloatArray

MOST_STEPS = 80
CENTRE = 0.15
"""How much of the complementarity each step leaves."""
ROWS_AT_ONCE = 16
"""Broken rows taken up at first; twice as many each time after."""
NEARLY_FULL, MOST_GUESSED = 0.97, 200
MOST_ROWS, MOST_PRICES = 150, 80
"""Rows beyond which prices are sought instead of interior points, and the steps of that search."""
NARROW_W = 1.0
"""A site that could have no more than this above its floor stays there: its barrier would be all that is seen."""
ALIKE = 1e-9
TO_THE_WALL = 0.99
SOLVED = 1e-7
"""Complementarity and dual residual at the end, relative to the utility's slope."""


def alpha_fair(
    floor: FloatArray, cap: FloatArray, rows: FloatArray, room: FloatArray, alpha: float,
    present: FloatArray | None = None, *, priced: bool = True,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Return watts (s,), each row's multiplier (r,) in utility by room, and its shadow price (r,), watts in all by room.

    `rows` (r, s) holds no negative number. A row without room keeps its sites at their floor. `present`: watts (s,) not
    far from the answer; `priced`: shadow prices are wanted, else they are nothing. Raises InputError for an alpha
    outside 0.1..10.
    """
    if not 0.1 <= alpha <= 10.0:
        raise InputError(f"alpha {alpha} is outside 0.1..10", where="alpha")
    price, shadow, watts = np.zeros(len(room)), np.zeros(len(room)), cap.copy()
    if not len(room):
        return watts, price, shadow
    least = rows @ floor
    full = room - least <= 1e-9 * np.maximum(np.abs(room), 1e-12)
    lone = ~full & ((rows > 0.0).sum(axis=1) == 1)
    alone = caps_alone(floor, cap, rows, room)
    stuck = (rows[full] > 0.0).any(axis=0) | (alone - floor <= NARROW_W)
    watts[stuck] = floor[stuck]
    price[full] = 1.0  # whatever it is, it is what stops them
    # What leaves a site so little has stopped it.
    tight = stuck & (cap > alone)
    if tight.any():
        last = rows[:, tight] * (alone - floor + NARROW_W)[tight]
        price[(last >= np.maximum(room - least, 0.0)[:, None]).any(axis=1)] = 1.0
    capped = caps_alone(floor, cap, rows[lone], room[lone])
    watts[~stuck] = capped[~stuck]
    free = np.flatnonzero(~stuck)
    left = room - rows @ np.where(stuck, watts, 0.0)
    live = np.flatnonzero(~full & ~lone & (rows @ np.where(stuck, 0.0, capped) > left))
    wide, slope = 1.0, np.ones(len(free))
    if len(live):
        wide = float(np.median(capped[free] - floor[free]))
        part, span = rows[np.ix_(live, free)], (capped[free] - floor[free]) / wide
        unit = left[live] - part @ floor[free]
        part = part * (wide / unit)[:, None]
        near = None if present is None else (np.clip(present, floor, capped)[free] - floor[free]) / wide
        found, multiplier = _few_rows(part, span, 1.0 / wide, alpha, near)
        watts[free] = floor[free] + wide * found
        price[live] = multiplier / unit
        if priced:
            shadow[live] = _sensitivity(part, found, span, multiplier, 1.0 / wide, alpha) * wide / unit
        slope = (found + 1.0 / wide) ** -alpha
    if priced:
        _price_alone(rows, free, lone & (rows @ watts >= room * (1.0 - 1e-6)), watts, (slope, wide), price, shadow)
    return watts, price, shadow


def _price_alone(
    rows: FloatArray, free: NDArray[np.int64], lone: NDArray[np.bool_], watts: FloatArray,
    utility: tuple[FloatArray, float], price: FloatArray, shadow: FloatArray,
) -> None:  # fmt: skip
    """Price the full rows of one site each: what the other rows leave of their site's slope is theirs."""
    slope, wide = utility
    whole = np.zeros(len(watts))
    whole[free] = slope / wide
    rest, follows = whole - rows.T @ price, 1.0 - rows.T @ shadow
    for row in np.flatnonzero(lone).tolist():
        site = int(rows[row].argmax())
        if rest[site] > 0.0:
            price[row], shadow[row] = rest[site] / rows[row, site], follows[site] / rows[row, site]
            rest[site] = 0.0


def _by_prices(
    rows: FloatArray, span: FloatArray, offset: float, alpha: float, near: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return what `_few_rows` returns, of many rows: the dual's prices by a quasi-Newton method, each row at its scale."""
    from scipy import sparse
    from scipy.optimize import minimize

    matrix = sparse.csr_matrix(rows)
    across = matrix.T.tocsr()
    least, most = (span + offset) ** -alpha, offset**-alpha
    give = np.maximum(near, 1e-3 * span) ** (alpha + 1.0) / alpha
    scale = 1.0 / np.sqrt(np.maximum(matrix.multiply(matrix) @ give, 1e-30))

    def answer(cost: FloatArray) -> FloatArray:
        return np.asarray(np.clip(cost, least, most) ** (-1.0 / alpha) - offset)

    def dual(price: FloatArray) -> tuple[float, FloatArray]:
        cost = across @ (scale * price)
        x = answer(cost)
        worth = np.log(x + offset) if alpha == 1.0 else (x + offset) ** (1.0 - alpha) / (1.0 - alpha)
        return float((worth - cost * x).sum() + scale @ price), scale * (1.0 - matrix @ x)

    found = minimize(
        dual, np.zeros(len(rows)), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(rows),
        options={"maxiter": MOST_PRICES, "maxfun": 2 * MOST_PRICES, "ftol": 1e-11, "gtol": 1e-6, "maxcor": 20},
    )  # fmt: skip
    return answer(across @ (scale * found.x)), scale * found.x


def _few_rows(
    rows: FloatArray, span: FloatArray, offset: float, alpha: float, near: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return x and the multipliers of rows x <= 1: few rows bind, so the rest come in as they are broken."""
    if len(rows) > MOST_ROWS:
        return _by_prices(rows, span, offset, alpha, 0.5 * span if near is None else near)
    multiplier, x, known = np.zeros(len(rows)), span, np.zeros(len(rows), dtype=bool)
    if near is not None:
        known = rows @ near > NEARLY_FULL
        if known.sum() > MOST_GUESSED:
            known[:] = False
        if known.any():
            x, multiplier[known] = _interior(rows[known], np.ones(int(known.sum())), span, offset, alpha)
    more = ROWS_AT_ONCE
    while True:
        carried = rows @ x
        broken = np.flatnonzero((carried > 1.0 + 1e-6) & ~known)
        if not len(broken):
            return x, multiplier
        known[broken[np.argsort(-carried[broken], kind="stable")][:more]] = True
        more *= 2
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
    system = (part * give) @ part.T
    # Rows that say the same share the price.
    system[np.diag_indices_from(system)] += ALIKE * np.trace(system) / len(system) + 1e-300
    price[binds] = np.linalg.solve(system, (part * give).sum(axis=1))
    return price
