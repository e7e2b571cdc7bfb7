"""All constraints at one exact point in one pass: how much further each case may go before it meets the first of them.

Near a point V with tangent T (volts per watt) every squared magnitude is a parabola in the step: of a node's voltage,
and of a row's current. Its root in the direction of travel is where the constraint is met; the least of the roots is
the step, a negative one where the point is already beyond. No square root of a magnitude, no angle.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

from derms.grid.elimination import IndexArray
from derms.grid.lanes import any_positive, load, maximum, spread, square_root, store, where_positive
from derms.grid.network import FloatArray

FAR = 1e30


class Watched(NamedTuple):
    """What is watched, as kernels take it.

    `nodes` (w,) with limits `low2`, `high2` (w,) or (w, 16): volts²; rows of currents (`start`, `node`, `real`, `imag`)
    with `amps2` (r,) or (r, 16); `share2` (r,): a row counts for a case only if its current moves by at least
    1/share2 A² per W² (0: always). `power_*`: flows that may not reverse: rows `power_row` (its current) and
    `power_node` by group, P >= -`power_limit` (g,).
    """

    nodes: IndexArray
    low2: FloatArray
    high2: FloatArray
    start: IndexArray
    node: IndexArray
    real: FloatArray
    imag: FloatArray
    amps2: FloatArray
    share2: FloatArray
    power_start: IndexArray
    power_row: IndexArray
    power_node: IndexArray
    power_limit: FloatArray


@njit(cache=True, nogil=True)
def _tangent(voltage, base, first, over, sign, i):  # type: ignore[no-untyped-def]
    """T at V of the parabola through the base point with slope `first` and the present point: 2 (V - V0)/t - T0."""
    return (load(voltage, i) - load(base, i)) * over - sign * load(first, i)


@njit(cache=True, nogil=True)
def _rise(ahead, slope, bend):  # type: ignore[no-untyped-def]
    """How much a parabola (or, with bend 0, its tangent) has risen at `ahead`, at least nothing."""
    return maximum(ahead * (slope + ahead * bend), spread(0.0))


@njit(cache=True, nogil=True)
def _node_step(below, above, slope, bend):  # type: ignore[no-untyped-def]
    """The step at which a node's voltage meets its limit; `below`, `above`: by how much it is beyond each, volts²."""
    beyond = where_positive(slope, above, below)
    behind = where_positive(slope, below, above)
    bend = where_positive(slope, bend, 0.0 - bend)
    steep = where_positive(slope, slope, 0.0 - slope)
    root = steep * steep - 4.0 * bend * beyond
    step = (-2.0) * beyond / (steep + square_root(maximum(root, 0.0)))
    step = where_positive(root, step, where_positive(beyond, step, spread(FAR)))
    return where_positive(behind, spread(-FAR), step)


@njit(cache=True, nogil=True)
def _row_step(beyond, slope, bend):  # type: ignore[no-untyped-def]
    """The step at which a current meets its rating: the parabola's larger root, also behind a reversal of the flow."""
    root = slope * slope - 4.0 * bend * beyond
    stem = square_root(maximum(root, 0.0))
    step = where_positive(slope, (-2.0) * beyond, stem - slope) / where_positive(slope, slope + stem, 2.0 * bend)
    return where_positive(beyond, where_positive(slope, step, spread(-FAR)), step)


