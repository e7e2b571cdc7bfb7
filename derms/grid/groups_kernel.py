"""The loop over groups of sixteen cases, compiled and free of the interpreter's lock: one thread may run each hour."""

from __future__ import annotations

import numpy as np
from numba import njit

from derms.grid.lanes import WIDTH
from derms.grid.limits_kernel import find_limits


@njit(cache=True, nogil=True)
def run_groups(  # type: ignore[no-untyped-def]
    ref, p, q, base, base_rows, watched, nodes, p_share, q_share, cap, tolerance, probe, work,
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
            ref, p, q, base, base_rows, watched, nodes[first:last], p_share[first:last], q_share[first:last], caps,
            tolerance, probe, work, limit, which, turns, holes,
        )  # fmt: skip
        watts[:, first:last], code[:, first:last] = limit, which
        rounds[:, first:last], odd[:, first:last] = turns, holes
