"""The loop over groups of sixteen cases, compiled and free of the interpreter's lock: one thread may run each hour."""

from __future__ import annotations

import numpy as np
from numba import njit

from derms.grid.lanes import WIDTH, load, spread, store
from derms.grid.limits_kernel import CHANGE, find_limits, first_tangent, jump, settle_point
from derms.grid.powerflow import complete, path_to_tail


@njit(cache=True, nogil=True)
def run_groups(  # type: ignore[no-untyped-def]
    ref, p, q, base, base_rows, watched, nodes, p_share, q_share, curve, cap, tolerance, probe, work,
    watts, code, rounds, odd,
):  # fmt: skip
    """Fill `watts`, `code`, `rounds`, `odd` (2, c) for all candidates (c a multiple of 16); `cap` (2,) watts."""
    caps = np.empty((2, WIDTH))
    caps[0, :], caps[1, :] = cap[0], cap[1]
    limit, which = np.zeros((2, WIDTH)), np.zeros((2, WIDTH))
    turns, holes = np.zeros((2, WIDTH)), np.zeros((2, WIDTH))
    for first in range(0, nodes.shape[0], WIDTH):
        last = first + WIDTH
        find_limits(
            ref, p, q, base, base_rows, watched, nodes[first:last], p_share[first:last], q_share[first:last], curve, caps,
            tolerance, probe, work, limit, which, turns, holes,
        )  # fmt: skip
        watts[:, first:last], code[:, first:last] = limit, which
        rounds[:, first:last], odd[:, first:last] = turns, holes


@njit(cache=True, nogil=True)
def settle_lanes(ref, p, q, voltage, work):  # type: ignore[no-untyped-def]
    """Solve sixteen base states without a site, in place in `voltage` (2n, 16); return which lanes are exact."""
    rhs, marked, small = work[1], work[3], work[5]
    nobody = np.full((WIDTH, 3), -1, dtype=np.int64)
    nothing = np.zeros(WIDTH)
    path = np.zeros(0, dtype=np.int64)
    fine, exact = np.zeros(WIDTH, dtype=np.bool_), np.zeros(WIDTH, dtype=np.bool_)
    settle_point(
        ref, p, q, nobody, nothing, nothing, nothing, np.zeros((0, 2)), path, voltage, rhs, small, 1e-8, fine, exact
    )
    complete(ref, marked, voltage, rhs)
    return fine


@njit(cache=True, nogil=True)
def site_points(  # type: ignore[no-untyped-def]
    ref, p, q, base, nodes, p_share, q_share, curve, power, work, out, tangent
):
    """Solve sixteen cases with the site at `power` (16,) watts, import positive; return which lanes are exact.

    Fills `out` (2n, 16) with the voltages, and `tangent` (2n, 16) with dV/dP at the base, volts a watt of import.
    """
    voltage, rhs, first, marked, path_store, small = work
    size = ref.factors.row_start.size - 1
    count = path_to_tail(ref.factors.parent, ref.factors.tail, nodes, marked, path_store)
    path = path_store[:count]
    first_tangent(ref.factors, base, nodes, p_share, q_share, path, first)
    for i in range(2 * size):
        store(voltage, i, load(base, i) + spread(0.0))
    small[5:8] = 0.0
    at = np.empty((1, WIDTH))
    at[0, :] = power
    jump(ref, base, first, at, 1.0, path, voltage)
    fine, exact = np.zeros(WIDTH, dtype=np.bool_), np.zeros(WIDTH, dtype=np.bool_)
    settle_point(ref, p, q, nodes, p_share, q_share, power, curve, path, voltage, rhs, small, CHANGE, fine, exact)
    complete(ref, marked, voltage, rhs)
    for m in range(count):
        marked[path[m]] = False
    out[:] = voltage
    tangent[:] = first
    return exact
