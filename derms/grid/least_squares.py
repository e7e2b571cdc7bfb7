"""Weighted least squares with pseudo-measurements: from a few meters to the state of the feeder, with its uncertainty.

Unknown is each load's multiplier. Its pseudo-measurement is the hour's own load, with an error of its own and one
that all loads share; the meters' equations are linear at the AC point and found by one transposed solve for sixteen
of them, so the system to invert is as small as the number of meters. Gauss and Newton's steps go on until the state
rests. Bad data: the largest normalised residual above `BAD` is taken out, and the rest is solved again (the usual
largest-normalised-residual test).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from derms.errors import InputError, NotConverged
from derms.grid.factors import solve_transposed
from derms.grid.fast import HourState
from derms.grid.hosting import row_currents
from derms.grid.lanes import WIDTH
from derms.grid.network import ComplexArray, FloatArray, Network
from derms.grid.powerflow import Reference, newton
from derms.grid.sharing_sites import with_sites

OWN_SIGMA, COMMON_SIGMA = 0.4, 0.5
"""Relative standard error of a load's pseudo-measurement: its own, and that of the whole hour."""
BAD = 4.0
"""Normalised residual beyond which a meter is bad: at 3, one honest set of eleven meters in thirty would lose one."""
LEAST_MULTIPLIER, MOST_MULTIPLIER = 0.0, 6.0
MOST_STEPS = 12
KINDS = ("voltage", "current", "active_power", "reactive_power")


@dataclass(frozen=True)
class Meter:
    """One measurement: kind, where (a node's place for voltage, else a monitored row), value and sigma in V, A, W, var."""

    name: str
    kind: str
    place: int
    value: float
    sigma: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"unknown kind of meter {self.kind!r}", where=self.name, remedy=", ".join(KINDS))
        if not (np.isfinite(self.value) and np.isfinite(self.sigma) and self.sigma > 0):
            raise InputError("a meter needs a finite value and a positive sigma", where=self.name)


@dataclass(frozen=True)
class StateEstimate:
    """Multipliers (k,) of the loads, the solved state, the meters taken out as bad, and what is left uncertain."""

    network: Network
    multipliers: FloatArray
    reference: Reference
    rejected: tuple[str, ...]
    normalised: dict[str, float]
    _gain: FloatArray
    _rows: FloatArray
    _loads: int

    @property
    def volts(self) -> ComplexArray:
        """Return the node voltages, (n,)."""
        return self.reference.volts.view(np.complex128)

    def sigma_of(self, kind: str, place: int) -> float:
        """Return the standard error of a voltage (V), current (A) or power (W, var) in this state: the margin's measure."""
        row = _sensitivities(self.network, self.reference, [(kind, place)], self._loads)
        spread = _prior_times(row.T)
        variance = float((row @ spread)[0, 0] - (row @ self._gain @ (self._rows @ spread))[0, 0])
        return float(np.sqrt(max(variance, 0.0)))


def estimate_state(
    state: HourState, meters: list[Meter], nodes: FloatArray | None = None, site_w: FloatArray | None = None,
    site_var: FloatArray | None = None,
) -> StateEstimate:  # fmt: skip
    """Estimate from an hour's own state; `nodes`, `site_w`, `site_var`: known injections of sites at single nodes.

    Raises NotConverged when the meters cannot be explained, or fewer than one good one is left.
    """
    loads = len(state.network.branches)
    at = np.zeros(0, dtype=np.int64) if nodes is None else np.asarray(nodes, dtype=np.int64)
    extra_p = np.zeros(len(at)) if site_w is None else site_w
    extra_q = np.zeros(len(at)) if site_var is None else site_var
    network = with_sites(state.network, at) if len(at) else state.network
    inverse = state.reference.branches.inverse_v2
    base = (state.reference.p / inverse, state.reference.q / inverse)
    good = list(meters)
    rejected: list[str] = []
    while good:
        found = _gauss_newton(network, state.volts, base, (extra_p, extra_q), good, loads)
        worst = max(found.normalised, key=lambda name: found.normalised[name])
        if found.normalised[worst] <= BAD:
            return replace(found, rejected=tuple(rejected))
        rejected.append(worst)
        good = [meter for meter in good if meter.name != worst]
    raise NotConverged("no meter is left that the others bear out", where="state estimation", remedy="Check the meters.")


