"""Each measure by hand-made numbers, and every shipped pack's outcomes on one set of facts, written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from interconnection import rule_packs, screens
from interconnection.request import Request
from interconnection.screens import Facts, Load, Screen

ASKED = Request(
    name="Depot", feeder="f", bus="b1", phases="123", import_w=1_500_000, export_w=600_000, charger_model="m",
    charger_count=50, charger_import_w=30_000, charger_export_w=30_000, need_wh_per_day=6_000_000, wanted=date(2027, 1, 1),
    transformer="T-14", transformer_va=2_000_000,
)  # fmt: skip


def entry(criterion: str, value: float, unit: str = "pu", **more: Any) -> dict[str, Any]:
    return {"criterion": criterion, "value": value, "unit": unit, "element": f"e-{criterion}", "hour": 17, "in_use": True,
            "passes": True, "limit": 0.0, "margin": 0.0} | more  # fmt: skip


def side(asked: float, largest: float, voltage: float) -> dict[str, Any]:
    return {
        "asked_kw": asked, "largest_kw": largest, "hour": 18, "criterion": "thermal", "element": "line.a",
        "criteria": [entry("thermal", 1.25), entry("overvoltage", voltage), entry("undervoltage", 0.96),
                     entry("unbalance", 0.012, in_use=False)],
        "profile": {"hour": 18, "nodes": [["b1.1", 1.0, None, 1.00, 0.98], ["b2.1", 1.0, None, 1.0, 0.9]]},
    }  # fmt: skip


ANSWER = {
    "import": side(1500.0, 900.0, 1.03), "export": side(600.0, 700.0, 1.04), "inverter": "unity",
    "passing": {
        "kw": {},
        "inverters": [{"inverter": "unity"}, {"inverter": "volt_var_b", "import_kw": 910.0, "export_kw": 990.0}],
    },
    "protection": [
        {"criterion": "fault_rise", "value": 0.06, "element": "n1", "fault_amps": 4000.0, "limit_kw": 1000.0},
        {"criterion": "interrupting_duty", "value": 0.0, "element": "no interrupting rating is known", "fault_amps": 0.0},
        {"criterion": "reach_loss", "value": 0.05, "element": "n2", "fault_amps": 900.0, "limit_kw": 1200.0},
    ],
    "rapid_change": {
        "nothing_to_import": {"pu": 0.02, "node": "b1.1", "hour": 3, "step_kw": 1500.0},
        "nothing_to_export": {"pu": 0.01, "node": "b1.1", "hour": 3, "step_kw": 600.0},
        "reversal": {"pu": 0.04, "node": "b1.1", "hour": 3, "step_kw": 2100.0},
    },
}  # fmt: skip
FACTS = Facts(
    ASKED, Load(4_000_000, 8000, 1_000_000, 100, 288), ANSWER, ahead_import_w=200_000, ahead_export_w=300_000,
    site_bus="b1", fault_pu=3.0,
)  # fmt: skip


def judge(measure: str, threshold: float | None = None, which: str = "export", facts: Facts = FACTS, **more: Any) -> Any:
    screen = Screen("x", which, "t", measure, False, threshold, **more)
    return screens.evaluate((screen,), facts)[0]


def test_shares_of_load_count_who_is_ahead() -> None:
    found = judge("share_of_peak", 15, unit="%")
    assert (found.status, found.value, found.margin, found.hour) == ("fail", 22.5, -7.5, 8000)
    assert found.passes_kw == 300.0  # 15 % of 4 MW less 300 kW ahead
    least = judge("share_of_minimum", 100)
    assert (least.status, least.value, least.passes_kw) == ("pass", 90.0, 700.0)


def test_a_limited_export_is_judged_at_its_limit_and_a_full_one_at_its_nameplate() -> None:
    assert FACTS.judged_export_w == 600_000
    full = replace(FACTS, request=replace(ASKED, export_mode="full"))
    assert full.judged_export_w == 1_500_000
    assert judge("share_of_minimum", 100, facts=full).value == 180.0


def test_fault_current_counts_every_inverter() -> None:
    found = judge("fault_rise", 10)
    assert found.value == 6.0
    assert found.passes_kw == 2500.0  # 1,500 kW of inverters give 6 %
    assert judge("interrupting_duty", 87.5).status == "unknown"
    assert "interrupting ratings" in judge("interrupting_duty", 87.5).would_pass
    assert judge("reach_loss", 4).status == "fail"


def test_the_transformer_carries_the_load_beside() -> None:
    facts = replace(FACTS, request=replace(ASKED, load_most_w=700_000))
    found = judge("transformer", 100, "import", facts)
    assert (found.status, found.value, found.passes_kw) == ("fail", 110.0, 1300.0)
    assert "2,200 kVA" in found.would_pass
    half = judge("transformer", 100, "import", facts, parameters={"coincidence": 0.5})
    assert (half.status, half.passes_kw) == ("pass", 2600.0)
    assert (
        judge("transformer", 100, "import", replace(FACTS, request=replace(ASKED, transformer_va=None))).status == "unknown"
    )


def test_criteria_of_the_engine_keep_their_element_and_hour() -> None:
    found = judge("criterion", 100, "import", unit="%", parameters={"criterion": "thermal"})
    assert (found.status, found.value, found.element, found.hour, found.passes_kw) == (
        "fail",
        125.0,
        "e-thermal",
        17,
        900.0,
    )
    assert "volt-var-b 910.0 kW" in found.would_pass
    low = judge("criterion", 0.95, "import", compare="at_least", parameters={"criterion": "undervoltage"})
    assert (low.status, low.margin) == ("pass", 0.01)
    assert judge("criterion", 1, "import", parameters={"criterion": "reverse_power"}).status == "not_applicable"


def test_a_power_that_has_no_solution_fails_and_says_so() -> None:
    broken = {**ANSWER, "import": {**ANSWER["import"], "criteria": [entry("convergence", 0.0)]}}  # type: ignore[dict-item]
    found = judge("criterion", 100, "import", replace(FACTS, answer=broken), parameters={"criterion": "thermal"})
    assert (found.status, found.passes_kw) == ("fail", 900.0)
    assert "no solution" in found.basis


def test_a_step_that_is_too_large_asks_for_a_ramp_and_cuts_no_power() -> None:
    found = judge("rapid_change", 3, "both", unit="%", parameters={"step": "reversal"})
    assert (found.status, found.value, found.passes_kw) == ("fail", 4.0, None)
    assert "1,575.0 kW" in found.would_pass
    assert judge("voltage_drop", 3, "import").value == 2.0


def test_the_night_is_for_cooling() -> None:
    assert judge("cooling", 8, "import", compare="at_least").value == 20  # 6 MWh at 1.5 MW take four hours
    busy = {"need_w": [[1_200_000] * 20 + [0] * 4] * 7}
    facts = replace(FACTS, request=replace(ASKED, schedule=busy))
    found = judge("cooling", 8, "import", facts, compare="at_least")
    assert (found.status, found.value) == ("fail", 4)


def test_bank_ratio_and_single_phase() -> None:
    assert judge("bank", 100, "import").status == "unknown"
    found = judge("bank", 100, "import", replace(FACTS, firm_bank_w=6_000_000))
    assert (found.status, found.value, found.passes_kw) == ("pass", 95.0, 1800.0)
    assert judge("harmonics", 20, "both", compare="at_least").value == 20.0  # 3.0 / 0.06 x 600 / 1500
    single = replace(FACTS, request=replace(ASKED, phases="1", secondary_shared=True, spot_network=True))
    assert judge("imbalance", 20, "export", single).value == 30.0
    assert judge("shared_secondary", 20, "export", single).status == "fail"
    assert judge("spot_network", 5, "export", single, parameters={"most_kw": 50}).passes_kw == 50.0
    assert judge("spot_network", 5).status == "not_applicable"


def test_a_side_that_is_not_asked_for_is_not_applicable() -> None:
    facts = replace(FACTS, request=replace(ASKED, export_w=0))
    assert judge("share_of_peak", 15, facts=facts).status == "not_applicable"


GOLDEN = {
    "au-like": {
        "fail": ["export-thermal", "reversal", "conductor", "feeder-pending"],
        "unknown": ["certified", "bank"],
    },
    "gb-like": {
        "fail": ["export-thermal", "reversal", "conductor", "feeder-pending"],
        "unknown": ["limitation-scheme", "interrupting", "bank"],
    },
    "us-california-like": {
        "fail": ["h-line", "p-safety", "reversal", "conductor", "feeder-pending"],
        "unknown": ["g-interrupting", "l-transmission", "bank"],
    },
    "us-sgip-like": {
        "fail": ["peak-15", "line-configuration", "export-thermal", "reversal", "conductor", "feeder-pending"],
        "unknown": ["interrupting", "bank"],
    },
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_each_packs_outcomes_are_as_written_down(name: str) -> None:
    results = screens.evaluate(rule_packs.pack(name).screens, FACTS)
    for status, ids in GOLDEN[name].items():
        assert [item.id for item in results if item.status == status] == ids
    assert all(item.would_pass for item in results if item.status == "fail")
    assert sum(screens.summary(results).values()) == len(results)
