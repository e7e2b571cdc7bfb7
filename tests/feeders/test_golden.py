"""Answers published elsewhere, or restated here from a reference run with the tolerance beside them."""

from __future__ import annotations

import numpy as np
import pytest

from derms.benchmarks.hosting_capacity import bench
from derms.benchmarks.models import model_text
from derms.feeders import FOLDER, shipped
from derms.feeders.load_shapes import csv
from derms.grid.capacity import study
from derms.grid.criteria import CriteriaSettings
from derms.grid.dss_text import read_model
from derms.grid.opendss import Circuit, Injection
from derms.grid.study_request import StudyRequest
from derms.validation.answers import BASE_CASES, IEEE13, TAPS13
from tests.conftest import shared_path


def snapshot(name: str) -> Circuit:
    """Return a shipped feeder at its spot loads, without the yearly shapes."""
    text = read_model(shipped()[name]).text
    lines = [line.replace(' yearly="residential"', "").replace(' yearly="commercial"', "") for line in text.splitlines()]
    return Circuit.compile("\n".join(line.replace(' yearly="light_industrial"', "") for line in lines))


def test_ieee13_with_the_published_taps_gives_the_published_voltages_within_0_0013_pu() -> None:
    circuit = snapshot("ieee13")
    taps, steps = circuit.controls()
    circuit.restore_controls(
        (tuple((name, wdg, TAPS13.get(name, tap) if wdg == 2 else tap) for name, wdg, tap in taps), steps)
    )
    state = circuit.solve()
    volts = dict(zip(circuit.nodes, state.v_pu, strict=True))
    worst = max(abs(volts[node] - published) for node, published in IEEE13.items())
    assert worst <= 0.0013
    assert state.head_w == pytest.approx(3_577_970, rel=5e-4)


def test_ieee123_snapshot_matches_the_reference_base_case() -> None:
    state = snapshot("ieee123").settle(0)
    assert state.head_w == pytest.approx(3_615_200, rel=2e-4)
    assert state.losses_w == pytest.approx(96_000, rel=2e-3)
    assert state.v_pu.min() == pytest.approx(0.9792, abs=1e-4)
    assert state.v_pu.max() == pytest.approx(1.0500, abs=2e-4)


def test_the_load_shapes_are_what_the_generator_makes_and_leave_room_in_most_hours() -> None:
    assert (FOLDER / "load_shapes.csv").read_text() == csv()
    circuit = Circuit.compile(read_model(shipped()["ieee123"]).text)
    assert circuit.hours == 8760
    head = next(place for place, item in enumerate(circuit.elements) if item.name == "line.section_149_1")
    assert circuit.elements[head].rating_origin == "stated"
    assert circuit.settle(498).loading_pu[head] == pytest.approx(0.878, abs=0.005)


@pytest.mark.parametrize("order", [(5, 498, 4000), (4000, 5, 498)])
def test_an_hour_does_not_depend_on_what_was_solved_before(order: tuple[int, ...]) -> None:
    circuit = Circuit.compile(read_model(shipped()["ieee123"]).text)
    fresh = {hour: Circuit.compile(read_model(shipped()["ieee123"]).text).settle(hour) for hour in order}
    for hour in order:
        state = circuit.settle(hour)
        assert state.taps == fresh[hour].taps
        assert np.abs(state.v_pu - fresh[hour].v_pu).max() < 1e-7


@pytest.mark.shared
@pytest.mark.parametrize("name", BASE_CASES)
def test_real_feeders_come_through_the_allow_list_with_their_base_case(name: str) -> None:
    root, source_kw, losses_kw, low, high = BASE_CASES[name]
    state = Circuit.compile(read_model(shared_path(f"feeders/{name}"), shared_path(f"feeders/{root}")).text).settle(0)
    assert state.head_w / 1000 == pytest.approx(source_kw, rel=1e-3)
    assert state.losses_w / 1000 == pytest.approx(losses_kw, rel=5e-3)
    live = state.v_pu[state.v_pu > 0.05]  # K1 has a node without voltage
    assert live.min() == pytest.approx(low, abs=5e-4)
    assert state.v_pu.max() == pytest.approx(high, abs=5e-4)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ieee1729/HCABase.dss", "epri/ckt5/Master_ckt5.dss", "epri/ckt24/master_ckt24.dss"])
