"""A quick look has a value for each month and hour of day; where nothing was studied the map says so."""

from __future__ import annotations

from typing import Any

import pytest

from derms.errors import InputError
from interconnection import charts, offer_options
from interconnection.charts.svg import MONTH_DAYS
from interconnection.services.studies import study_hours
from interconnection.site_queries import Promise
from tests.unit.terms import terms

MONTH_OF_DAY = [month for month, days in enumerate(MONTH_DAYS) for _ in range(days)]


def place(hour: int) -> tuple[int, int]:
    return MONTH_OF_DAY[hour // 24], hour % 24


@pytest.mark.parametrize(("count", "each"), [(288, 1), (576, 2)])
def test_a_quick_look_sees_every_month_and_hour_of_day_equally_often(count: int, each: int) -> None:
    hours = study_hours(count, 8760)
    assert len(set(hours)) == len(hours) == count
    assert sorted(hours) == list(hours)
    found = [place(hour) for hour in hours]
    assert {found.count(cell) for cell in set(found)} == {each}
    assert len(set(found)) == 288
    # Not the same day of a month for all its hours: else a Sunday would speak for the month.
    assert len({hour // 24 for hour in hours}) >= 288


def test_other_counts_are_spread_over_the_year_and_a_short_shape_has_what_it_has() -> None:
    assert study_hours(8760, 8760) == tuple(range(8760))
    assert study_hours(24, 8760) == tuple(range(0, 8760, 365))
    assert study_hours(288, 288) == tuple(range(288))
    with pytest.raises(InputError):
        study_hours(288, 24)


def answer(hours: tuple[int, ...]) -> dict[str, Any]:
    kw = [100.0 + place(hour)[1] for hour in hours]
    return {
        "import_kw": 200.0, "export_kw": 200.0, "firm_import_kw": 100.0, "firm_export_kw": 100.0,
        "flexible_import_kw": 123.0, "flexible_export_kw": 123.0, "limited_energy_percent_import": 50.0,
        "limited_energy_percent_export": 50.0, "hours": len(hours),
        "hourly": {"hour": list(hours), **{f"{side}_kw": kw for side in ("import", "export")},
                   **{f"{side}_criterion": ["thermal"] * len(hours) for side in ("import", "export")}},
    }  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "Australia/Brisbane"])
def test_one_day_of_each_month_makes_a_map_but_no_schedule_that_is_promised_without_a_control_room(zone: str) -> None:
    quick = answer(study_hours(288, 8760))
    least = offer_options.least_of(quick, zone)
    assert len(least.by_side["import"]) == 288
    assert not least.whole
    missing = {option.kind: option.missing for option in offer_options.options(quick, zone=zone)}
    assert all("8,760" in missing[kind] for kind in offer_options.STATIC)
    with pytest.raises(InputError, match="every hour"):
        offer_options.allowed(quick, "import", zone=zone)
    assert offer_options.least_of(answer(tuple(range(8760))), zone).whole


def test_what_was_not_studied_is_drawn_as_such_and_is_no_border() -> None:
    def picture(hours: tuple[int, ...]) -> str:
        found = charts.cells(hours, [1.0] * len(hours), ["thermal"] * len(hours))
        return charts.heat_map(found, 2.0, "a map")

    whole = picture(study_hours(288, 8760))
    assert whole.count('class="cell') == 288
    assert "unknown" not in whole
    few = picture((0, 12))
    assert few.count('class="cell') == 2
    assert few.count('class="unknown"') == 286
    assert "Jan 01:00 not studied" in few
    # One region around the whole map: 2 x (12 + 24) edges, twice (halo and line).
    assert whole.count("h21") + whole.count("v17") == 2 * 2 * (12 + 24)


def test_a_quick_look_speaks_for_every_hour_of_the_year_by_its_hour_of_day() -> None:
    def promised(hours: tuple[int, ...]) -> Promise:
        return Promise(1, "x", terms(), hours, tuple(map(float, hours)), tuple(map(float, hours)), ())

    quick, whole = promised(study_hours(288, 8760)), promised(tuple(range(8760)))
    for hour in range(0, 8760, 7):
        found = quick.at(hour)
        assert found is not None
        studied = quick.hours[found]
        assert studied % 24 == hour % 24
        assert min(abs(studied - hour), 8760 - abs(studied - hour)) <= 31 * 24
        assert whole.at(hour) == hour
    sparse = promised(study_hours(24, 8760))
    assert sparse.at(0) == 0
    assert sparse.at(5) == 1, "hour 365, at the same hour of day"
    assert sparse.at(7) == 0, "no such hour of day within a month: the hour before"
    assert sparse.at(200) is None
