"""Regulators frozen, at the edge of their band, and free: each against what OpenDSS does with its controls."""

from __future__ import annotations

import pytest

from derms.errors import InputError
from derms.feeders import shipped
from derms.grid.capacity import participating_criteria, study, study_hours
from derms.grid.criteria import CriteriaSettings
from derms.grid.devices import devices
from derms.grid.dss_text import read_model
from derms.grid.opendss import Circuit, Injection
from derms.grid.regulators import band_edge, edge_limit, free_limit, study_hours_by_mode
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import Slice, merge

BUS, PHASES = "250", (1, 2, 3)


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    found = Circuit.compile(read_model(shipped()["ieee123"]).text)
    found.widen_load_bands()
    return found


REGULATED = """clear
new circuit.small basekv=12.47 phases=3 pu=1.0
new transformer.reg phases=3 windings=2 buses=(sourcebus,r) kvs=(12.47,12.47) kvas=(5000,5000) xhl=0.1
new regcontrol.c transformer=reg winding=2 vreg=122 band=3 ptratio=60
new line.a bus1=r bus2=b length=5 units=km r1=0.3 x1=0.4 normamps=300
new load.l bus1=b kv=12.47 kw=2000 vminpu=0.8 vmaxpu=1.2
set voltagebases=(12.47)
calcvoltagebases"""


def test_at_the_edge_the_regulated_voltage_lies_within_a_tap_step_or_two_of_it_and_settings_come_back() -> None:
    small = Circuit.compile(REGULATED)

    def settings() -> tuple[float, float]:
        small.engine.RegControls.Name("c")
        return small.engine.RegControls.ForwardVreg(), small.engine.RegControls.ForwardBand()

    (item,) = devices(small).regulators
    assert item.simple
    assert item.set_pu == pytest.approx(122 * 60 / small.buses["r"].base_v)
    node = small.nodes.index(item.node)
    for side, sign in (("import", -1.0), ("export", 1.0)):
        with band_edge(small, side):
            assert settings() != (122.0, 3.0)
            volts = small.settle(0).v_pu[node]
        edge = item.set_pu + sign * 0.5 * item.band_pu
        # Inside the band still, and no further from its edge than 1.3 tap steps of 0.00625.
        assert 0.0 <= sign * (edge - volts) <= 1.3 * 0.00625 * item.set_pu
        assert settings() == (122.0, 3.0)


def test_the_edge_never_gives_more_export_than_the_top_of_the_band_leaves(circuit: Circuit) -> None:
    request = StudyRequest(BUS, PHASES, 0, 1_500_000, (212,))
    frozen = study_hours(circuit, request, (212,)).hours[0]
    edge = edge_limit(circuit, request, 212, "export")
    assert edge.export_w < frozen.export_w
    with band_edge(circuit, "export"):
        circuit.settle(212)
    good = circuit.solve([Injection(BUS, PHASES, -float(edge.export_w))])
    bad = circuit.solve([Injection(BUS, PHASES, -float(edge.export_w) - 3000.0)])
    nodes = circuit.medium_voltage_nodes
    assert good.v_pu[nodes].max() <= 1.05 + 1e-5
    assert bad.v_pu[nodes].max() > 1.05


def test_a_free_limit_holds_with_the_controls_settled_at_it(circuit: Circuit) -> None:
    request = StudyRequest(BUS, PHASES, 1_500_000, 0, (547,))
    criteria = participating_criteria(circuit, request)
    watts, criterion, element = free_limit(circuit, request, 547, "import", criteria)
    assert (criterion, element) == ("thermal", "line.section_149_1")
    base = circuit.settle(547)
    assert criteria.holds(circuit.settle(547, injections=[Injection(BUS, PHASES, float(watts))]), base)
    assert not criteria.holds(circuit.settle(547, injections=[Injection(BUS, PHASES, watts + 2000.0)]), base)


def test_the_worst_of_the_modes_is_the_least_hour_by_hour_and_says_which_gave_it(circuit: Circuit) -> None:
    hours = (212, 547, 4866)
    by_mode = {
        mode: study_hours(circuit, StudyRequest(BUS, PHASES, 1_500_000, 1_500_000, hours, regulators=mode), hours)
        for mode in ("frozen", "edge", "free", "worst")
    }
    for number in range(len(hours)):
        for side in ("import", "export"):
            each = [getattr(by_mode[mode].hours[number], f"{side}_w") for mode in ("frozen", "edge", "free")]
            assert getattr(by_mode["worst"].hours[number], f"{side}_w") == min(each)
    counts = by_mode["worst"].notes["modes"]
    assert sum(counts["import"].values()) == sum(counts["export"].values()) == len(hours)
    assert counts["export"]["edge"] >= 1