def test_further_real_feeders_import_and_solve(name: str) -> None:
    circuit = Circuit.compile(read_model(shared_path(f"feeders/{name}")).text)
    assert not circuit.islands
    assert circuit.settle(0).head_w != 0


@pytest.mark.shared
def test_ckt5_at_the_story_bus_near_its_worst_hours() -> None:
    """Exact AC limits; the table beside the feeders says 606 kW in, found by chords in two or three solves."""
    circuit = Circuit.compile(read_model(shared_path("feeders/epri/ckt5/Master_ckt5.dss")).text)
    request = StudyRequest("107782", (1, 2, 3), 3_000_000, 3_000_000, (1266, 7396))
    result = study(circuit, request)
    assert result.binding("import")["hour"] == 1266
    assert result.binding("import")["criterion"] == "thermal"
    assert result.firm.import_w == pytest.approx(620_000, abs=15_000)
    assert result.binding("export")["criterion"] == "overvoltage"
    assert any("400 A" in finding for finding in result.findings), "the head's 400 A is a default, and the study says so"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "root", "regulators"),
    [
        ("epri/ckt5/Master_ckt5.dss", "epri/ckt5", None),
        ("epri/J1/Master_withPV.dss", "epri/J1", None),
        ("ieee/8500-Node/Master.dss", "ieee/8500-Node", "122:3"),
    ],
)
def test_limits_on_real_feeders_are_those_of_opendss_within_0_1_percent_or_1_kw(
    name: str, root: str, regulators: str | None
) -> None:
    """A small part of `manage.py bench hosting_capacity`: two random hours, four buses, both ways."""
    circuit = Circuit.compile(
        model_text(str(shared_path(f"feeders/{name}")), str(shared_path(f"feeders/{root}")), regulators)
    )
    settings = CriteriaSettings(rule="masked", participation=0.0, voltage_scope="all")
    answer = bench(circuit, settings=settings, hours=2, cases_an_hour=4, ordinary_cases=0, seed=3)
    assert answer["within_0_1_percent_or_1_kw_percent"] == 100.0
    assert answer["unsolved"] == 0
    assert answer["same_binding_percent"] == 100.0


def test_an_answer_is_feasible_and_a_little_more_is_not() -> None:
    circuit = Circuit.compile(read_model(shipped()["ieee123"]).text)
    request = StudyRequest("250", (1, 2, 3), 1_500_000, 1_500_000, (60, 498))
    result = study(circuit, request)
    for hour in result.hours:
        for side, sign in (("import", 1), ("export", -1)):
            limit = getattr(hour, f"{side}_w")
            if limit == 1_500_000:
                continue
            base = circuit.settle(hour.hour)
            good = circuit.solve([Injection("250", (1, 2, 3), sign * limit)])
            bad = circuit.solve([Injection("250", (1, 2, 3), sign * (limit + 2_000))])
            head = next(place for place, item in enumerate(circuit.elements) if item.name == "line.section_149_1")
            nodes = circuit.medium_voltage_nodes
            inside = (
                good.loading_pu[head] <= 1.00002 and (good.v_pu[nodes] <= np.maximum(1.05, base.v_pu[nodes]) + 2e-5).all()
            )
            outside = bad.loading_pu[head] > 1.0 or (bad.v_pu[nodes] > np.maximum(1.05, base.v_pu[nodes]) + 1e-5).any()
            assert inside, (hour, side)
            assert outside, (hour, side)


def test_a_lower_rating_never_raises_a_limit_and_more_load_lowers_import() -> None:
    circuit = Circuit.compile(read_model(shipped()["ieee123"]).text)
    hours = (400, 498)

    def firm(thermal_pu: float) -> int:
        settings = CriteriaSettings(thermal_pu=thermal_pu)
        return study(circuit, StudyRequest("250", (1, 2, 3), 1_500_000, 0, hours, settings)).firm.import_w

    assert firm(0.9) <= firm(0.95) <= firm(1.0)
    by_hour = study(circuit, StudyRequest("250", (1, 2, 3), 1_500_000, 0, (496, 497, 498))).hours
    ordered = sorted(by_hour, key=lambda hour: hour.head_w)
    assert [hour.import_w for hour in ordered] == sorted((hour.import_w for hour in by_hour), reverse=True)
