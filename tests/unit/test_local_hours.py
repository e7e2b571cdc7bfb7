"""A static schedule in local time: no moment of the agreement's life is above the study's hour, whatever the clocks do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from derms.agreement import Terms
from derms.errors import InputError
from interconnection import offer_check, offer_options
from interconnection.local_hours import places
from interconnection.offer_options import SIDES
from tests.unit.test_offer_check import terms_of

ZONES = ("America/Los_Angeles", "America/St_Johns", "Europe/London", "Europe/Berlin", "Australia/Adelaide",
         "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Auckland", "UTC")  # fmt: skip
HOURS = list(range(8760))


def year(seed: int) -> dict[str, Any]:
    """Every hour of a year, with limits drawn from a seed."""
    found: dict[str, Any] = {"import_kw": 1000.0, "export_kw": 1000.0, "hours": 8760, "upgrade_avoided": []}
    found["hourly"] = {"hour": HOURS}
    for place, side in enumerate(SIDES):
        row = [100 + ((seed * (hour + 7919 + place) * 2654435761) >> 7) % 9_001 / 10 for hour in HOURS]
        found |= {f"firm_{side}_kw": min(row), f"flexible_{side}_kw": max(row), f"limited_energy_percent_{side}": 10.0,
                  f"limited_hours_{side}": 100}  # fmt: skip
        found["hourly"] |= {f"{side}_kw": row, f"{side}_criterion": ["thermal"] * 8760}
    return found


YEAR = year(20_260_101)


def signed(zone: str) -> Terms:
    grids = {side: offer_options.allowed(YEAR, side, 0.0, zone) for side in SIDES}
    return replace(terms_of(YEAR, grids), schedule_zone=zone)


SIGNED = {zone: signed(zone) for zone in ZONES}


def study_hour(moment: datetime) -> int:
    """The hour of a year without a leap day, in UTC; of 29 February that of the 28th."""
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    at = datetime(2023, moment.month, day, moment.hour, tzinfo=UTC)
    return int((at - datetime(2023, 1, 1, tzinfo=UTC)).total_seconds() // 3600)


@settings(deadline=None, max_examples=400)
@given(some.sampled_from(ZONES), some.integers(0, 25 * 365 * 24 * 60 - 1))
@example("America/Los_Angeles", 0)
def test_no_moment_in_25_years_is_above_the_studys_hour(zone: str, minutes: int) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    hour = study_hour(moment)
    ceiling = SIGNED[zone].ceiling(moment, moment)
    for side in SIDES:
        kw, firm = YEAR["hourly"][f"{side}_kw"][hour], YEAR[f"firm_{side}_kw"]
        assert getattr(ceiling, f"{side}_w") <= max(kw, firm) * 1000 + 1e-3


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Auckland"])
def test_every_quarter_of_an_hour_around_every_change_of_clocks_is_inside(zone: str) -> None:
    info, moment, changes = ZoneInfo(zone), datetime(2026, 1, 1, tzinfo=UTC), 0
    while moment.year < 2036:
        if moment.astimezone(info).utcoffset() != (moment + timedelta(days=1)).astimezone(info).utcoffset():
            changes += 1
            for quarter in range(-8, 4 * 24 + 8):
                at = moment + timedelta(minutes=15 * quarter)
                ceiling = SIGNED[zone].ceiling(at, at)
                kw = max(YEAR["hourly"]["import_kw"][study_hour(at)], YEAR["firm_import_kw"])
                assert ceiling.import_w <= kw * 1000 + 1e-3, at
        moment += timedelta(days=1)
    assert changes == 20, "two a year: a test that sees none proves nothing"


def test_utc_is_the_study_itself_and_a_half_hour_zone_takes_the_lower_of_two() -> None:
    first_of_march = range(59 * 24, 60 * 24)
    assert all(len(found) == 1 for hour, found in enumerate(places("UTC")) if hour not in first_of_march)
    assert places("UTC")[59 * 24] == ((1, 0), (2, 0)), "29 February lies between two study days and is held to both"
    assert offer_options.least_of(YEAR, "UTC") == offer_options.least_of(YEAR)
    away = range(58 * 24, 61 * 24)
    assert all(len(found) == 2 for hour, found in enumerate(places("Asia/Kolkata")) if hour not in away)


def test_in_a_leap_year_east_and_west_of_greenwich_no_hour_is_outside_its_cell() -> None:
    for name in ("Pacific/Auckland", "America/Los_Angeles"):
        zone, found = ZoneInfo(name), places(name)
        for day in (59, 60):  # 29 February, 1 March of 2028
            for hour in range(24):
                moment = datetime(2028, 1, 1, hour, tzinfo=UTC) + timedelta(days=day)
                local = moment.astimezone(zone)
                study = 59 * 24 + hour
                assert (local.month - 1, local.hour) in found[study] + found[study - 24]
        eve = datetime(2028, 2, 28, 20, tzinfo=UTC).astimezone(zone)
        assert (eve.month - 1, eve.hour) in found[58 * 24 + 20]


def test_a_schedule_is_checked_in_its_own_zone() -> None:
    local = SIGNED["America/Los_Angeles"]
    assert offer_check.faults(YEAR, local, "static_288", 0.0) == []
    shifted = offer_check.faults(YEAR, replace(local, schedule_zone="UTC"), "static_288", 0.0)
    assert len(shifted) > 100, "the same grid in another zone promises other hours"


def test_a_zone_that_is_none_is_an_error() -> None:
    with pytest.raises(InputError, match="Nowhere"):
        places("Nowhere/Here")
