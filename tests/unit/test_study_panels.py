"""What a study's answer says beside its limits, as tables: nothing is invented where an answer has nothing."""

from __future__ import annotations

from interconnection.study_panels import panels

HELD = {"p50": 10.0, "p90": 20.0, "mean": 12.0}
ANSWER = {
    "criteria": {
        "import unbalance": {"unit": "pu", "value": 0.01, "limit": 0.03, "margin": 0.02, "element": "671", "hour": 5,
                             "in_use": False, "broken_hours": 0},
        "import reverse_power": {"unit": "W", "value": 1.0, "limit": 2.0, "margin": 1.0, "element": "head", "hour": 5,
                                 "in_use": True, "broken_hours": 1},
    },
    "regulator_modes": {"import": {"hour": 7, "same": False, "least": "edge",
                                   "frozen": {"kw": 500.0, "criterion": "undervoltage", "element": "671.1"},
                                   "edge": {"kw": 400.0, "criterion": "undervoltage", "element": "671.1"}}},
    "largest_step": {"import": {"kw": 300.0, "hour": 7}}, "ramp_limit_needed": {"import": True},
    "full_reversal": {"kw": 350.0, "whole_kw": 700.0, "hour": 9, "pu": 0.06}, "ramp_limit_kw_per_s": 300.0,
    "trip": {"import": None}, "non_monotone": {"export": {"hours": 3, "first_hour": 40}},
    "curtailment": {"years": 30, "import": {
        "need_kwh": 1000.0, "percent_p50": 1.0, "percent_p90": 2.0, "curtailed_kwh": HELD, "departures_missed": HELD,
        "departures": {"p50": 365.0, "p90": 365.0, "mean": 365.0}, "month_hour_kwh": [[0.0] * 23 + [4.0]] * 12,
    }},
}  # fmt: skip


def test_an_older_answer_has_no_tables_rather_than_empty_claims() -> None:
    found = panels({})
    assert not (found.criteria or found.regulators or found.steps or found.protection or found.curtailment)


def test_criteria_in_use_stand_first_and_a_way_that_was_not_studied_has_no_figure() -> None:
    found = panels(ANSWER)
    assert [row["criterion"] for row in found.criteria] == ["reverse_power", "unbalance"]
    ways = {name: kw for name, _, kw, _ in found.regulators[0].ways}
    assert ways == {"frozen": 500.0, "edge": 400.0, "free": None}
    assert found.non_monotone == [("export", 3, 40)]


def test_a_step_below_what_is_asked_needs_a_ramp_and_a_trip_without_a_solution_is_left_out() -> None:
    steps = panels(ANSWER).steps
    assert [step.passes for step in steps] == [False, False]
    assert panels(ANSWER).ramp_kw_per_s == 300.0


def test_curtailment_has_p50_p90_and_the_hours_when() -> None:
    (item,) = panels(ANSWER).curtailment
    assert item.rows[0] == ("Withheld, kWh a year", 10.0, 20.0, 12.0)
    assert item.rows[-1][0] == "Departures missed" and item.departures == 365.0
    assert "4.0 kWh a year" in item.heat_map and item.heat_map.count("<rect") == 288