@njit(cache=True, nogil=True)
def step_to_first(watched, voltage, base, base_rows, first, at, sign, reach, best, which):  # type: ignore[no-untyped-def]
    """Fill `best` (1, 16) with the least step in watts, `reach` (1, 16) at most, and `which` with its constraint (-1:
    none).

    `voltage` (2n, 16): the point reached at `at` (1, 16) watts; `base` (2n,) or (2n, 16); `base_rows` (2r,) or (2r, 16):
    currents at the base point; `first` (2n, 16): the tangent at the base for import; `sign` 1 for import, -1 for export.
    At the base point itself give `at` = inf. Constraints are numbered: nodes of `watched` twice (low, then high at +1),
    then rows, then power groups. A constraint whose parabola stays inside up to the least step so far costs no root.
    """
    over = 2.0 / load(at, 0)
    least, code = load(reach, 0), spread(-1.0)
    for w in range(watched.nodes.size):
        i = 2 * watched.nodes[w]
        vr, vi = load(voltage, i), load(voltage, i + 1)
        tr, ti = _tangent(voltage, base, first, over, sign, i), _tangent(voltage, base, first, over, sign, i + 1)
        now, slope, bend = vr * vr + vi * vi, 2.0 * (vr * tr + vi * ti), tr * tr + ti * ti
        below, above = load(watched.low2, w) - now, now - load(watched.high2, w)
        ahead = maximum(least, spread(0.0))
        if any_positive(maximum(above + _rise(ahead, slope, bend), below + maximum(0.0 - ahead * slope, spread(0.0)))):
            step = _node_step(below, above, slope, bend)
            number = where_positive(slope, spread(2.0 * w + 1.0), spread(2.0 * w))
            number = where_positive(above, spread(2.0 * w + 1.0), where_positive(below, spread(2.0 * w), number))
            code = where_positive(least - step, number, code)
            least = where_positive(least - step, step, least)
    first_row = 2.0 * watched.nodes.size
    for r in range(watched.start.size - 1):
        ir, ii, jr, ji = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
        for k in range(watched.start[r], watched.start[r + 1]):
            i, g, h = 2 * watched.node[k], watched.real[k], watched.imag[k]
            vr, vi = load(voltage, i), load(voltage, i + 1)
            fr, fi = load(first, i), load(first, i + 1)
            ir = ir + g * vr - h * vi
            ii = ii + h * vr + g * vi
            jr = jr + g * fr - h * fi
            ji = ji + h * fr + g * fi
        tr = (ir - load(base_rows, 2 * r)) * over - sign * jr
        ti = (ii - load(base_rows, 2 * r + 1)) * over - sign * ji
        beyond = ir * ir + ii * ii - load(watched.amps2, r)
        slope, bend = 2.0 * (ir * tr + ii * ti), tr * tr + ti * ti
        if any_positive(beyond + _rise(maximum(least, spread(0.0)), slope, bend)):
            step = _row_step(beyond, slope, bend)
            if watched.share2[r] > 0.0:
                step = where_positive((jr * jr + ji * ji) * watched.share2[r] - 1.0, step, spread(FAR))
            code = where_positive(least - step, spread(first_row + r), code)
            least = where_positive(least - step, step, least)
    store(best, 0, least)
    store(which, 0, code)
    if watched.power_start.size > 1:
        _powers(watched, voltage, base, base_rows, first, over, sign, best, which)


@njit(cache=True, nogil=True)
def _powers(watched, voltage, base, base_rows, first, over, sign, best, which):  # type: ignore[no-untyped-def]
    """The same for flows that may not reverse: P is quadratic in V, so a parabola as well."""
    least, code = load(best, 0), load(which, 0)
    start = 2.0 * watched.nodes.size + watched.start.size - 1
    for group in range(watched.power_start.size - 1):
        now, slope, bend = spread(0.0), spread(0.0), spread(0.0)
        for m in range(watched.power_start[group], watched.power_start[group + 1]):
            r, i = watched.power_row[m], 2 * watched.power_node[m]
            ir, ii, jr, ji = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
            for k in range(watched.start[r], watched.start[r + 1]):
                n, g, h = 2 * watched.node[k], watched.real[k], watched.imag[k]
                ir = ir + g * load(voltage, n) - h * load(voltage, n + 1)
                ii = ii + h * load(voltage, n) + g * load(voltage, n + 1)
                jr = jr + g * load(first, n) - h * load(first, n + 1)
                ji = ji + h * load(first, n) + g * load(first, n + 1)
            jr = (ir - load(base_rows, 2 * r)) * over - sign * jr
            ji = (ii - load(base_rows, 2 * r + 1)) * over - sign * ji
            vr, vi = load(voltage, i), load(voltage, i + 1)
            tr, ti = _tangent(voltage, base, first, over, sign, i), _tangent(voltage, base, first, over, sign, i + 1)
            now = now + vr * ir + vi * ii
            slope = slope + tr * ir + ti * ii + vr * jr + vi * ji
            bend = bend + tr * jr + ti * ji
        # f = -P - limit must stay below zero: f(x) = f - slope x - bend x².
        beyond = (0.0 - now) - load(watched.power_limit, group)
        steep = 0.0 - slope
        root = steep * steep + 4.0 * bend * beyond
        step = (-2.0) * beyond / (steep + square_root(maximum(root, 0.0)))
        step = where_positive(steep, step, where_positive(beyond, spread(-FAR), spread(FAR)))
        step = where_positive(root, step, where_positive(beyond, step, spread(FAR)))
        code = where_positive(least - step, spread(start + group), code)
        least = where_positive(least - step, step, least)
    store(best, 0, least)
    store(which, 0, code)
