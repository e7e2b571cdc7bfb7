"""The search itself, compiled: largest import and export of sixteen cases at once, by parabolas between exact points."""

from __future__ import annotations

import numpy as np
from numba import njit

from derms.grid.factors import backward, forward_path, forward_tail
from derms.grid.lanes import WIDTH, load, spread, store, where_positive
from derms.grid.powerflow import complete, iterate, path_to_tail
from derms.grid.sweep import FAR, step_to_first

MOST_ITERATIONS = 60
MOST_ROUNDS = 40
CHANGE = 1e-7
"""Root mean square of the nodes' last relative correction below which a point counts as exact."""
ROUGH = (1e-4, 3e-6)
"""The same for the first two points of a search, which only say where to look next."""
NEAR = 1e-3
"""The search ends this close to the limit, relative: from an exact point there the parabola's own error is below 1e-6."""
DIVERGED, NOT_FOUND = -2.0, -3.0
"""Codes of `which`: the power flow has no solution beyond; the search did not end."""


@njit(cache=True, nogil=True)
def workspace(size):  # type: ignore[no-untyped-def]
    """Return the arrays of one thread: voltage, right-hand side, tangent (2n, 16); marks, path, small rows."""
    return (
        np.zeros((2 * size, WIDTH)), np.zeros((2 * size, WIDTH)), np.zeros((2 * size, WIDTH)),
        np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.int64), np.zeros((8, WIDTH)),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def find_limits(  # type: ignore[no-untyped-def]
    ref,
    p,
    q,
    base,
    base_rows,
    watched,
    nodes,
    p_share,
    q_share,
    curve,
    cap,
    tolerance,
    probe,
    work,
    limit,
    which,
    rounds,
    odd,
):
    """Fill `limit` (2, 16) watts, `which` (2, 16) constraint codes (-1: the cap), `rounds` (2, 16), `odd` (2, 16).

    Row 0 import, row 1 export. `nodes` (16, 3);
    `cap` (2, 16) watts; `curve`: see `powerflow.draw_constant_power`; `probe`: also look beyond each limit, and set `odd`
    where the criteria hold again there.
    """
    voltage, rhs, first, marked, path_store, small = work
    f = ref.factors
    size = f.row_start.size - 1
    count = path_to_tail(f.parent, f.tail, nodes, marked, path_store)
    path = path_store[:count]
    first_tangent(f, base, nodes, p_share, q_share, path, first)
    far, best, code = np.full((1, WIDTH), np.inf), np.zeros((1, WIDTH)), np.zeros((1, WIDTH))
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        for i in range(2 * size):
            store(voltage, i, load(base, i) + spread(0.0))
        step_to_first(watched, voltage, base, base_rows, first, far, sign, cap[side : side + 1], best, code)
        _one_side(
            ref, p, q, base, base_rows, watched, nodes, p_share, q_share, curve, cap[side], tolerance, work, path, sign,
            best, code, limit[side], which[side], rounds[side],
        )  # fmt: skip
        if probe:
            _look_beyond(
                ref, p, q, base, base_rows, watched, nodes, p_share, q_share, curve, cap[side], work, path, sign,
                best, code,
                limit[side], which[side], odd[side],
            )  # fmt: skip
    for m in range(count):
        marked[path[m]] = False


@njit(cache=True, nogil=True)
def first_tangent(f, base, nodes, p_share, q_share, path, first):  # type: ignore[no-untyped-def]
    """dV/dP at the base point for import, volts per watt."""
    size = f.row_start.size - 1
    zero = spread(0.0)
    for i in range(2 * size):
        store(first, i, zero)
    if base.ndim == 1:
        draw_unit(nodes, p_share, q_share, base.reshape(-1, 1), 0, first)
    else:
        draw_unit(nodes, p_share, q_share, base, 1, first)
    forward_path(f, path, first)
    forward_tail(f, first)
    backward(f, 0, size, first)


@njit(cache=True, nogil=True)
def draw_unit(nodes, p_share, q_share, base, wide, rhs):  # type: ignore[no-untyped-def]
    """rhs -= conj(S / V) for one watt at each lane's nodes; `wide` 1 where `base` has a column for each lane."""
    for lane in range(nodes.shape[0]):
        for phase in range(3):
            i = nodes[lane, phase]
            if i >= 0:
                vr, vi = base[2 * i, lane * wide], base[2 * i + 1, lane * wide]
                over = 1.0 / (vr * vr + vi * vi)
                rhs[2 * i, lane] -= (p_share[lane] * vr + q_share[lane] * vi) * over
                rhs[2 * i + 1, lane] -= (p_share[lane] * vi - q_share[lane] * vr) * over


