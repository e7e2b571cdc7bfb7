"""Factor once, solve many: Newton's method for a base state, then exact states around it for sixteen cases at once.

With J = Y + dI/dV at a reference state, J (V - V_ref) = -[I(V) - D V - c] - I_case, where c = I(V_ref) - D V_ref: the
right-hand side is only the loads' nonlinear remainder and what the case adds, so an iteration needs no product Y V.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from derms.errors import NotConverged
from derms.grid.factors import BlockRows, Factors, backward, backward_node, factor, forward_path, forward_tail, solve_scalar
from derms.grid.lanes import load, spread, store
from derms.grid.load_law import BranchArrays, currents_and_slopes, kernel_arrays, subtract_currents, subtract_load_currents
from derms.grid.network import ComplexArray, FloatArray, Network

CONVERGED_PU = 1e-7
MOST_NEWTON_STEPS = 30


class Reference(NamedTuple):
    """A network linearised at one solved state, as kernels take it.

    `volts` (2n,) real and imaginary in turn; `p`, `q` (k,) siemens at rated voltage; `slope` (k, 4); `offset` (2k,);
    `base_v` (n,).
    """

    factors: Factors
    branches: BranchArrays
    volts: FloatArray
    p: FloatArray
    q: FloatArray
    slope: FloatArray
    offset: FloatArray
    base_v: FloatArray


@njit(cache=True)
def _assemble(start, column, conductance, susceptance, a, b, slope, value):  # type: ignore[no-untyped-def]
    for k in range(column.size):
        g, h = conductance[k], susceptance[k]
        value[k, 0], value[k, 1], value[k, 2], value[k, 3] = g, -h, h, g
    for k in range(a.size):
        i, j = a[k], b[k]
        value[_at(start, column, i, i)] += slope[k]
        if j >= 0:
            value[_at(start, column, j, j)] += slope[k]
            value[_at(start, column, i, j)] -= slope[k]
            value[_at(start, column, j, i)] -= slope[k]


@njit(cache=True)
def _at(start, column, i, j):  # type: ignore[no-untyped-def]
    low, high = start[i], start[i + 1] - 1
    while low < high:
        middle = (low + high) // 2
        if column[middle] < j:
            low = middle + 1
        else:
            high = middle
    return low


def linearise(network: Network, volts: ComplexArray, p_w: FloatArray, q_var: FloatArray) -> Reference:
    """Return the network linearised at `volts` (n,), with the branches at `p_w`, `q_var` (k,)."""
    branches = kernel_arrays(network.branches)
    flat = np.ascontiguousarray(volts).view(np.float64).copy()
    p, q = p_w * branches.inverse_v2, q_var * branches.inverse_v2
    count = len(network.branches)
    current, slope = np.zeros(2 * count), np.zeros((count, 4))
    currents_and_slopes(branches, p, q, flat, current, slope)
    across = _across(branches, flat)
    offset = current - np.stack(
        [
            slope[:, 0] * across[:, 0] + slope[:, 1] * across[:, 1],
            slope[:, 2] * across[:, 0] + slope[:, 3] * across[:, 1],
        ],
        axis=1,
    ).reshape(-1)
    admittance = network.admittance
    value = np.empty((len(admittance.column), 4))
    _assemble(
        admittance.start, admittance.column, admittance.value.real.copy(), admittance.value.imag.copy(),
        branches.a, branches.b, slope, value,
    )  # fmt: skip
    factors = factor(network.pattern, BlockRows(admittance.start, admittance.column, value))
    return Reference(factors, branches, flat, p, q, slope, offset, network.base_v)


def _across(branches: BranchArrays, flat: FloatArray) -> FloatArray:
    nodes = flat.reshape(-1, 2)
    return nodes[branches.a] - np.where((branches.b >= 0)[:, None], nodes[branches.b], 0.0)


def branch_currents(network: Network, volts: ComplexArray, p_w: FloatArray, q_var: FloatArray) -> ComplexArray:
    """Return the current that the branches draw out of each node (n,), amperes."""
    branches = kernel_arrays(network.branches)
    count = len(network.branches)
    current, slope = np.zeros(2 * count), np.zeros((count, 4))
    flat = np.ascontiguousarray(volts).view(np.float64)
    currents_and_slopes(branches, p_w * branches.inverse_v2, q_var * branches.inverse_v2, flat, current, slope)
    drawn, each = np.zeros(network.size, dtype=complex), current.view(np.complex128)
    np.add.at(drawn, branches.a, each)
    live = branches.b >= 0
    np.add.at(drawn, branches.b[live], -each[live])
    return drawn


def newton(
    network: Network, p_w: FloatArray, q_var: FloatArray, start: ComplexArray, drawn: ComplexArray | None = None
) -> Reference:
    """Return the network linearised at its solution for the branches' P and Q; raises NotConverged.

    `drawn` (n,): a further constant current out of each node, amperes.
    """
    volts = start.copy()
    extra = np.zeros(network.size, dtype=complex) if drawn is None else drawn
    for _ in range(MOST_NEWTON_STEPS):
        reference = linearise(network, volts, p_w, q_var)
        flows = network.admittance.times(volts) + branch_currents(network, volts, p_w, q_var)
        step = solve_one(reference.factors, network.source - extra - flows)
        volts = volts + step
        worst = np.abs(step / network.base_v).max()
        if not np.isfinite(worst):
            break
        if worst < CONVERGED_PU:
            return linearise(network, volts, p_w, q_var)
    raise NotConverged("Newton's method finds no base state", where="power flow", remedy="Check loads and taps.")


def chord(
    network: Network, factors: Factors, p_w: FloatArray, q_var: FloatArray, start: ComplexArray
) -> ComplexArray | None:
    """Return the voltages at the branches' P and Q with factors of a state nearby; None where they do not lead there."""
    branches, admittance = kernel_arrays(network.branches), network.admittance
    volts = np.ascontiguousarray(start).view(np.float64).copy()
    source = np.ascontiguousarray(network.source).view(np.float64)
    value = np.ascontiguousarray(admittance.value).view(np.float64)
    good = _chord(
        factors, branches, p_w * branches.inverse_v2, q_var * branches.inverse_v2, admittance.start, admittance.column,
        value, source, network.base_v, volts, np.empty_like(volts),
    )  # fmt: skip
    return volts.view(np.complex128) if good else None


