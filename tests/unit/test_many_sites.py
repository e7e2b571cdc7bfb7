"""Many sites at once: the maximum total is never below pro rata, and what corners forbid is shared out, not cut off."""

from __future__ import annotations

import numpy as np
import pytest

from derms.benchmarks.envelope import random_sites
from derms.feeders import shipped
from derms.grid.criteria import CriteriaSettings
from derms.grid.dss_text import read_model
from derms.grid.fast import FastEngine, HourState
from derms.grid.hosting import watch
from derms.grid.opendss import Circuit
from derms.grid.powerflow import chord, newton
from derms.grid.sharing import INSIDE, Sharing


@pytest.fixture(scope="module")
def state() -> HourState:
    circuit = Circuit.compile(read_model(shipped()["ieee123"]).text)
    circuit.widen_load_bands()
    return FastEngine(circuit).hour_state(0, load_scale=0.5)


SETTINGS = CriteriaSettings(participation=0.0, voltage_scope="all", slack_pu=0.001)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_maximum_total_is_at_least_pro_rata_and_at_most_its_own_bound(state: HourState, seed: int, sign: float) -> None:
    watching = watch(state.network, SETTINGS)
    sites, demand = random_sites(state, 300, seed)
    fair = Sharing(state, watching, sites, demand, sign).run("pro_rata_capacity")
    most = Sharing(state, watching, sites, demand, sign).run("maximum_total")
    assert most.watts.sum() >= fair.watts.sum()
    assert most.watts.sum() <= most.bound_w + len(most.watts)
    assert max(fair.violation, most.violation) <= INSIDE


def test_the_chord_ends_where_newtons_method_ends(state: HourState) -> None:
    reference, network = state.reference, state.network
    p, q = (item / reference.branches.inverse_v2 * 1.3 for item in (reference.p, reference.q))
    exact = newton(network, p, q, state.volts).volts.view(np.complex128)
    found = chord(network, reference.factors, p, q, state.volts)
    assert found is not None
    assert np.abs((found - exact) / network.base_v).max() < 1e-7
    assert chord(network, reference.factors, 60.0 * p, 60.0 * q, state.volts) is None  # nothing is there to be found