@njit(cache=True, nogil=True)
def _one_side(  # type: ignore[no-untyped-def]
    ref, p, q, base, base_rows, watched, nodes, p_share, q_share, curve, cap, tolerance, work, path, sign, best, code,
    limit, which, rounds,
):  # fmt: skip
    voltage, rhs, first, marked, path_store, small = work
    small[5:8] = 0.0
    low, high = np.zeros(WIDTH), np.full(WIDTH, FAR)
    at, reach, done = np.zeros((1, WIDTH)), np.zeros((1, WIDTH)), np.zeros(WIDTH, dtype=np.bool_)
    last_code = np.full(WIDTH, -1.0)
    # A volt-var curve has corners: there the parabola promises nothing.
    near = NEAR if curve.shape[0] == 0 else 0.0
    fine, exact = np.zeros(WIDTH, dtype=np.bool_), np.zeros(WIDTH, dtype=np.bool_)
    for lane in range(WIDTH):
        at[0, lane] = max(1.0, min(best[0, lane], cap[lane]))
        last_code[lane] = code[0, lane]
        done[lane] = cap[lane] <= 0.0 or best[0, lane] < -1.0
        limit[lane], rounds[lane] = 0.0, 0.0
        which[lane] = -1.0 if cap[lane] <= 0.0 else code[0, lane]
    jump(ref, base, first, at, sign, path, voltage)
    for turn in range(MOST_ROUNDS):
        wanted = ROUGH[turn] if turn < len(ROUGH) else CHANGE
        settle_point(
            ref, p, q, nodes, p_share, q_share, at[0] * sign, curve, path, voltage, rhs, small, wanted, fine, exact
        )
        complete(ref, marked, voltage, rhs)
        for lane in range(WIDTH):
            reach[0, lane] = FAR if not done[lane] else -FAR
        step_to_first(watched, voltage, base, base_rows, first, at, sign, reach, best, code)
        left = 0
        for lane in range(WIDTH):
            if done[lane]:
                best[0, lane] = 0.0
                continue
            rounds[lane] += 1.0
            _judge(
                lane,
                fine[lane],
                exact[lane],
                near,
                at,
                cap,
                tolerance,
                low,
                high,
                best,
                code,
                last_code,
                limit,
                which,
                done,
            )
            left += not done[lane]
        if left == 0:
            return
        _move(ref, base, first, at, best, fine, sign, path, voltage)
    for lane in range(WIDTH):
        if not done[lane]:
            limit[lane], which[lane] = low[lane], NOT_FOUND


@njit(cache=True, nogil=True)
def _judge(lane, fine, exact, near, at, cap, tolerance, low, high, best, code, last_code, limit, which, done):  # type: ignore[no-untyped-def]
    """Decide what one lane does after a point: end, or the next step in `best`."""
    now = at[0, lane]
    if not fine:
        exact = True
        high[lane], last_code[lane] = now, DIVERGED
        step = 0.5 * (low[lane] - now)
    else:
        step = best[0, lane]
        if step >= 0.0:
            low[lane] = max(low[lane], now)
        else:
            high[lane] = min(high[lane], now)
            last_code[lane] = code[0, lane]
        if exact and ((step >= 0.0 and now >= cap[lane]) or abs(step) <= max(tolerance, near * now)):
            limit[lane] = max(0.0, min(now + step, cap[lane]))
            which[lane] = -1.0 if step >= 0.0 and now >= cap[lane] else code[0, lane]
            done[lane] = True
            best[0, lane] = 0.0
            return
    target = min(max(now + step, 1.0), cap[lane])
    if target >= high[lane] or target <= low[lane] or step <= -FAR or not np.isfinite(target):
        target = 0.5 * (low[lane] + min(high[lane], 2.0 * now + 1.0))
    if exact and (high[lane] - low[lane] <= tolerance or target == now):
        limit[lane], which[lane], done[lane] = low[lane], last_code[lane], True
        best[0, lane] = 0.0
        return
    best[0, lane] = target - now


@njit(cache=True, nogil=True)
def settle_point(  # type: ignore[no-untyped-def]
    ref, p, q, nodes, p_share, q_share, power, curve, path, voltage, rhs, small, wanted, fine, exact
):
    """Iterate until every lane's point is as good as `wanted` (`fine`) or seen never to be; note which are `exact`."""
    scratch, change = small[:4], small[4:5]
    count = ref.factors.row_start.size - 1 - ref.factors.tail
    for _ in range(MOST_ITERATIONS):
        iterate(ref, p, q, nodes, p_share, q_share, power, curve, small[5:8], path, voltage, rhs, scratch, change)
        open_lanes = 0
        for lane in range(WIDTH):
            fine[lane] = change[0, lane] <= wanted * wanted * count
            exact[lane] = change[0, lane] <= CHANGE * CHANGE * count
            # A lane that runs away (or is not a number) holds nobody up.
            open_lanes += not fine[lane] and change[0, lane] < 1e4
        if open_lanes == 0:
            return


