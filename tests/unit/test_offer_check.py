"""Offers: nothing is ever above the study's limit less its margin, and documents from before keep their hash."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from derms.agreement import Conditions, Terms
from derms.errors import InputError
from derms.limits import Limit
from interconnection import letter, offer_check, offer_options
from interconnection.offer_options import HOURS, MONTHS, SIDES, STATIC
from tests.unit.terms import terms as make_terms


def answer(seed: int, asked: float = 1000.0) -> dict[str, Any]:
    """A year of which every hour was studied, with limits drawn from a seed."""
    hours = list(range(8760))
    found: dict[str, Any] = {"import_kw": asked, "export_kw": asked, "hours": len(hours), "upgrade_avoided": []}
    found["hourly"] = {"hour": hours}
    for place, side in enumerate(SIDES):
        row = [((seed * (hour + 7919 + place) * 2654435761) >> 7) % 10_001 / 10 for hour in hours]
        found |= {
            f"firm_{side}_kw": min(row), f"flexible_{side}_kw": max(row), f"limited_energy_percent_{side}": 10.0,
            f"limited_hours_{side}": sum(1 for kw in row if kw < asked),
        }  # fmt: skip
        found["hourly"] |= {f"{side}_kw": row, f"{side}_criterion": ["thermal"] * len(row)}
    return found


def terms_of(found: dict[str, Any], grids: dict[str, Any]) -> Terms:
    firm = offer_options.limit_of(found, "firm")
    schedule = tuple(
        tuple(Limit(grids["import"][month][hour], grids["export"][month][hour]) for hour in range(HOURS))
        for month in range(MONTHS)
    )
    most = Limit(*(max(map(max, grids[side])) for side in SIDES))
    return replace(make_terms(), firm=firm, failsafe=firm, flexible=most, schedule=schedule)


@settings(deadline=None, max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(st.integers(1, 2**31), st.floats(0, 0.5), st.sampled_from(STATIC))
def test_every_static_schedule_stays_below_every_studied_hour_less_the_margin(seed: int, margin: float, kind: str) -> None:
    found = answer(seed)
    option = next(item for item in offer_options.options(found, margin=margin) if item.kind == kind)
    months = [
        month for month, days in enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)) for _ in range(days * 24)
    ]
    for side in SIDES:
        firm_w = round(found[f"firm_{side}_kw"] * 1000)
        for hour, kw in zip(found["hourly"]["hour"], found["hourly"][f"{side}_kw"], strict=True):
            cell = option.schedule[side][months[hour]][hour % 24]
            assert firm_w <= cell <= max(firm_w, kw * 1000 * (1 - margin) + 1e-3)
    assert offer_check.faults(found, terms_of(found, dict(option.schedule)), kind, margin) == []


@settings(deadline=None, max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(
    st.integers(0, MONTHS - 1), st.integers(0, HOURS - 1), st.sampled_from(SIDES), st.integers(1, 10**6), st.floats(0, 0.5)
)  # fmt: skip
def test_one_watt_above_is_a_fault_at_its_cell(month: int, hour: int, side: str, more: int, margin: float) -> None:
    found = answer(12345)
    grids: dict[str, Any] = {name: [list(row) for row in offer_options.allowed(found, name, margin)] for name in SIDES}
    grids[side][month][hour] += more
    terms = terms_of(found, grids)
    assert f"schedule.{month}.{hour}" in [fault.where for fault in offer_check.faults(found, terms, "static_288", margin)]
    # A dynamic offer's ceiling may be above an hour, never above what was asked for.
    within = getattr(terms.flexible, f"{side}_w") <= 1_000_000
    assert (offer_check.faults(found, terms, "dynamic", margin) == []) is within


def test_each_number_above_the_study_is_named() -> None:
    found = answer(99)
    firm = offer_options.limit_of(found, "firm")
    good = replace(make_terms(), firm=firm, failsafe=firm, flexible=firm)
    assert offer_check.faults(found, good, "firm", 0.1) == []
    assert offer_check.faults(found, good, "static_12", 0.1) == []
    above = Limit(firm.import_w + 1, firm.export_w)
    wrong = replace(good, firm=above, failsafe=above, flexible=Limit(1_000_001, firm.export_w))
    assert [item.where for item in offer_check.faults(found, wrong, "dynamic", 0.1)] == ["failsafe", "firm", "flexible"]
    assert [item.where for item in offer_check.faults(found, good, "firm", 0.1, inverter="volt_var_b")] == ["inverter"]
    flexible = replace(good, flexible=Limit(firm.import_w + 1, firm.export_w))
    assert [item.where for item in offer_check.faults(found, flexible, "firm", 0.1)] == ["flexible"]


def test_terms_without_conditions_keep_the_bytes_that_were_signed() -> None:
    assert "conditions" not in json.loads(make_terms().document())
    assert Terms.parse(make_terms().document()) == make_terms()
    more = replace(make_terms(), conditions=Conditions(remedy="pay", remedy_usd_per_kwh=0.3, access="last_in_first_off"))
    assert Terms.parse(more.document()) == more
    assert more.sha256() != make_terms().sha256()
    assert any("$0.3 a kWh" in sentence for sentence in letter.sentences(more))


def test_a_bridge_ends_paying_has_a_price_and_words_are_known() -> None:
    with pytest.raises(InputError, match="no end"):
        replace(make_terms(), ends=None, conditions=Conditions(bridge_for="transformer T-14"))
    with pytest.raises(InputError, match="price"):
        Conditions(remedy="pay")
    with pytest.raises(InputError, match="access"):
        Conditions(access="to friends first")
