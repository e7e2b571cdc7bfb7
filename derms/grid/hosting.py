"""Hosting capacity by the fast engine: the largest import and export at many buses in one hour, or at one bus in many.

Arrays in, arrays out. Base states come from OpenDSS (controls settled as OpenDSS settles them) or from Newton's method
on the same arrays; every limit is an exact AC point found by `limits_kernel`, with the constraint that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.errors import InputError
from derms.grid.criteria import CriteriaSettings
from derms.grid.groups_kernel import run_groups
from derms.grid.lanes import WIDTH
from derms.grid.limits_kernel import DIVERGED, NOT_FOUND, workspace
from derms.grid.network import FloatArray, Network
from derms.grid.powerflow import Reference
from derms.grid.sweep import Watched

TOLERANCE_W = 5.0
"""How close to the constraint the search ends, watts along the parabola; the answer is on the safe side of it."""
IMPORT, EXPORT = 0, 1
BEYOND = 1e12
"""A limit that nothing meets, for what the rule "masked" does not look at."""


@dataclass(frozen=True)
class Candidates:
    """Places where a site may be: `nodes` (c, 3) node numbers (-1 for none), `phases` (c,), names; var per watt."""

    names: tuple[str, ...]
    nodes: NDArray[np.int64]
    phases: FloatArray
    var_per_watt: float = 0.0
    volt_var: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    """(c, 2): per unit volts rising, and var absorbed by the whole site there; empty for none."""


def all_buses(network: Network, *, power_factor: float = 1.0) -> Candidates:
    """Return every bus with a phase conductor, in elimination order (neighbours share lanes)."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(network.nodes):
        if network.phase_node[place]:
            found.setdefault(name.rsplit(".", 1)[0], []).append(place)
    return _candidates(list(found), list(found.values()), power_factor)


def one_bus(network: Network, bus: str, phases: Sequence[int], *, power_factor: float = 1.0) -> Candidates:
    """Return one place; raises InputError where the bus or a phase is missing."""
    index = network.index()
    nodes = []
    for phase in phases:
        name = f"{bus.lower()}.{phase}"
        if name not in index:
            raise InputError(f"the network has no node {name}", where="bus")
        nodes.append(index[name])
    return _candidates([bus.lower()], [nodes], power_factor)


def _candidates(names: list[str], groups: list[list[int]], power_factor: float) -> Candidates:
    nodes = np.full((len(groups), 3), -1, dtype=np.int64)
    for row, group in enumerate(groups):
        nodes[row, : len(group)] = group
    order = np.argsort(nodes[:, 0], kind="stable")
    return Candidates(
        tuple(names[place] for place in order),
        nodes[order],
        np.array([len(groups[place]) for place in order], dtype=np.float64),
        float(np.tan(np.arccos(power_factor))),
    )


@dataclass(frozen=True)
class Watch:
    """The criteria bound to a network: what is watched, before any base state is known."""

    settings: CriteriaSettings
    watched_nodes: NDArray[np.int64]
    share2: FloatArray
    head_rows: tuple[NDArray[np.int64], NDArray[np.int64]]


def watch(network: Network, settings: CriteriaSettings, *, head: str | None = None) -> Watch:
    """Bind criteria to a network; `head`: the element whose terminal-1 power may not reverse, with `reverse_power_w`."""
    nodes = np.flatnonzero(network.phase_node & (network.medium_voltage | (settings.voltage_scope == "all")))
    rows = network.rows
    share2 = np.zeros(len(rows.element))
    if settings.participation > 0.0:
        share2 = (row_volts(network) * row_phases(network) / settings.participation) ** 2
    power = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    if settings.reverse_power_w is not None:
        if head is None:
            raise InputError("no element is known as the feeder's head", where="reverse_power_w")
        at = np.flatnonzero(rows.element == rows.names.index(head))
        power = (at, row_nodes(network)[at])
    return Watch(settings, nodes.astype(np.int64), share2, power)


def row_nodes(network: Network) -> NDArray[np.int64]:
    """Return each monitored row's own terminal-1 node."""
    return network.rows.own


def row_volts(network: Network) -> FloatArray:
    """Return the base volts (line to neutral) of each monitored row."""
    return network.base_v[row_nodes(network)]


def row_phases(network: Network) -> FloatArray:
    """Return the number of phases of each monitored row's element, at most 3."""
    count = np.bincount(network.rows.element, minlength=len(network.rows.names))
    return np.minimum(count[network.rows.element], 3).astype(np.float64)


