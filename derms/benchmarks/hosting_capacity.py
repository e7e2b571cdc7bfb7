"""Hosting capacity: our engine and OpenDSS, alternated hour by hour in one process, and how far their answers lie apart."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from derms.benchmarks.opendss_peers import Broken, Peer
from derms.errors import NotConverged
from derms.grid.criteria import CriteriaSettings
from derms.grid.factors import solve
from derms.grid.fast import FastEngine, HourState
from derms.grid.hosting import Limits, Watch, all_buses, hour_limits, name_of, watch
from derms.grid.lanes import WIDTH
from derms.grid.limits_kernel import workspace
from derms.grid.opendss import Circuit
from derms.grid.powerflow import newton
from derms.grid.warm import warm_up

CAP_W = 10e6
MOST_DRAWS = 20
FINE_W = 20.0
"""To which the reference is bisected for the comparison of answers (not timed)."""


def bench(
    circuit: Circuit,
    *,
    settings: CriteriaSettings,
    hours: int = 10,
    cases_an_hour: int = 12,
    ordinary_cases: int = 4,
    seed: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Return the measurement as plain data; `hours` random hours (load levels where the model has one hour only)."""
    warm_up()
    circuit.widen_load_bands()
    generator = np.random.default_rng(seed)
    engine, peer = FastEngine(circuit), Peer(circuit, settings)
    times: dict[str, list[float]] = {"ours": [], "careful": [], "ordinary": []}
    errors: list[tuple[float, float]] = []
    same = unsolved = restless = 0
    for count in range(hours):
        hour, scale, state, hunting = _at_rest(circuit, engine, generator)
        restless += hunting
        watching = watch(state.network, settings)
        seconds, limits = _ours(engine, state, watching, hour, scale)
        times["ours"].append(seconds / limits.watts.shape[1])
        unsolved += limits.unsolved()
        chosen = _choose(state, generator, cases_an_hour)
        for number, (place, bus, phases) in enumerate(chosen):
            peer.place(bus, phases)
            times["careful"].append(_timed(lambda: [peer.limit(sign, CAP_W) for sign in (1.0, -1.0)]))
            if number < -(-ordinary_cases // hours):
                times["ordinary"].append(_timed(lambda: [peer.limit(s, CAP_W, peer.holds_by_loops) for s in (1.0, -1.0)]))
                peer.place(bus, phases)
            for side, sign in enumerate((1.0, -1.0)):
                good, bad = peer.limit(sign, CAP_W, resolution_w=FINE_W)
                ours = float(limits.watts[side, place])
                errors.append((abs(ours - 0.5 * (good + bad)), 0.5 * (good + bad)))
                same += _same(peer, state, watching, int(limits.code[side, place]), sign, bad, good == bad)
        peer.remove()
        if report is not None:
            report(count + 1, hours)
    found = _answer(circuit, state, times, errors, same, unsolved, hours, seed)
    return {**found, "hours_without_rest": restless}


def _hour(circuit: Circuit, generator: np.random.Generator) -> tuple[int, float]:
    if circuit.hours > 1:
        return int(generator.integers(circuit.hours)), 1.0
    return 0, float(generator.uniform(0.3, 1.0))


def _at_rest(circuit: Circuit, engine: FastEngine, generator: np.random.Generator) -> tuple[int, float, HourState, int]:
    """Return hour, load scale and state, and how many draws before had controls that hunt for ever in OpenDSS."""
    for hunting in range(MOST_DRAWS):
        hour, scale = _hour(circuit, generator)
        try:
            return hour, scale, engine.hour_state(hour, load_scale=scale), hunting
        except NotConverged as error:
            if hunting + 1 == MOST_DRAWS or "no rest" not in error.what:
                raise
    raise AssertionError("unreachable")


def _ours(engine: FastEngine, state: HourState, watching: Watch, hour: int, scale: float) -> tuple[float, Limits]:
    """Return the processor seconds of one hour, all buses, both ways; base state and factorisation included."""
    candidates = all_buses(state.network)
    p, q = engine.powers(state.network, hour, scale)
    volts, work = state.volts, workspace(state.network.size)
    start = time.process_time()
    reference = newton(state.network, p, q, volts)
    limits = hour_limits(state.network, reference, watching, candidates, (CAP_W, CAP_W), work=work)
    return time.process_time() - start, limits


def _choose(state: HourState, generator: np.random.Generator, count: int) -> list[tuple[int, str, tuple[int, ...]]]:
    """Return random buses of one or three phases: place among the candidates, name, phases."""
    candidates, found = all_buses(state.network), []
    for place in generator.permutation(len(candidates.names)):
        nodes = candidates.nodes[place]
        phases = tuple(sorted(int(state.network.nodes[node].rsplit(".", 1)[1]) for node in nodes if node >= 0))
        if len(phases) != 2:
            found.append((int(place), candidates.names[place], phases))
        if len(found) == count:
            break
    return found


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _same(peer: Peer, state: HourState, watching: Watch, code: int, sign: float, bad: float, capped: bool) -> bool:
    """Say whether what we name is among what OpenDSS breaks within the accepted error (0.1 % or 1 kW) above its limit."""
    criterion, element = name_of(state.network, watching, code)
    if capped or not criterion:
        return capped and not criterion
    broken = peer.trial(sign * (bad + max(1e-3 * bad, 1000.0)))
    if broken is None:
        return criterion == "convergence"
    return f"{criterion} {element}" in _names(peer, broken)


def _names(peer: Peer, broken: Broken) -> set[str]:
    nodes = peer.circuit.phase_nodes if peer.settings.voltage_scope == "all" else peer.circuit.medium_voltage_nodes
    return (
        {f"undervoltage {peer.circuit.nodes[nodes[at]]}" for at in broken.low}
        | {f"overvoltage {peer.circuit.nodes[nodes[at]]}" for at in broken.high}
        | {f"thermal {peer.circuit.element_names[at]}" for at in broken.thermal}
    )


def _answer(
    circuit: Circuit, state: HourState, times: dict[str, list[float]], errors: list[tuple[float, float]], same: int,
    unsolved: int, hours: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    ours, careful, ordinary = (float(np.mean(times[name] or [np.nan])) for name in ("ours", "careful", "ordinary"))
    apart = np.array([error for error, _ in errors])
    relative = np.array([error / max(limit, 1.0) for error, limit in errors])
    accepted = np.minimum(apart / 1000.0, relative / 0.001)
    factors = state.reference.factors
    work = np.zeros((2 * state.network.size, WIDTH))
    solving = min(_timed(lambda: solve(factors, work)) for _ in range(50))
    return {
        "feeder": circuit.name,
        "nodes": state.network.size,
        "buses": len(all_buses(state.network).names),
        "hours": hours,
        "cases": len(errors),
        "seed": seed,
        "us_per_bus_hour": round(ours * 1e6, 1),
        "careful_ms_per_bus_hour": round(careful * 1e3, 2),
        "ordinary_ms_per_bus_hour": round(ordinary * 1e3, 2) if times["ordinary"] else None,
        "ratio_careful": round(careful / ours, 1),
        "ratio_ordinary": round(ordinary / ours, 1) if times["ordinary"] else None,
        "error_kw": {
            "median": round(float(np.median(apart)) / 1e3, 4),
            "p99": round(float(np.quantile(apart, 0.99)) / 1e3, 4),
            "max": round(float(apart.max()) / 1e3, 4),
        },
        "error_percent_p99": round(float(np.quantile(relative, 0.99)) * 100, 5),
        "within_0_1_percent_or_1_kw_percent": round(float((accepted <= 1.0).mean()) * 100, 2),
        "same_binding_percent": round(100.0 * same / len(errors), 2),
        "unsolved": unsolved,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0),
        "solve_gmac_per_s": round(4e-9 * factors.blocks * WIDTH / solving, 2) if solving > 0 else None,
        "peers": "OpenDSS (DSS C-API): doubling, bisection to 1 kW; careful: one load edited, arrays read; "
        "ordinary: text edits, loops over elements",
    }
