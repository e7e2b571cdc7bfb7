"""The fast engine on arrays: its law, factors, limits and sharing, each against something that is not itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some
from scipy import sparse

from derms.benchmarks.opendss_peers import Peer
from derms.errors import ModelRefused
from derms.feeders import shipped
from derms.grid.capacity import study_hours
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.dss_text import read_model
from derms.grid.extraction import Extraction
from derms.grid.factors import solve, solve_transposed
from derms.grid.fast import FastEngine, HourState
from derms.grid.hosting import all_buses, hour_limits, name_of, watch
from derms.grid.judge import point_at
from derms.grid.ladder import ladder
from derms.grid.lanes import WIDTH
from derms.grid.load_law import MODELS, Branches, kernel_arrays, law, power_near_one, subtract_load_currents
from derms.grid.opendss import Circuit, Injection
from derms.grid.sharing import Sharing
from derms.grid.sharing_rules import RULES, Demand, divide
from derms.grid.sharing_sites import Sites
from derms.grid.site_year import SiteStudy, fast_engine
from derms.grid.study_request import StudyRequest
from derms.grid.warm import TINY

EVERY_ELEMENT = CriteriaSettings(rule="masked", participation=0.0, voltage_scope="all")


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return Circuit.compile(read_model(shipped()["ieee123"]).text)


@pytest.fixture(scope="module")
def engine(circuit: Circuit) -> FastEngine:
    return FastEngine(circuit)


@pytest.fixture(scope="module")
def state(engine: FastEngine) -> HourState:
    return engine.hour_state(1266)


def one_branch(model: int, v_min: float = 0.85, v_max: float = 1.1) -> Branches:
    one = np.ones(1)
    return Branches(
        np.array([0]), np.array([-1]), one * 5000.0, one * 2000.0, one * 240.0, np.array([model]), one * v_min,
        one * v_max, one * 0.8, one * 2.6, np.array([[0.2, 0.3, 0.5]]), np.array([[0.1, 0.4, 0.5]]), one * 0.0,
        np.array([0]),
    )  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@given(volts=some.lists(some.floats(0.3, 1.4), min_size=WIDTH, max_size=WIDTH), angle=some.floats(-3.0, 3.0))
@settings(max_examples=40, deadline=None)
def test_the_law_in_lanes_is_the_scalar_law(model: int, volts: list[float], angle: float) -> None:
    # At a band's very edge the law jumps, and the last bit of |V| decides: no two ways of squaring agree there.
    assume(all(abs(v - edge) > 1e-9 for v in volts for edge in (0.5, 0.85, 1.1)))
    branches = one_branch(model)
    arrays = kernel_arrays(branches)
    v = np.array(volts) * 240.0 * np.exp(1j * angle)
    p, q = branches.p_w * arrays.inverse_v2, branches.q_var * arrays.inverse_v2
    rhs = np.zeros((2, WIDTH))
    subtract_load_currents(
        arrays, p, q, np.zeros((1, 4)), np.zeros(2), np.stack([v.real, v.imag]), np.zeros((4, WIDTH)), rhs
    )
    for lane in range(WIDTH):
        rest = (p[0], q[0], 0.85, 1.1, 0.8, 2.6, arrays.zip_p[0], arrays.zip_q[0], 0.0)
        g, b = law(model, abs(v[lane]) ** 2 * arrays.inverse_v2[0], *rest)
        expected = (g + 1j * b) * v[lane]
        assert -rhs[0, lane] - 1j * rhs[1, lane] == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_the_series_for_a_power_is_exact_where_it_is_used() -> None:
    for exponent in (-1.5, -0.6, 0.3, 1.5):
        for u in np.linspace(0.72, 1.36, 41):
            assert power_near_one(u, exponent) == pytest.approx(u**exponent, rel=1e-9)


def test_factors_solve_as_a_general_solver_does_and_transposed_too(state: HourState) -> None:
    network, factors = state.network, state.reference.factors
    admittance = network.admittance
    matrix = sparse.csr_matrix((admittance.value, admittance.column, admittance.start), shape=(network.size,) * 2)
    dense = np.zeros((2 * network.size, 2 * network.size))
    full = matrix.toarray()
    dense[0::2, 0::2], dense[0::2, 1::2], dense[1::2, 0::2], dense[1::2, 1::2] = full.real, -full.imag, full.imag, full.real
    branches = state.reference.branches
    for k in range(len(branches.a)):
        block = state.reference.slope[k].reshape(2, 2)
        ends = [(branches.a[k], branches.a[k], 1.0)]
        if branches.b[k] >= 0:
            ends += [(branches.b[k], branches.b[k], 1.0), (branches.a[k], branches.b[k], -1.0),
                     (branches.b[k], branches.a[k], -1.0)]  # fmt: skip
        for i, j, sign in ends:
            dense[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += sign * block
    right = np.random.default_rng(5).standard_normal((2 * network.size, WIDTH))
    for kernel, system in ((solve, dense), (solve_transposed, dense.T)):
        found = right.copy()
        kernel(factors, found)
        assert np.abs(system @ found - right).max() < 1e-6 * np.abs(right).max()


def test_base_states_agree_with_opendss_within_1e_5_pu_in_voltage_and_0_01_percent_in_current(
    circuit: Circuit, engine: FastEngine
) -> None:
    for hour in (0, 497, 498, 5000):
        solved = engine.hour_state(hour)  # raises beyond 1e-5 pu
        theirs = circuit.settle(hour)
        watching = watch(solved.network, EVERY_ELEMENT)
        assert solved.network.head_va(solved.volts).real == pytest.approx(theirs.head_w, rel=1e-5)
        sharing = Sharing(solved, watching, Sites((), np.zeros((0, 3), dtype=np.int64)), _demand(0), 1.0)
        rows = sharing.feeder.excess(solved.volts)[-len(solved.network.rows.element) :]
        most = np.full(len(theirs.loading_pu), -1.0)
        limits_a = sharing.feeder.unit[2 * len(watching.watched_nodes) :][: len(rows)]
        relaxed = limits_a / solved.network.rows.amps[solved.network.rows.element]
        np.maximum.at(most, solved.network.rows.element, (rows + 1.0) * np.where(relaxed > 2.0, np.nan, 1.0))
        normal = np.isfinite(most) & (theirs.loading_pu > 0.01) & (theirs.loading_pu < 1.0)
        assert np.abs(most[normal] / theirs.loading_pu[normal] - 1.0).max() < 1e-4


def test_limits_of_random_buses_are_those_of_opendss_by_bisection_with_the_same_binding_element(
    circuit: Circuit, engine: FastEngine
) -> None:
    """Within 0.1 % or 1 kW; the reference is bisected to 20 W."""
    generator, peer = np.random.default_rng(11), Peer(circuit, EVERY_ELEMENT)
    for hour in (300, 4000):
        solved = engine.hour_state(hour)
        watching, candidates = watch(solved.network, EVERY_ELEMENT), all_buses(solved.network)
        limits = hour_limits(solved.network, solved.reference, watching, candidates, (5e6, 5e6), probe=True)
        assert limits.unsolved() == 0
        for place in generator.choice(len(candidates.names), 8, replace=False):
            nodes = [solved.network.nodes[node] for node in candidates.nodes[place] if node >= 0]
            if len(nodes) == 2:
                continue
            peer.place(candidates.names[place], tuple(sorted(int(node[-1]) for node in nodes)))
            for side, sign in ((0, 1.0), (1, -1.0)):
                good, bad = peer.limit(sign, 5e6, resolution_w=20.0)
                ours = limits.watts[side, place]
                assert abs(ours - 0.5 * (good + bad)) <= max(1000.0, 1e-3 * good), (candidates.names[place], side)
                criterion, element = name_of(solved.network, watching, int(limits.code[side, place]))
                broken = peer.trial(sign * (bad + 1000.0))
                if good < 5e6 and broken is not None and criterion == "thermal":
                    assert circuit.element_names.index(element) in broken.thermal
        peer.remove()


def test_a_study_on_arrays_is_the_study_in_opendss(circuit: Circuit) -> None:
    hours = (*range(480, 520), 5, 3000, 7000)
    common = {
        "bus": "250",
        "phases": (1, 2, 3),
        "import_w": 1_500_000,
        "export_w": 1_500_000,
        "hours": tuple(sorted(hours)),
    }
    fast = study_hours(circuit, StudyRequest(**common), tuple(sorted(hours)))  # type: ignore[arg-type]
    slow = study_hours(circuit, StudyRequest(**common, engine="opendss"), tuple(sorted(hours)))  # type: ignore[arg-type]
    assert fast.violations == slow.violations
    for ours, theirs in zip(fast.hours, slow.hours, strict=True):
        assert ours.hour == theirs.hour
        assert ours.import_w == pytest.approx(theirs.import_w, abs=1000)
        assert ours.export_w == pytest.approx(theirs.export_w, abs=1000)
        assert (ours.import_criterion, ours.import_element) == (theirs.import_criterion, theirs.import_element)


def test_reverse_power_at_the_head_is_a_constraint_of_its_own(circuit: Circuit) -> None:
    criteria = CriteriaSettings(reverse_power_w=0)
    fast, slow = (
        study_hours(circuit, StudyRequest("250", (1, 2, 3), 0, 3_000_000, (3000,), criteria, engine=name), (3000,)).hours[0]
        for name in ("arrays", "opendss")
    )
    assert fast.export_w == pytest.approx(slow.export_w, abs=2500)


def test_volt_var_limits_are_converged_points_of_opendss_in_both_quadrants(circuit: Circuit, engine: FastEngine) -> None:
    """IEEE 1547-2018 category B: at the limit the var that the curve asks for at OpenDSS's own voltage is the var drawn."""
    request = StudyRequest("83", (1, 2, 3), 900_000, 900_000, (497,), inverter="volt_var_b")
    found = study_hours(circuit, request, (497,)).hours[0]
    curve = np.array(request.volt_var())
    nodes = [circuit.nodes.index(f"83.{phase}") for phase in (1, 2, 3)]
    criteria = Criteria(circuit, request.criteria)
    for sign, limit in ((1.0, found.import_w), (-1.0, found.export_w)):
        base, q = circuit.settle(497), np.zeros(3)
        for _ in range(60):
            shares = [Injection("83", (phase,), sign * limit / 3, float(q[phase - 1])) for phase in (1, 2, 3)]
            state = circuit.solve(shares)
            q += 0.5 * (np.interp(state.v_pu[nodes], curve[:, 0], curve[:, 1]) / 3 - q)
        assert limit > 0
        assert criteria.worst(state, base)[2] > -5e-5


