"""A schedule in the terms: month by hour, never below firm, never above flexible, obeyed before its hour begins."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from derms.agreement import Terms
from derms.errors import InputError
from derms.limits import Limit
from telemetry.engine import ControlEngine
from tests.unit.terms import terms
from tests.unit.test_engine import World

LOW, HIGH = Limit(1_000_000, 900_000), Limit(3_000_000, 3_000_000)


def evening(zone: str = "UTC") -> Terms:
    """From 17 to 21 h of every month the low limit, else the high one."""
    row = tuple(LOW if 17 <= hour < 21 else HIGH for hour in range(24))
    return replace(terms(), schedule=(row,) * 12, schedule_zone=zone)


def test_terms_without_a_schedule_keep_the_form_they_had() -> None:
    assert "schedule" not in json.loads(terms().document())
    assert Terms.parse(terms().document()) == terms()


def test_a_schedule_survives_its_document() -> None:
    assert Terms.parse(evening("America/New_York").document()) == evening("America/New_York")


@pytest.mark.parametrize("wrong", [Limit(599_999, 900_000), Limit(600_000, 899_999), Limit(3_000_001, 3_000_000)])
def test_a_cell_below_firm_or_above_flexible_is_refused(wrong: Limit) -> None:
    row = (wrong, *([HIGH] * 23))
    with pytest.raises(InputError) as refused:
        replace(terms(), schedule=((HIGH,) * 24,) * 11 + (row,))
    assert refused.value.where == "schedule.11.0"


def test_a_schedule_of_another_shape_or_zone_is_refused() -> None:
    with pytest.raises(InputError):
        replace(terms(), schedule=((HIGH,) * 24,) * 11)
    with pytest.raises(InputError):
        replace(terms(), schedule=((HIGH,) * 24,) * 12, schedule_zone="Nowhere/Here")


@given(
    start=some.integers(0, 2 * 365 * 24 * 3600),
    span=some.integers(0, 3 * 3600),
    part=some.floats(0, 1),
    zone=some.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_the_ceiling_of_a_span_holds_at_each_of_its_moments(start: int, span: int, part: float, zone: str) -> None:
    agreed, begin = evening(zone), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=start)
    moment = begin + timedelta(seconds=part * span)
    local = moment.astimezone(ZoneInfo(zone))
    ceiling = agreed.ceiling(begin, begin + timedelta(seconds=span))
    assert ceiling.within(agreed.schedule[local.month - 1][local.hour])


def test_the_engine_holds_a_site_to_its_schedule_before_the_hour_begins() -> None:
    world = World()
    world.clock.start = datetime(2026, 2, 22, 16, 0, tzinfo=UTC)
    world.engine = ControlEngine(
        feeder="f", terms=[evening()], ports=world.sites, solver=world.solver, recorder=world.recorder,
        leadership=world.leader, clock=world.clock,
    )  # fmt: skip
    site = world.sites["depot"]
    world.run(3000)
    assert site.limit() == HIGH, "in the hour before, the site has all of it"
    seen = []
    for _ in range(80):
        world.run(10)
        if world.clock.now().hour >= 17:
            seen.append(site.limit())
    assert seen and all(limit.within(LOW) for limit in seen)