def test_a_study_reports_all_three_modes_the_trip_and_protection_at_its_binding_hours(circuit: Circuit) -> None:
    answer = study(circuit, StudyRequest(BUS, PHASES, 1_500_000, 1_500_000, (212, 547, 4866))).summary()
    for side in ("import", "export"):
        modes = answer["regulator_modes"][side]
        assert modes["hour"] == answer[f"binding_{side}"]["hour"]
        assert modes["frozen"]["kw"] == answer[f"firm_{side}_kw"]
        assert modes["least"] in ("frozen", "edge", "free")
        assert 0.0 < answer["trip"][side]["pu"] < 0.03
    assert [item["criterion"] for item in answer["protection"]] == ["fault_rise", "interrupting_duty", "reach_loss"]
    assert answer["criteria"]["export unbalance"]["limit"] == 0.03
    assert answer["ramp_limit_kw_per_s"] == answer["full_reversal"]["kw"] < answer["full_reversal"]["whole_kw"]


def test_slices_merge_to_the_same_notes_in_any_order(circuit: Circuit) -> None:
    hours = (60, 212, 498, 547, 3000, 4866)
    criteria = CriteriaSettings(unbalance_pu=0.03, regulator_band_share=0.5)
    request = StudyRequest(BUS, PHASES, 900_000, 900_000, hours, criteria)
    parts = [study_hours(circuit, request, hours[at : at + 2]) for at in (0, 2, 4)]
    again = [Slice.from_dict(part.to_dict()) for part in reversed(parts)]
    assert merge(request, parts).to_json() == merge(request, again).to_json()


def test_protection_in_use_caps_the_export_in_every_hour_and_is_named(circuit: Circuit) -> None:
    request = StudyRequest(BUS, PHASES, 0, 1_500_000, (60, 3000), CriteriaSettings(reach_loss=0.05, v_high_pu=1.2))
    for hour in study_hours(circuit, request, (60, 3000)).hours:
        assert hour.export_criterion == "reach_loss"
        assert hour.export_w < 1_500_000


def test_hours_in_which_more_than_the_limit_would_hold_again_are_reported_and_do_hold() -> None:
    """A strict lower voltage limit that the feeder breaks by itself: no export is allowed, yet some would mend it."""
    small = Circuit.compile(REGULATED)
    base = small.settle(0)
    nodes = small.medium_voltage_nodes
    low = float(base.v_pu[nodes].min()) + 0.0005
    request = StudyRequest("b", PHASES, 0, 4_000_000, (0,), CriteriaSettings(v_low_pu=low, rule="strict"))
    found = study_hours(small, request, (0,))
    assert found.hours[0].export_w == 0
    assert found.notes["holes"] == {"export": {"hours": 1, "first_hour": 0}}
    small.settle(0)
    assert small.solve([Injection("b", PHASES, -200_000.0)]).v_pu[nodes].min() > low
    assert study(small, request).summary()["non_monotone"]["export"]["hours"] == 1
    plain = StudyRequest("b", PHASES, 0, 4_000_000, (0,))
    assert study_hours(small, plain, (0,)).notes["holes"] == {}


def test_a_feeder_on_which_nothing_moves_is_studied_once() -> None:
    text = """clear
new circuit.small basekv=12.47 phases=3
new line.a bus1=sourcebus bus2=b length=1 units=km normamps=300
new load.l bus1=b kv=12.47 kw=100
set voltagebases=(12.47)
calcvoltagebases"""
    small = Circuit.compile(text)
    request = StudyRequest("b", PHASES, 1_000_000, 1_000_000, (0,), regulators="worst")
    frozen = study_hours(small, StudyRequest("b", PHASES, 1_000_000, 1_000_000, (0,)), (0,))
    assert study_hours_by_mode(small, request, (0,)).hours == frozen.hours


def test_free_regulators_with_volt_var_are_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match="fixed power factor"):
        StudyRequest(BUS, PHASES, 1000, 0, (0,), inverter="volt_var_b", regulators="free")