def _gauss_newton(
    network: Network, start: ComplexArray, base: tuple[FloatArray, FloatArray], extra: tuple[FloatArray, FloatArray],
    meters: list[Meter], loads: int,
) -> StateEstimate:  # fmt: skip
    theta, volts = np.ones(loads), start
    measured, noise = np.array([meter.value for meter in meters]), np.array([meter.sigma**2 for meter in meters])
    places = [(meter.kind, meter.place) for meter in meters]
    for _ in range(MOST_STEPS):
        p, q = (np.concatenate([part * theta, more]) for part, more in zip(base, extra, strict=True))
        reference = newton(network, p, q, volts)
        volts = reference.volts.view(np.complex128)
        rows = _sensitivities(network, reference, places, loads, theta)
        spread = _prior_times(rows.T)
        innovation = rows @ spread + np.diag(noise)
        gain: FloatArray = np.asarray(np.linalg.solve(innovation, spread.T).T, dtype=np.float64)
        # Always from the prior: theta = 1 + K (z - h(theta) + H (theta - 1)).
        left = measured - _values(network, volts, places)
        following = np.clip(1.0 + gain @ (left + rows @ (theta - 1.0)), LEAST_MULTIPLIER, MOST_MULTIPLIER)
        moved = float(np.abs(following - theta).max())
        theta = following
        if moved < 1e-4:
            break
    # Residual against what the prior and all meters say: its covariance is R S^-1 R.
    weight = np.linalg.inv(innovation)
    scale = noise * np.sqrt(np.diag(weight))
    normalised = {meter.name: float(abs(r) / s) for meter, r, s in zip(meters, left, scale, strict=True)}
    return StateEstimate(network, theta, reference, (), normalised, gain, rows, loads)


def _prior_times(columns: FloatArray) -> FloatArray:
    """Return the prior covariance of the multipliers times (k, m) columns: own errors, and one that all share."""
    result: FloatArray = OWN_SIGMA**2 * columns + COMMON_SIGMA**2 * columns.sum(axis=0, keepdims=True)
    return result


def _values(network: Network, volts: ComplexArray, places: list[tuple[str, int]]) -> FloatArray:
    currents = row_currents(network, volts)
    found = []
    for kind, place in places:
        if kind == "voltage":
            found.append(abs(volts[place]))
        elif kind == "current":
            found.append(abs(currents[place]))
        else:
            power = volts[network.rows.own[place]] * currents[place].conjugate()
            found.append(power.real if kind == "active_power" else power.imag)
    return np.array(found, dtype=np.float64)


def _sensitivities(
    network: Network, reference: Reference, places: list[tuple[str, int]], loads: int, theta: FloatArray | None = None
) -> FloatArray:
    """Return d(meter)/d(multiplier), (m, k)."""
    volts = reference.volts.view(np.complex128)
    currents = row_currents(network, volts)
    branches, drawn = reference.branches, _branch_currents(reference, loads)
    if theta is not None:
        drawn = drawn / np.maximum(theta, 1e-3)
    rows = np.zeros((len(places), loads))
    a, b = branches.a[:loads], branches.b[:loads]
    for first in range(0, len(places), WIDTH):
        right = np.zeros((2 * network.size, WIDTH))
        some = places[first : first + WIDTH]
        for lane, (kind, place) in enumerate(some):
            _gradient(network, volts, currents, kind, place, right[:, lane])
        solve_transposed(reference.factors, right)
        for lane in range(len(some)):
            adjoint = right[0::2, lane], right[1::2, lane]
            real = adjoint[0][a] - np.where(b >= 0, adjoint[0][b], 0.0)
            imag = adjoint[1][a] - np.where(b >= 0, adjoint[1][b], 0.0)
            rows[first + lane] = -(real * drawn.real + imag * drawn.imag)
    return rows


def _branch_currents(reference: Reference, loads: int) -> ComplexArray:
    """Return each load branch's current at the state: D V + c of its linearisation."""
    flat, branches = reference.volts.reshape(-1, 2), reference.branches
    across = flat[branches.a] - np.where((branches.b >= 0)[:, None], flat[branches.b], 0.0)
    offset = reference.offset.reshape(-1, 2)
    slope = reference.slope
    real = slope[:, 0] * across[:, 0] + slope[:, 1] * across[:, 1] + offset[:, 0]
    imag = slope[:, 2] * across[:, 0] + slope[:, 3] * across[:, 1] + offset[:, 1]
    return (real + 1j * imag)[:loads]


def _gradient(
    network: Network, volts: ComplexArray, currents: ComplexArray, kind: str, place: int, column: FloatArray
) -> None:
    """Write the derivative of a measured value by real and imaginary node voltages."""
    if kind == "voltage":
        unit = volts[place] / abs(volts[place])
        column[2 * place], column[2 * place + 1] = unit.real, unit.imag
        return
    rows = network.rows
    part = slice(rows.start[place], rows.start[place + 1])
    nodes, coefficient = rows.node[part], rows.coefficient[part]
    current, own = currents[place], int(rows.own[place])
    if kind == "current":
        along = current.conjugate() / max(abs(current), 1e-9) * coefficient
        np.add.at(column, 2 * nodes, along.real)
        np.add.at(column, 2 * nodes + 1, -along.imag)
        return
    # S = V conj(I): dS = dV conj(I) + V conj(c dV).
    through = volts[own] * coefficient.conjugate()
    if kind == "active_power":
        np.add.at(column, 2 * nodes, through.real)
        np.add.at(column, 2 * nodes + 1, through.imag)
        column[2 * own] += current.real
        column[2 * own + 1] += current.imag
    else:
        np.add.at(column, 2 * nodes, through.imag)
        np.add.at(column, 2 * nodes + 1, -through.real)
        column[2 * own] -= current.imag
        column[2 * own + 1] += current.real