@njit(cache=True, nogil=True)
def jump(ref, base, first, at, sign, path, voltage):  # type: ignore[no-untyped-def]
    """voltage = base + T at, on the tail and the path."""
    power = sign * load(at, 0)
    for i in range(2 * ref.factors.tail, voltage.shape[0]):
        store(voltage, i, load(base, i) + power * load(first, i))
    for m in range(path.size):
        i = 2 * path[m]
        store(voltage, i, load(base, i) + power * load(first, i))
        store(voltage, i + 1, load(base, i + 1) + power * load(first, i + 1))


@njit(cache=True, nogil=True)
def _move(ref, base, first, at, step, fine, sign, path, voltage):  # type: ignore[no-untyped-def]
    """Carry the point on along its parabola by `step`; a lane that was not exact starts from the straight line."""
    now, further = load(at, 0), load(step, 0)
    ahead = (now + further) / now
    # Through the base with slope T and the present point: V(x) = V0 + T x + (V - V0 - T t) (x/t)².
    for lane in range(WIDTH):
        at[0, lane] += step[0, lane]
    target = load(at, 0) * sign
    keep = ahead * ahead
    for lane in range(WIDTH):
        step[0, lane] = 1.0 if fine[lane] else 0.0
    keep_bend = load(step, 0)
    for i in range(2 * ref.factors.tail, voltage.shape[0]):
        _bend(i, base, first, voltage, sign * now, target, keep, keep_bend)
    for m in range(path.size):
        _bend(2 * path[m], base, first, voltage, sign * now, target, keep, keep_bend)
        _bend(2 * path[m] + 1, base, first, voltage, sign * now, target, keep, keep_bend)


@njit(cache=True, nogil=True)
def _bend(i, base, first, voltage, now, target, keep, fine):  # type: ignore[no-untyped-def]
    straight, slope = load(base, i), load(first, i)
    bent = where_fine(fine, load(voltage, i) - straight - slope * now)
    store(voltage, i, straight + slope * target + bent * keep)


@njit(cache=True, nogil=True)
def where_fine(fine, value):  # type: ignore[no-untyped-def]
    """Return `value` where `fine` is 1, else 0 (never a product: the value may not be a number)."""
    from_lanes = where_positive(fine, value, spread(0.0))
    return from_lanes


@njit(cache=True, nogil=True)
def _look_beyond(  # type: ignore[no-untyped-def]
    ref,
    p,
    q,
    base,
    base_rows,
    watched,
    nodes,
    p_share,
    q_share,
    curve,
    cap,
    work,
    path,
    sign,
    best,
    code,
    limit,
    which,
    odd,
):
    """Set `odd` where all criteria hold again at one and a half times the limit: the feasible set has a hole."""
    voltage, rhs, first, marked, path_store, small = work
    bound = 0
    for lane in range(WIDTH):
        odd[lane] = 0.0
        bound += which[lane] >= 0.0
    if bound == 0:
        return
    small[5:8] = 0.0
    at = np.zeros((1, WIDTH))
    fine, exact = np.zeros(WIDTH, dtype=np.bool_), np.zeros(WIDTH, dtype=np.bool_)
    for lane in range(WIDTH):
        at[0, lane] = max(1.0, min(max(1.5 * limit[lane], limit[lane] + 0.05 * cap[lane]), cap[lane]))
    jump(ref, base, first, at, sign, path, voltage)
    settle_point(ref, p, q, nodes, p_share, q_share, at[0] * sign, curve, path, voltage, rhs, small, CHANGE, fine, exact)
    complete(ref, marked, voltage, rhs)
    step_to_first(watched, voltage, base, base_rows, first, at, sign, np.full((1, WIDTH), FAR), best, code)
    for lane in range(WIDTH):
        held = fine[lane] and best[0, lane] >= 0.0
        # Beyond the search's own tolerance: at a cap hardly above the limit nothing is proved.
        further = at[0, lane] > limit[lane] + max(100.0, 2.0 * NEAR * limit[lane])
        odd[lane] = 1.0 if held and which[lane] >= 0.0 and further else 0.0