def row_currents(network: Network, volts: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the monitored currents at `volts`: (n,) gives (r,), (n, m) gives (r, m); amperes."""
    rows = network.rows
    wide = np.ascontiguousarray(volts if volts.ndim == 2 else volts[:, None])
    currents = np.zeros((len(rows.element), wide.shape[1]), dtype=complex)
    _row_currents(rows.start, rows.node, rows.coefficient, wide, currents)
    return currents if volts.ndim == 2 else currents[:, 0].copy()


@njit(cache=True, nogil=True)
def _row_currents(start, node, coefficient, volts, currents):  # type: ignore[no-untyped-def]
    for r in range(start.size - 1):
        for k in range(start[r], start[r + 1]):
            for m in range(volts.shape[1]):
                currents[r, m] += coefficient[k] * volts[node[k], m]


def limits_of(network: Network, watching: Watch, volts: NDArray[np.complex128]) -> tuple[Watched, FloatArray]:
    """Return what is watched with its limits at base `volts` ((n,), or (n, 16) for sixteen hours), and base rows."""
    settings, rows = watching.settings, network.rows
    currents = row_currents(network, volts)
    magnitude = np.abs(volts[watching.watched_nodes])
    nominal = network.base_v[watching.watched_nodes]
    amps = rows.amps[rows.element]
    if volts.ndim == 2:
        nominal, amps = nominal[:, None], amps[:, None]
    low, high = settings.v_low_pu * nominal, settings.v_high_pu * nominal
    most = settings.thermal_pu * amps
    slack = settings.slack_pu
    if settings.rule == "no_worse":
        low, high = np.minimum(low, magnitude - slack * nominal), np.maximum(high, magnitude + slack * nominal)
        most = np.maximum(most, _element_most(network, np.abs(currents)) + slack * amps)
    elif settings.rule == "masked":
        low, high = np.where(magnitude < low, 0.0, low), np.where(magnitude > high, BEYOND, high)
        most = np.where(_element_most(network, np.abs(currents)) > most, BEYOND, most)
    low, high, most = (np.broadcast_to(item, np.shape(base)) for item, base in
                       ((low, magnitude), (high, magnitude), (most, currents)))  # fmt: skip
    at, node = watching.head_rows
    groups = 1 if len(at) else 0
    limit = np.zeros((groups, *volts.shape[1:]))
    if groups:
        limit += float(settings.reverse_power_w or 0)
        if settings.rule == "no_worse":
            limit = np.maximum(limit, -(volts[node] * currents[at].conj()).real.sum(axis=0) + 1.0)
    watched = Watched(
        watching.watched_nodes, np.ascontiguousarray(low**2), np.ascontiguousarray(high**2), rows.start, rows.node,
        rows.coefficient.real.copy(), rows.coefficient.imag.copy(), np.ascontiguousarray(most**2), watching.share2,
        np.array([0, len(at)] if groups else [0], dtype=np.int64), at, node, limit,
    )  # fmt: skip
    return watched, interleave(currents)


def _element_most(network: Network, magnitude: FloatArray) -> FloatArray:
    """Return for each row the largest current of its element: "no worse" is per element, as loading is."""
    most = np.zeros((len(network.rows.names), *magnitude.shape[1:]))
    np.maximum.at(most, network.rows.element, magnitude)
    return most[network.rows.element]


def interleave(values: NDArray[np.complex128]) -> FloatArray:
    """Return real and imaginary parts in turn along the first axis: (n, ...) gives (2n, ...)."""
    return np.stack([values.real, values.imag], axis=1).reshape(2 * values.shape[0], *values.shape[1:])


@dataclass(frozen=True)
class Limits:
    """Watts (2, c) and constraint codes (2, c), import first; `rounds` exact points used; `odd`: holds again beyond."""

    watts: FloatArray
    code: NDArray[np.int64]
    rounds: FloatArray
    odd: NDArray[np.bool_]

    def unsolved(self) -> int:
        """Return for how many cases the search did not end."""
        return int((self.code == NOT_FOUND).sum())


def hour_limits(
    network: Network,
    reference: Reference,
    watching: Watch,
    candidates: Candidates,
    cap_w: tuple[float, float],
    *,
    probe: bool = False,
    tolerance_w: float = TOLERANCE_W,
    work: Any = None,
) -> Limits:
    """Return every candidate's largest import and export at the reference state, up to `cap_w` (import, export)."""
    volts = reference.volts.view(np.complex128)
    watched, base_rows = limits_of(network, watching, volts)
    count = len(candidates.names)
    padded = -(-count // WIDTH) * WIDTH
    watts, code, rounds, odd = (np.zeros((2, padded)) for _ in range(4))
    work = work or workspace(network.size)
    chosen = np.minimum(np.arange(padded), count - 1)
    share = 1.0 / candidates.phases[chosen]
    run_groups(
        reference, reference.p, reference.q, reference.volts, base_rows, watched, candidates.nodes[chosen], share,
        share * candidates.var_per_watt, candidates.volt_var, np.array(cap_w, dtype=np.float64), tolerance_w, probe, work,
        watts, code, rounds, odd,
    )  # fmt: skip
    return Limits(watts[:, :count], code[:, :count].astype(np.int64), rounds[:, :count], odd[:, :count] > 0)


def name_of(network: Network, watching: Watch, code: int) -> tuple[str, str]:
    """Return criterion and element of a constraint code; ("", "") when nothing stops the case."""
    if code == int(DIVERGED):
        return "convergence", "power flow"
    if code == int(NOT_FOUND):
        return "search", "did not end"
    if code < 0:
        return "", ""
    nodes, rows = len(watching.watched_nodes), len(network.rows.element)
    if code < 2 * nodes:
        return ("overvoltage" if code % 2 else "undervoltage"), network.nodes[watching.watched_nodes[code // 2]]
    if code < 2 * nodes + rows:
        return "thermal", network.rows.names[network.rows.element[code - 2 * nodes]]
    return "reverse_power", "feeder head"
