"""Many sites at once: the maximum total is never below pro rata, and what corners forbid is shared out, not cut off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from derms.benchmarks.envelope import random_sites
from derms.feeders import shipped
from derms.grid import sharing_most
from derms.grid.criteria import CriteriaSettings
from derms.grid.dss_text import read_model
from derms.grid.fast import FastEngine, HourState
from derms.grid.hosting import watch
from derms.grid.opendss import Circuit
from derms.grid.powerflow import chord, newton
from derms.grid.sharing import Sharing
from derms.grid.sharing_corners import HOLDS, INSIDE
from derms.grid.sharing_rules import RULES, Demand
from derms.grid.sharing_sites import Sites


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
    assert most.watts.sum() >= 0.98 * most.bound_w, "the bound and the best point are close"
    assert max(fair.violation, most.violation) <= INSIDE


def test_the_chord_ends_where_newtons_method_ends(state: HourState) -> None:
    reference, network = state.reference, state.network
    p, q = (item / reference.branches.inverse_v2 * 1.3 for item in (reference.p, reference.q))
    exact = newton(network, p, q, state.volts).volts.view(np.complex128)
    found = chord(network, reference.factors, p, q, state.volts)
    assert found is not None
    assert np.abs((found - exact) / network.base_v).max() < 1e-7
    assert chord(network, reference.factors, 60.0 * p, 60.0 * q, state.volts) is None  # nothing is there to be found


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("count", [3, 40, 200])
def test_maximum_total_is_never_below_any_other_rule(state: HourState, count: int, sign: float) -> None:
    watching = watch(state.network, SETTINGS)
    sites, demand = random_sites(state, count, 7)
    totals = {rule: Sharing(state, watching, sites, demand, sign).run(rule).watts.sum() for rule in RULES}
    assert totals["maximum_total"] >= max(totals.values())


def mixed_sites(state: HourState, count: int, seed: int) -> tuple[Sites, Demand]:
    """Return sites of one and three phases with firm floors, some of them more than there is."""
    generator = np.random.default_rng(seed)
    buses: dict[str, list[int]] = {}
    for place, name in enumerate(state.network.nodes):
        if state.network.phase_node[place] and state.network.medium_voltage[place]:
            buses.setdefault(name.rsplit(".", 1)[0], []).append(place)
    nodes = np.full((count, 3), -1, dtype=np.int64)
    places = list(buses.values())
    for row, at in enumerate(generator.choice(len(places), count)):
        few = places[at][: 3 if generator.random() < 0.4 else 1]
        nodes[row, : len(few)] = few
    floor = generator.uniform(0, 30e3, count) * generator.integers(0, 2, count)
    cap = floor + generator.uniform(0, 400e3, count)
    return Sites(tuple(f"s{n}" for n in range(count)), nodes), Demand(
        floor, cap, generator.uniform(1e3, 4e5, count), generator.permutation(count)
    )


@given(
    seed=some.integers(0, 10_000), count=some.integers(1, 25), sign=some.sampled_from([1.0, -1.0]),
    rule=some.sampled_from(RULES),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_is_given_holds_wherever_the_floor_holds_and_any_mixture_of_sites_holds_too(
    state: HourState, seed: int, count: int, sign: float, rule: str
) -> None:
    sites, demand = mixed_sites(state, count, seed)
    sharing = Sharing(state, watch(state.network, SETTINGS), sites, demand, sign)
    feeder = sharing.feeder
    floor_holds = feeder.excess(feeder.voltages(demand.floor)).max() <= INSIDE
    found = sharing.run(rule)
    assert (found.watts >= np.floor(demand.floor)).all()
    assert (found.watts <= demand.cap).all()
    if not floor_holds:
        return
    assert feeder.excess(feeder.voltages(found.watts)).max() <= 2 * INSIDE
    generator = np.random.default_rng(seed)
    for _ in range(6):
        some_of_them = generator.integers(0, 2, count).astype(bool)
        there = feeder.excess(feeder.voltages(np.where(some_of_them, found.watts, 0.0)))
        alone = feeder.excess(feeder.voltages(np.where(some_of_them, demand.floor, 0.0)))
        assert (there - np.maximum(alone, 0.0)).max() <= 1e-4


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_maximum_total_of_too_many_sites_begins_at_a_fair_point_and_ends_near_the_whole_search(
    state: HourState, monkeypatch: pytest.MonkeyPatch, sign: float
) -> None:
    watching = watch(state.network, SETTINGS)
    sites, demand = random_sites(state, 40, 3)
    whole = Sharing(state, watching, sites, demand, sign).run("maximum_total")
    monkeypatch.setattr(sharing_most, "MOST_CELLS", 0)
    most = Sharing(state, watching, sites, demand, sign).run("maximum_total")
    lean = Sharing(state, watching, sites, demand, sign).run("alpha_fair", alpha=sharing_most.LEAN)
    assert most.watts.sum() >= max(lean.watts.sum(), 0.95 * whole.watts.sum())
    assert most.watts.sum() <= most.bound_w + len(most.watts)
    assert most.bound_w >= 0.99 * whole.watts.sum()
    assert most.violation <= HOLDS
    assert most.bound_kind == sharing_most.PRICED_KIND


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_no_limit_is_exceeded_by_anything_and_the_same_question_has_the_same_answer(
    state: HourState, rule: str, sign: float
) -> None:
    watching = watch(state.network, SETTINGS)
    sites, demand = random_sites(state, 120, 5)
    found = [Sharing(state, watching, sites, demand, sign).run(rule) for _ in range(2)]
    feeder = Sharing(state, watching, sites, demand, sign).feeder
    assert feeder.excess(feeder.voltages(found[0].watts)).max() <= HOLDS
    assert found[0].violation <= HOLDS
    assert not found[0].scaled
    assert (found[0].watts == found[1].watts).all()
    assert found[0].binding == found[1].binding
