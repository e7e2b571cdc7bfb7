"""How a load's current follows its voltage: OpenDSS's own law, as one admittance that depends on |V| only.

A branch of rated power P + jQ at base voltage Vb draws I = (g + jb) V with g, b functions of u = |V|²/Vb². Models:
1 constant power, 2 constant impedance, 3 constant P and quadratic Q, 4 exponents (CVR), 5 constant current, 8 ZIP with
cut-off. Below `v_min` the current goes in a straight line to the constant impedance's at 0.5 pu; above `v_max` the load is
a constant impedance; model 2 is one everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.grid.lanes import WIDTH, any_outside, load, square_root, store

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]

CONSTANT_POWER, CONSTANT_IMPEDANCE, QUADRATIC_Q, EXPONENTS, CONSTANT_CURRENT, ZIP = 1, 2, 3, 4, 5, 8
MODELS = (CONSTANT_POWER, CONSTANT_IMPEDANCE, QUADRATIC_Q, EXPONENTS, CONSTANT_CURRENT, ZIP)
V_LOW_PU = 0.5
SERIES_LOW, SERIES_HIGH = 0.72, 1.36
"""Where u^a by series is exact to 1e-10; outside the scalar law takes over."""


@dataclass(frozen=True)
class Branches:
    """Nonlinear branches between node `a` and node `b` (-1: ground), k of them; powers are rated, import positive.

    `p_w`, `q_var` at scale 1; `base_v`; `model`; `v_min`, `v_max` per unit; `exponent_p`, `exponent_q` (model 4);
    `zip_p`, `zip_q` (k, 3: impedance, current, power) and `cut_off` (model 8). `owner`: index of the load; a negative
    owner is a generator, PV or storage, -1 - index.
    """

    a: IndexArray
    b: IndexArray
    p_w: FloatArray
    q_var: FloatArray
    base_v: FloatArray
    model: IndexArray
    v_min: FloatArray
    v_max: FloatArray
    exponent_p: FloatArray
    exponent_q: FloatArray
    zip_p: FloatArray
    zip_q: FloatArray
    cut_off: FloatArray
    owner: IndexArray

    def __len__(self) -> int:
        return len(self.a)

    def fast_range(self) -> tuple[FloatArray, FloatArray]:
        """Return the range of u = |V|²/Vb² in which the plain law of the model holds, for each branch."""
        low = np.maximum(self.v_min, self.cut_off * (self.cut_off > 0) + 0.05 * (self.cut_off > 0)) ** 2
        high = self.v_max**2
        narrow = self.model == EXPONENTS
        low = np.where(narrow, np.maximum(low, SERIES_LOW), low)
        high = np.where(narrow, np.minimum(high, SERIES_HIGH), high)
        everywhere = self.model == CONSTANT_IMPEDANCE
        # A hair inside: at the very edge OpenDSS's comparison is with |V|, ours with its square.
        return np.where(everywhere, 0.0, low * (1 + 1e-14)), np.where(everywhere, np.inf, high * (1 - 1e-14))


@njit(cache=True, nogil=True)
def law(model, u, p, q, v_min, v_max, exponent_p, exponent_q, zip_p, zip_q, cut_off):  # type: ignore[no-untyped-def]
    """Return conductance and susceptance at u = |V|²/Vb²; `p`, `q`: rated W and var over Vb² (siemens)."""
    v = u**0.5
    if model == CONSTANT_IMPEDANCE or v <= V_LOW_PU:
        return p, -q
    if v <= v_min:
        current = V_LOW_PU + (1.0 / v_min - V_LOW_PU) / (v_min - V_LOW_PU) * (v - V_LOW_PU)
        return p * current / v, -q * current / v
    if v > v_max:
        return p / v_max**2, -q / v_max**2
    if model == CONSTANT_POWER:
        return p / u, -q / u
    if model == QUADRATIC_Q:
        return p / u, -q
    if model == EXPONENTS:
        return p * v ** (exponent_p - 2.0), -q * v ** (exponent_q - 2.0)
    if model == CONSTANT_CURRENT:
        return p / v, -q / v
    g = p * (zip_p[0] + zip_p[1] / v + zip_p[2] / u)
    b = -q * (zip_q[0] + zip_q[1] / v + zip_q[2] / u)
    if cut_off > 0.0:
        on = 0.5 * (1.0 + np.tanh(500.0 * (v - cut_off)))
        return g * on, b * on
    return g, b


@njit(cache=True, nogil=True)
def power_near_one(u, exponent):  # type: ignore[no-untyped-def]
    """Return u**exponent by series for u in SERIES_LOW..SERIES_HIGH and |exponent| up to 1.5; error below 1e-10."""
    z = (u - 1.0) / (u + 1.0)
    s = z * z
    tail = s * (1.0 / 11.0 + s * (1.0 / 13.0))
    series = 1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + tail))))
    w = (2.0 * exponent) * z * series
    far = 1.0 / 720.0 + w * (1.0 / 5040.0 + w * (1.0 / 40320.0 + w * (1.0 / 362880.0)))
    near = 1.0 + w * (1.0 + w * (0.5 + w * (1.0 / 6.0 + w * (1.0 / 24.0 + w * (1.0 / 120.0 + w * far)))))
    return near


class BranchArrays(NamedTuple):
    """The branches as kernels take them; `low`, `high`: where the plain law holds, in u = |V|²/Vb²."""

    a: IndexArray
    b: IndexArray
    model: IndexArray
    inverse_v2: FloatArray
    low: FloatArray
    high: FloatArray
    v_min: FloatArray
    v_max: FloatArray
    exponent_p: FloatArray
    exponent_q: FloatArray
    zip_p: FloatArray
    zip_q: FloatArray
    cut_off: FloatArray


def kernel_arrays(branches: Branches) -> BranchArrays:
    """Return the branches as kernels take them; made once for each set of branches."""
    known = branches.__dict__.get("_kernel_arrays")
    if known is not None:
        return known
    low, high = branches.fast_range()
    found = BranchArrays(
        branches.a, branches.b, branches.model, 1.0 / branches.base_v**2, low, high, branches.v_min, branches.v_max,
        branches.exponent_p, branches.exponent_q, branches.zip_p, branches.zip_q, branches.cut_off,
    )  # fmt: skip
    branches.__dict__["_kernel_arrays"] = found
    return found


@njit(cache=True, nogil=True)
def subtract_load_currents(br, p, q, slope, offset, voltage, scratch, rhs):  # type: ignore[no-untyped-def]
    """rhs -= I(V) - D V - c at every branch, for sixteen cases.

    `p`, `q` (k,) or (k, 16): siemens at rated voltage; `slope` (k, 4): D; `offset` (2k,): c; `voltage`, `rhs` (2n, 16);
    `scratch` (4, 16).
    """
    for k in range(br.a.size):
        i, j = br.a[k], br.b[k]
        vr, vi = load(voltage, 2 * i), load(voltage, 2 * i + 1)
        if j >= 0:
            vr, vi = vr - load(voltage, 2 * j), vi - load(voltage, 2 * j + 1)
        u = (vr * vr + vi * vi) * br.inverse_v2[k]
        pk, qk, model = load(p, k), load(q, k), br.model[k]
        if any_outside(u, br.low[k], br.high[k]):
            store(scratch, 0, u)
            store(scratch, 1, pk + 0.0 * u)
            store(scratch, 2, qk + 0.0 * u)
            for lane in range(WIDTH):
                scratch[2, lane], scratch[3, lane] = law(
                    model, scratch[0, lane], scratch[1, lane], scratch[2, lane], br.v_min[k], br.v_max[k],
                    br.exponent_p[k], br.exponent_q[k], br.zip_p[k], br.zip_q[k], br.cut_off[k],
                )  # fmt: skip
            g, h = load(scratch, 2), load(scratch, 3)
        elif model == EXPONENTS:
            g = pk * power_near_one(u, 0.5 * br.exponent_p[k] - 1.0)
            if br.exponent_q[k] == 2.0:
                h = 0.0 * u - qk
            else:
                h = 0.0 - qk * power_near_one(u, 0.5 * br.exponent_q[k] - 1.0)
        elif model == CONSTANT_POWER:
            y = 1.0 / u
            g, h = pk * y, 0.0 - qk * y
        elif model == CONSTANT_IMPEDANCE:
            g, h = pk + 0.0 * u, 0.0 * u - qk
        elif model == CONSTANT_CURRENT:
            y = 1.0 / square_root(u)
            g, h = pk * y, 0.0 - qk * y
        elif model == QUADRATIC_Q:
            g, h = pk / u, 0.0 * u - qk
        else:
            y = 1.0 / square_root(u)
            g = pk * (br.zip_p[k, 0] + br.zip_p[k, 1] * y + br.zip_p[k, 2] * y * y)
            h = 0.0 - qk * (br.zip_q[k, 0] + br.zip_q[k, 1] * y + br.zip_q[k, 2] * y * y)
        cr = g * vr - h * vi - slope[k, 0] * vr - slope[k, 1] * vi - load(offset, 2 * k)
        ci = h * vr + g * vi - slope[k, 2] * vr - slope[k, 3] * vi - load(offset, 2 * k + 1)
        store(rhs, 2 * i, load(rhs, 2 * i) - cr)
        store(rhs, 2 * i + 1, load(rhs, 2 * i + 1) - ci)
        if j >= 0:
            store(rhs, 2 * j, load(rhs, 2 * j) + cr)
            store(rhs, 2 * j + 1, load(rhs, 2 * j + 1) + ci)


@njit(cache=True, nogil=True)
def currents_and_slopes(br, p, q, voltage, current, slope):  # type: ignore[no-untyped-def]
    """Fill each branch's current (2k,) and its derivative by the voltage (k, 4) at `voltage` (2n,)."""
    for k in range(br.a.size):
        vr, vi = voltage[2 * br.a[k]], voltage[2 * br.a[k] + 1]
        if br.b[k] >= 0:
            vr, vi = vr - voltage[2 * br.b[k]], vi - voltage[2 * br.b[k] + 1]
        u = (vr * vr + vi * vi) * br.inverse_v2[k]
        rest = (
            p[k], q[k], br.v_min[k], br.v_max[k], br.exponent_p[k], br.exponent_q[k], br.zip_p[k], br.zip_q[k],
            br.cut_off[k],
        )  # fmt: skip
        step = 1e-6 * u
        g, h = law(br.model[k], u, *rest)
        g1, h1 = law(br.model[k], u + step, *rest)
        g0, h0 = law(br.model[k], u - step, *rest)
        dg, dh = (g1 - g0) / (2 * step), (h1 - h0) / (2 * step)
        ur, ui = 2.0 * vr * br.inverse_v2[k], 2.0 * vi * br.inverse_v2[k]
        current[2 * k] = g * vr - h * vi
        current[2 * k + 1] = h * vr + g * vi
        er, ei = dg * vr - dh * vi, dh * vr + dg * vi
        slope[k, 0], slope[k, 1] = g + er * ur, -h + er * ui
        slope[k, 2], slope[k, 3] = h + ei * ur, g + ei * ui


@njit(cache=True, nogil=True)
def subtract_currents(br, p, q, voltage, rest):  # type: ignore[no-untyped-def]
    """rest -= I(V) at every branch, for one case: `voltage`, `rest` (2n,)."""
    for k in range(br.a.size):
        i, j = br.a[k], br.b[k]
        vr, vi = voltage[2 * i], voltage[2 * i + 1]
        if j >= 0:
            vr, vi = vr - voltage[2 * j], vi - voltage[2 * j + 1]
        u = (vr * vr + vi * vi) * br.inverse_v2[k]
        if br.model[k] == CONSTANT_POWER and br.low[k] <= u <= br.high[k]:
            g, h = p[k] / u, -q[k] / u
        else:
            g, h = law(
                br.model[k], u, p[k], q[k], br.v_min[k], br.v_max[k], br.exponent_p[k], br.exponent_q[k], br.zip_p[k],
                br.zip_q[k], br.cut_off[k],
            )  # fmt: skip
        cr, ci = g * vr - h * vi, h * vr + g * vi
        rest[2 * i] -= cr
        rest[2 * i + 1] -= ci
        if j >= 0:
            rest[2 * j] += cr
            rest[2 * j + 1] += ci
