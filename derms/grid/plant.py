"""The feeder as a plant: one step of its life with the sites' real powers, regulators at rest.

This is not the estimate: the twin gives it the true loads, and the control room sees only what a meter would show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.opendss import Circuit, Injection


def participants(circuit: Circuit, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the elements through which the given sites' power flows (names, as in `Circuit.elements`)."""
    base = circuit.settle(int(arguments.get("hour", 0)))
    found: set[str] = set()
    for bus, phases, magnitude_w in arguments["sites"]:
        criteria = Criteria(circuit, CriteriaSettings(**arguments.get("criteria", {})))
        trials = [
            (circuit.solve([Injection(bus, tuple(phases), sign * magnitude_w)]), float(magnitude_w)) for sign in (1.0, -1.0)
        ]
        criteria.participate(base, trials)
        found |= {criteria.elements[place] for place in criteria.participating}
    return {"elements": sorted(found)}


def plant_step(circuit: Circuit, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the feeder does at an hour and load scale with the sites' powers (W, var; import positive).

    `elements`: the ones to watch for overload. Result: head W, var, volts; worst watched loading and its element;
    lowest and highest medium voltage; the voltage at each site, per unit.
    """
    injections = [Injection(bus, tuple(phases), p_w, q_var) for bus, phases, p_w, q_var in arguments["sites"]]
    state = circuit.settle(int(arguments["hour"]), load_scale=float(arguments["load_scale"]), injections=injections)
    criteria = Criteria(circuit, CriteriaSettings()).only(arguments["elements"])
    watched = criteria.participating
    place = int(state.loading_pu[watched].argmax())
    volts = state.v_pu[criteria.watched_nodes]
    bus_volts = {}
    for injection in injections:
        nodes = [circuit.nodes.index(f"{injection.bus.lower()}.{phase}") for phase in injection.phases]
        bus_volts[injection.bus] = float(np.mean(state.v_pu[nodes]))
    return {
        "head_w": state.head_w,
        "head_var": state.head_var,
        "loading_pu": float(state.loading_pu[watched][place]),
        "element": criteria.elements[watched[place]],
        "v_min_pu": float(volts.min()),
        "v_max_pu": float(volts.max()),
        "site_v_pu": bus_volts,
    }


def head_profile(circuit: Circuit, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head's watts without any site for the given hours, and their lowest and highest medium voltage."""
    states = [circuit.settle(int(hour)) for hour in arguments["hours"]]
    nodes = circuit.medium_voltage_nodes
    return {
        "head_w": [state.head_w for state in states],
        "v_min_pu": min(float(state.v_pu[nodes].min()) for state in states),
        "v_max_pu": max(float(state.v_pu[nodes].max()) for state in states),
    }