@njit(cache=True, nogil=True)
def _chord(f, br, p, q, start, column, value, source, base_v, volts, rest):  # type: ignore[no-untyped-def]
    """Iterate in place in `volts` (2n,): V += J⁻¹ (source - Y V - I(V)); `value` (2 nnz,) real and imaginary in turn."""
    before = np.inf
    for _ in range(MOST_NEWTON_STEPS):
        for i in range(base_v.size):
            sr, si = source[2 * i], source[2 * i + 1]
            for k in range(start[i], start[i + 1]):
                g, h = value[2 * k], value[2 * k + 1]
                vr, vi = volts[2 * column[k]], volts[2 * column[k] + 1]
                sr -= g * vr - h * vi
                si -= h * vr + g * vi
            rest[2 * i], rest[2 * i + 1] = sr, si
        subtract_currents(br, p, q, volts, rest)
        solve_scalar(f, rest)
        worst = 0.0
        for i in range(base_v.size):
            dr, di = rest[2 * i], rest[2 * i + 1]
            volts[2 * i] += dr
            volts[2 * i + 1] += di
            size = (dr * dr + di * di) / (base_v[i] * base_v[i])
            if not size <= worst:
                worst = size
        worst = worst**0.5
        if worst < CONVERGED_PU:
            return True
        if not worst < 0.9 * before:
            return False
        before = worst
    return False


def solve_one(factors: Factors, right: ComplexArray) -> ComplexArray:
    """Return the solution of J x = right for one right-hand side (n,)."""
    work = np.ascontiguousarray(right).view(np.float64).copy()
    solve_scalar(factors, work)
    return work.view(np.complex128)


@njit(cache=True, nogil=True)
def path_to_tail(parent, tail, nodes, marked, path):  # type: ignore[no-untyped-def]
    """Fill `path` with the nodes before the tail at or above `nodes`, ascending, and mark them; returns how many.

    `marked` (n,) comes in clear; clear the marks of `path` after use.
    """
    count = 0
    for node in nodes.flat:
        i = node
        while i >= 0 and i < tail and not marked[i]:
            marked[i] = True
            path[count] = i
            count += 1
            i = parent[i]
    path[:count].sort()
    return count


