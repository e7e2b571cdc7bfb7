"""Limits and envelopes: there is no "unlimited", and rounding never loosens."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.errors import InputError
from derms.limits import Envelope, Limit
from derms.units import floor_to_step, kilowatts_to_watts, watts

magnitudes = st.integers(0, 50_000_000)
limits = st.builds(Limit, magnitudes, magnitudes)
powers = st.floats(-6e7, 6e7, allow_nan=False)
START = datetime(2026, 1, 1, tzinfo=UTC)


@given(limits, limits, powers)
def test_whoever_obeys_the_meet_obeys_both(first: Limit, second: Limit, power_w: float) -> None:
    if first.meet(second).allows(power_w):
        assert first.allows(power_w)
        assert second.allows(power_w)


@given(limits, limits, powers)
def test_whoever_obeys_either_is_within_the_cover(first: Limit, second: Limit, power_w: float) -> None:
    if first.allows(power_w) or second.allows(power_w):
        assert first.cover(second).allows(power_w)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_rounding_never_loosens(import_w: float, export_w: float) -> None:
    limit = Limit.of(import_w, export_w)
    assert limit.import_w <= import_w
    assert limit.export_w <= export_w


@given(limits, st.floats(0, 1))
def test_scaling_never_loosens(limit: Limit, factor: float) -> None:
    assert limit.scaled(factor).within(limit)


@given(limits, powers)
def test_the_clamped_power_is_allowed_and_allowed_power_is_left_alone(limit: Limit, power_w: float) -> None:
    assert limit.allows(limit.clamp(power_w))
    if limit.allows(power_w):
        assert limit.clamp(power_w) == power_w
    assert (limit.excess_w(power_w) == 0) == limit.allows(power_w)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1, True, "1_000", "１２", None, 3e9])
def test_what_is_no_magnitude_is_refused(bad: object) -> None:
    with pytest.raises(InputError) as error:
        watts(bad, where="import_w")
    assert error.value.where == "import_w"


@pytest.mark.parametrize("bad", [-1, 1.5, True])
def test_a_limit_holds_whole_watts_only(bad: object) -> None:
    with pytest.raises(InputError):
        Limit(bad, 0)  # type: ignore[arg-type]


@given(st.integers(0, 2_000_000))
def test_tenths_of_a_kilowatt_survive(tenths: int) -> None:
    assert kilowatts_to_watts(tenths / 10, where="kw") == tenths * 100


@given(magnitudes, st.integers(1, 100_000))
def test_the_wire_step_rounds_down(value_w: int, step_w: int) -> None:
    rounded = floor_to_step(value_w, step_w)
    assert rounded <= value_w < rounded + step_w
    assert rounded % step_w == 0


@given(st.lists(limits, max_size=30), limits, st.integers(-100, 4000))
def test_an_envelope_says_failsafe_outside_its_time(values: list[Limit], failsafe: Limit, minute: int) -> None:
    envelope = Envelope.of(START, timedelta(hours=1), values, failsafe)
    at = envelope.at(START + timedelta(minutes=minute))
    hour = minute // 60
    assert at == (values[hour] if 0 <= minute and hour < len(values) else failsafe)
    assert envelope.firm().within(at)


def test_an_envelope_in_local_time_is_refused() -> None:
    with pytest.raises(InputError, match="UTC"):
        Envelope.of(datetime(2026, 1, 1), timedelta(hours=1), [], Limit(0, 0))  # noqa: DTZ001
