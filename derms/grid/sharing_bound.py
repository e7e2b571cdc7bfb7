"""A bound of the largest sum on linear rows, by their prices: whatever the prices are, the Lagrange function bounds it."""

from __future__ import annotations

import numpy as np

from derms.grid.bystanders import caps_alone
from derms.grid.network import FloatArray

SOFTER = (0.02, 0.005)
"""The dual has corners; a softer one in turn is easy to descend. Relative to a watt's worth."""
STEPS = 100
MULTIPLES = tuple(0.5 + 0.02 * step for step in range(31))


def priced_bound(floor: FloatArray, cap: FloatArray, rows: FloatArray, room: FloatArray, price: FloatArray) -> float:
    """Return the least sum, watts, that prices near `price` (r,), watts by room, prove not to be exceeded on the rows."""
    room = np.maximum(room, rows @ floor)
    spare, alone = room - rows @ floor, caps_alone(floor, cap, rows, room) - floor

    def bound(prices: FloatArray) -> float:
        paid, cost = float(prices @ spare), prices @ rows
        return min(m * paid + float(np.maximum(1.0 - m * cost, 0.0) @ alone) for m in MULTIPLES)

    best = bound(price)
    if (price > 0.0).any():
        best = min(best, bound(_descended(rows, spare, alone, price)))
    return float(floor.sum()) + best


def _descended(rows: FloatArray, spare: FloatArray, alone: FloatArray, price: FloatArray) -> FloatArray:
    from scipy.optimize import minimize

    # Rows by their own room: a price is then what all of the row is worth.
    use = np.flatnonzero(spare > 1e-9)
    part, unit = rows[use] / spare[use][:, None], max(float(alone.sum()), 1.0)
    worth, found = price[use] * spare[use], price.copy()
    scale = np.maximum(worth, 1e-3 * worth.max(initial=1.0))
    for soft in SOFTER:

        def dual(value: FloatArray, soft: float = soft) -> tuple[float, FloatArray]:
            here = scale * value
            left = (1.0 - here @ part) / soft
            hinge = np.logaddexp(0.0, left)
            share = alone * np.exp(left - hinge)
            return float(here.sum() + soft * (hinge @ alone)) / unit, scale * (1.0 - part @ share) / unit

        answer = minimize(
            dual, worth / scale, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(use),
            options={"maxiter": STEPS, "maxfun": 2 * STEPS, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-9},
        )  # fmt: skip
        worth = scale * answer.x
    found[use] = worth / spare[use]
    return found