def test_a_load_model_without_a_law_is_refused_by_name() -> None:
    text = "\n".join(TINY).replace("model=1", "model=6")
    circuit = Circuit.compile(text)
    circuit.settle(0)
    with pytest.raises(ModelRefused, match="load model 6") as refused:
        Extraction(circuit).network()
    assert refused.value.where == "load.near"


# -- sharing -------------------------------------------------------------------------------------------------------


def _demand(count: int, cap: float = 40_000.0) -> Demand:
    return Demand(np.zeros(count), np.full(count, cap), np.linspace(5e3, 3e4, count), np.arange(count)[::-1].copy())


@pytest.mark.parametrize("rule", RULES)
@given(seed=some.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_every_rule_keeps_rows_floors_and_caps_and_is_deterministic(rule: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    count, rows = int(generator.integers(1, 12)), int(generator.integers(1, 8))
    floor = generator.uniform(0, 2e3, count) * generator.integers(0, 2, count)
    demand = Demand(floor, floor + generator.uniform(0, 5e4, count), generator.uniform(1e3, 5e4, count),
                    generator.permutation(count))  # fmt: skip
    matrix = generator.uniform(0, 1e-3, (rows, count)) * generator.integers(0, 2, (rows, count))
    room = matrix @ floor + generator.uniform(0, 30, rows)
    first, second = (divide(rule, demand, matrix, room) for _ in range(2))
    assert (first.watts == second.watts).all()
    assert (first.watts >= demand.floor - 1e-6).all()
    assert (first.watts <= demand.cap + 1e-6).all()
    assert (matrix @ first.watts <= room * (1 + 2e-3) + 1e-3).all()


def test_last_in_first_off_gives_the_first_all_and_the_last_what_is_left() -> None:
    demand = Demand(np.zeros(3), np.full(3, 10e3), np.ones(3), np.array([2, 0, 1]))
    assert divide("last_in_first_off", demand, np.full((1, 3), 1.0), np.array([15e3])).watts.tolist() == [0.0, 10e3, 5e3]


def test_equal_fills_to_one_level_and_need_by_need() -> None:
    demand = Demand(np.zeros(3), np.array([2e3, 50e3, 50e3]), np.array([1e3, 1e3, 3e3]), np.arange(3))
    row, room = np.full((1, 3), 1.0), np.array([12e3])
    assert divide("equal", demand, row, room).watts == pytest.approx([2e3, 5e3, 5e3])
    assert divide("pro_rata_need", demand, row, room).watts == pytest.approx([2e3, 2.5e3, 7.5e3])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_limits_shared_on_the_feeder_hold_in_opendss_all_at_once(
    circuit: Circuit, engine: FastEngine, rule: str, sign: float
) -> None:
    settings_ = CriteriaSettings(participation=0.0, voltage_scope="all", slack_pu=0.001)
    solved = engine.hour_state(498)
    generator = np.random.default_rng(2)
    chosen = generator.choice(np.unique(solved.network.branches.a), 24, replace=False)
    nodes = np.full((24, 3), -1, dtype=np.int64)
    nodes[:, 0] = chosen
    answer = Sharing(solved, watch(solved.network, settings_), Sites(tuple("x" * 24), nodes), _demand(24), sign).run(rule)
    assert answer.violation <= 2e-5
    assert answer.watts.sum() > 0
    base = circuit.settle(498)
    names = [solved.network.nodes[node].rsplit(".", 1) for node in chosen]
    together = [
        Injection(bus, (int(phase),), sign * float(watts)) for (bus, phase), watts in zip(names, answer.watts, strict=True)
    ]
    assert Criteria(circuit, settings_).worst(circuit.solve(together), base)[2] > -5e-5


def test_a_second_site_never_raises_the_first_under_pro_rata(engine: FastEngine) -> None:
    settings_ = CriteriaSettings(participation=0.0, slack_pu=0.001)
    solved = engine.hour_state(498)
    places = np.unique(solved.network.branches.a)[:2]
    nodes = np.full((2, 3), -1, dtype=np.int64)
    nodes[:, 0] = places
    watching = watch(solved.network, settings_)
    for sign in (1.0, -1.0):
        alone = Sharing(solved, watching, Sites(("a",), nodes[:1]), _demand(1, 3e6), sign).run("pro_rata_capacity")
        both = Sharing(solved, watching, Sites(("a", "b"), nodes), _demand(2, 3e6), sign).run("pro_rata_capacity")
        # 2e-5 pu is what counts as holding; on a stiff node that is kilowatts.
        leeway = 3e-5 * max(alone.price[0], both.price[0])
        assert both.watts[0] <= alone.watts[0] * (1 + 1e-3) + leeway


def test_the_upgrade_ladder_never_falls_and_mends_what_bound(circuit: Circuit) -> None:
    request = StudyRequest("250", (1, 2, 3), 1_500_000, 0, (480, 497, 498))
    found = ladder(circuit, {"request": request.to_dict(), "side": "import"}, lambda done, total: None)
    firm = [rung["firm_kw"] for rung in found["rungs"]]
    assert firm == sorted(firm)
    assert firm[-1] > firm[0]
    for before, rung in zip(found["rungs"], found["rungs"][1:], strict=False):
        assert rung["element"] in (before["binding"]["element"], "the site's inverters")


def test_a_search_that_var_leads_astray_ends_in_a_bracket(circuit: Circuit) -> None:
    """Category A feeds var at 0.993 pu from no power on: 83.1 is at its limit almost at once, and not at nothing."""
    request = StudyRequest("250", (1, 2, 3), 0, 1_500_000, (498,), inverter="volt_var_a")
    (hour,) = study_hours(circuit, request, (498,)).hours
    assert (hour.export_criterion, hour.export_element) == ("overvoltage", "83.1")
    assert 0 < hour.export_w < 10_000
    (group,) = fast_engine(circuit).year((498,))
    study = SiteStudy(circuit, request)
    study.add(group)
    for watts, holds in ((hour.export_w, True), (hour.export_w + 20, False)):
        point = point_at(group, next(iter(study._scenes.values())).site, np.array([-float(watts)]))
        node = group.network.index()["83.1"]
        assert (abs(point.volts[node, 0]) / group.network.base_v[node] <= 1.05) == holds
