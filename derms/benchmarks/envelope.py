"""Envelopes of many sites at once: processor time by rule and number of sites, beside one OpenDSS solution each turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from derms.grid.criteria import CriteriaSettings
from derms.grid.fast import FastEngine, HourState
from derms.grid.hosting import watch
from derms.grid.opendss import Circuit
from derms.grid.sharing import Sharing
from derms.grid.sharing_rules import RULES, Demand
from derms.grid.sharing_sites import Sites
from derms.grid.warm import warm_up

CAP_W = 60_000.0


def random_sites(state: HourState, count: int, seed: int) -> tuple[Sites, Demand]:
    """Return single-phase sites on random load nodes: 60 kW each, a firm floor of nothing."""
    generator = np.random.default_rng(seed)
    places = np.unique(state.network.branches.a[state.network.branches.owner >= 0])
    nodes = np.full((count, 3), -1, dtype=np.int64)
    nodes[:, 0] = generator.choice(places, count, replace=count > len(places))
    sites = Sites(tuple(f"site-{number}" for number in range(count)), nodes)
    need = generator.uniform(5e3, CAP_W, count)
    return sites, Demand(np.zeros(count), np.full(count, CAP_W), need, generator.permutation(count))


def bench(
    circuit: Circuit, *, settings: CriteriaSettings, counts: Sequence[int], rules: Sequence[str] = RULES, hour: int = 0,
    load_scale: float = 0.5, seed: int = 1, report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return seconds, total watts, violation and turns for each rule, direction and number of sites."""
    warm_up()
    circuit.widen_load_bands()
    engine = FastEngine(circuit)
    state = engine.hour_state(hour, load_scale=load_scale)
    watching = watch(state.network, settings)
    opendss = []
    for _ in range(5):
        start = time.process_time()
        circuit.solve()
        opendss.append(time.process_time() - start)
    results, done = [], 0
    for rule in rules:
        sites, demand = random_sites(state, 5, seed)
        Sharing(state, watching, sites, demand, -1.0).run(rule)  # compiles what is not compiled
    for count in counts:
        sites, demand = random_sites(state, count, seed)
        for rule in rules:
            for side, sign in (("import", 1.0), ("export", -1.0)):
                start = time.process_time()
                answer = Sharing(state, watching, sites, demand, sign).run(rule)
                seconds = time.process_time() - start
                results.append({
                    "sites": count, "rule": rule, "side": side, "seconds": round(seconds, 4),
                    "total_kw": round(float(answer.watts.sum()) / 1e3, 1), "violation": round(answer.violation, 7),
                    "turns": answer.turns, "scaled": answer.scaled,
                    "gap_percent": round(100.0 * (1.0 - float(answer.watts.sum()) / max(answer.bound_w, 1.0)), 2)
                    if rule == "maximum_total" else None,
                    "bound_kind": answer.bound_kind if rule == "maximum_total" else None,
                    "ratio_opendss_solutions": round(seconds / min(opendss), 1),
                })  # fmt: skip
                done += 1
                if report is not None:
                    report(done, len(counts) * len(rules) * 2)
    return {"feeder": circuit.name, "nodes": state.network.size, "opendss_solve_ms": round(min(opendss) * 1e3, 3),
            "peer": "seconds over one OpenDSS solution with read-back", "results": results}  # fmt: skip