@njit(cache=True, nogil=True)
def draw_constant_power(nodes, p_share, q_share, power, curve, relaxed, base_v, voltage, rhs):  # type: ignore[no-untyped-def]
    """rhs -= conj(S / V) at each lane's nodes: a site of constant power, shared equally among its phases.

    `nodes` (16, 3), -1 for none; `p_share`, `q_share` (16,) W and var per watt and phase; `power` (16,) watts, import
    positive; `curve` (c, 2): volt-var points, per unit volts rising and var (absorbed positive) of the whole site; c may
    be 0. Each phase follows its own voltage; `relaxed` (3, 16): the var it has reached.
    """
    for lane in range(nodes.shape[0]):
        for phase in range(3):
            i = nodes[lane, phase]
            if i >= 0:
                vr, vi = voltage[2 * i, lane], voltage[2 * i + 1, lane]
                p, q = power[lane] * p_share[lane], power[lane] * q_share[lane]
                if curve.shape[0] > 0:
                    # Half way each time: a steep curve on a weak node would swing for ever.
                    target = p_share[lane] * volt_var(curve, (vr * vr + vi * vi) ** 0.5 / base_v[i])
                    relaxed[phase, lane] += 0.5 * (target - relaxed[phase, lane])
                    q += relaxed[phase, lane]
                over = 1.0 / (vr * vr + vi * vi)
                rhs[2 * i, lane] -= (p * vr + q * vi) * over
                rhs[2 * i + 1, lane] -= (p * vi - q * vr) * over


@njit(cache=True, nogil=True)
def volt_var(curve, volts_pu):  # type: ignore[no-untyped-def]
    """Return the var of a piecewise linear curve, flat beyond its ends."""
    if volts_pu <= curve[0, 0]:
        return curve[0, 1]
    for k in range(1, curve.shape[0]):
        if volts_pu <= curve[k, 0]:
            part = (volts_pu - curve[k - 1, 0]) / max(curve[k, 0] - curve[k - 1, 0], 1e-12)
            return curve[k - 1, 1] + part * (curve[k, 1] - curve[k - 1, 1])
    return curve[-1, 1]


@njit(cache=True, nogil=True)
def iterate(ref, p, q, nodes, p_share, q_share, power, curve, relaxed, path, voltage, rhs, scratch, change):  # type: ignore[no-untyped-def]
    """One step of the dishonest Newton method on the tail and the path; `voltage` is replaced there.

    `change` (1, 16) receives each lane's sum of squared relative corrections.
    """
    f = ref.factors
    size = f.row_start.size - 1
    zero = spread(0.0)
    for i in range(2 * f.tail, 2 * size):
        store(rhs, i, zero)
    for m in range(path.size):
        store(rhs, 2 * path[m], zero)
        store(rhs, 2 * path[m] + 1, zero)
    subtract_load_currents(ref.branches, p, q, ref.slope, ref.offset, voltage, scratch, rhs)
    draw_constant_power(nodes, p_share, q_share, power, curve, relaxed, ref.base_v, voltage, rhs)
    forward_path(f, path, rhs)
    forward_tail(f, rhs)
    backward(f, f.tail, size, rhs)
    for m in range(path.size - 1, -1, -1):
        backward_node(f, path[m], rhs)
    _take_over(ref.volts, f.tail, size, path, voltage, rhs, change)


@njit(cache=True, nogil=True)
def _take_over(reference, tail, size, path, voltage, rhs, change):  # type: ignore[no-untyped-def]
    worst = spread(0.0)
    for i in range(tail, size):
        worst = _replace(reference, i, voltage, rhs, worst)
    for m in range(path.size):
        worst = _replace(reference, path[m], voltage, rhs, worst)
    store(change, 0, worst)


@njit(cache=True, nogil=True)
def _replace(reference, i, voltage, rhs, worst):  # type: ignore[no-untyped-def]
    nr = load(rhs, 2 * i) + reference[2 * i]
    ni = load(rhs, 2 * i + 1) + reference[2 * i + 1]
    dr, di = nr - load(voltage, 2 * i), ni - load(voltage, 2 * i + 1)
    store(voltage, 2 * i, nr)
    store(voltage, 2 * i + 1, ni)
    size = reference[2 * i] * reference[2 * i] + reference[2 * i + 1] * reference[2 * i + 1]
    # A sum, not a maximum: one lane that is not a number must show.
    return worst + (dr * dr + di * di) / size


@njit(cache=True, nogil=True)
def complete(ref, on_path, voltage, rhs):  # type: ignore[no-untyped-def]
    """Carry the last iteration's solution to the nodes before the tail that are not on the path, where nothing is drawn."""
    f = ref.factors
    zero = spread(0.0)
    for i in range(f.tail - 1, -1, -1):
        if not on_path[i]:
            store(rhs, 2 * i, zero)
            store(rhs, 2 * i + 1, zero)
            backward_node(f, i, rhs)
            store(voltage, 2 * i, load(rhs, 2 * i) + ref.volts[2 * i])
            store(voltage, 2 * i + 1, load(rhs, 2 * i + 1) + ref.volts[2 * i + 1])
