"""Curtailment over load years: pure arithmetic on limits, and a real year on the shipped 123-node feeder."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from derms.errors import InputError
from derms.grid.curtailment import HOURS, SCALES, Need, curtailment
from derms.grid.study_request import StudyRequest

FLAT = ((1_000_000,) * 24,) * 7
NIGHT = (tuple(1_000_000 if hour >= 20 else 0 for hour in range(24)),) * 7
WIDE = (2_000_000, 2_000_000)


def limits(import_w: Any, export_w: Any = 0.0) -> dict[float, np.ndarray]:
    table = np.zeros((HOURS, 2))
    table[:, 0], table[:, 1] = import_w, export_w
    return dict.fromkeys(SCALES, table)


def test_a_limit_above_the_need_curtails_nothing_and_misses_nobody() -> None:
    found = curtailment(Need(NIGHT), limits(1_000_000), WIDE)["import"]
    for name in ("curtailed_kwh", "hours", "events", "shifted_kwh", "lost_kwh", "departures_missed"):
        assert found[name] == {"p50": 0.0, "p90": 0.0, "mean": 0.0}
    assert found["departures"]["p50"] == 364.0  # the last night's departure is in the next year
    assert found["need_kwh"] == 365 * 4 * 1000


def test_what_a_night_can_make_good_before_the_departure_is_shifted_and_not_lost() -> None:
    """4 h of 1 MW under a limit of half a megawatt: 2 MWh wait, and go in from midnight to 4 h."""
    need = Need(NIGHT, departures=tuple((day, 6) for day in range(7)))
    found = curtailment(need, limits(500_000), WIDE)["import"]
    assert found["curtailed_kwh"]["p50"] == 365 * 2000
    assert found["shifted_kwh"]["p50"] == 364 * 2000
    assert found["lost_kwh"]["p50"] == 2000.0  # the year ends while the last night waits
    assert found["departures_missed"]["p90"] == 0.0
    assert (found["events"]["p50"], found["longest_hours"]["p50"], found["deepest_kw"]["p50"]) == (365.0, 4.0, 500.0)


def test_a_departure_before_it_is_made_good_is_missed_and_its_rest_is_lost() -> None:
    need = Need(NIGHT, departures=tuple((day, 1) for day in range(7)))
    found = curtailment(need, limits(500_000), WIDE)["import"]
    assert found["departures_missed"]["p50"] == found["departures"]["p50"] == 364.0
    assert found["shifted_kwh"]["p50"] == 364 * 500
    assert found["lost_kwh"]["p50"] == 364 * 1500 + 2000


def test_export_that_is_withheld_is_only_lost() -> None:
    found = curtailment(Need((), export_w=NIGHT), limits(0, 750_000), WIDE)
    assert "import" not in found
    assert found["export"]["curtailed_kwh"]["p50"] == 365 * 1000
    assert "shifted_kwh" not in found["export"]
    assert np.array(found["export"]["month_hour_kwh"])[0, 20] == pytest.approx(31 * 250)
    assert np.array(found["export"]["month_hour_kwh"])[:, :20].sum() == 0.0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_years() -> None:
    hourly = np.random.default_rng(4).uniform(0, 2e6, HOURS)
    first, again, other = (
        json.dumps(curtailment(Need(FLAT, seed=seed), limits(hourly), WIDE), sort_keys=True) for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


@given(seed=some.integers(0, 1000), years=some.integers(2, 6), scale=some.floats(0.3, 1.0))
@settings(max_examples=15, deadline=None)
def test_energy_is_kept_a_lower_limit_never_curtails_less_and_p50_never_exceeds_p90(
    seed: int, years: int, scale: float
) -> None:
    hourly = np.random.default_rng(seed).uniform(2e5, 1.5e6, HOURS)
    need = Need(FLAT, departures=((0, 5), (3, 12)), years=years, seed=seed)
    more, less = (curtailment(need, limits(part * hourly), WIDE)["import"] for part in (1.0, scale))
    assert more["curtailed_kwh"]["mean"] == pytest.approx(more["shifted_kwh"]["mean"] + more["lost_kwh"]["mean"], abs=0.1)
    for name in ("p50", "p90"):
        assert less["curtailed_kwh"][name] >= more["curtailed_kwh"][name]
        assert less["departures_missed"][name] >= more["departures_missed"][name]
    for item in (entry for entry in more.values() if isinstance(entry, dict)):
        assert item["p50"] <= item["p90"]


def test_higher_load_scales_are_drawn_as_often_as_lower_ones() -> None:
    """A limit that differs only by scale shows how the scales are mixed: a fifth each way by the documented method."""
    by_scale = {item: table.copy() for item, table in limits(0.0).items()}
    for item, value in zip(SCALES, (0.0, 1_000_000.0, 1_000_000.0), strict=True):
        by_scale[item][:, 0] = value
    found = curtailment(Need(FLAT, years=100), by_scale, WIDE)["import"]
    assert found["curtailed_kwh"]["mean"] / found["need_kwh"] == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"import_w": [[1] * 24] * 6}, "need.import_w"),
        ({"import_w": [[0] * 24] * 7}, "need"),
        ({"import_w": FLAT, "departures": [[7, 0]]}, "need.departures"),
        ({"import_w": FLAT, "years": 1}, "need.years"),
        ({"import_w": FLAT, "year_sigma": 0.5}, "need.year_sigma"),
        ({"import_w": [[-1] * 24] * 7}, "need.import_w"),
    ],
)
def test_a_wrong_need_is_refused_saying_where(raw: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as refused:
        Need.from_dict(raw)
    assert refused.value.where == where


def test_a_need_wants_the_whole_year() -> None:
    with pytest.raises(InputError, match="whole year"):
        StudyRequest("b", (1,), 1000, 0, (0, 1), need=Need(FLAT))
    request = StudyRequest("b", (1,), 1000, 0, tuple(range(HOURS)), need=Need(FLAT, departures=((1, 2),)))
    assert StudyRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
