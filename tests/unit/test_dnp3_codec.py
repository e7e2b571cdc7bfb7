"""DNP3 codec: signs of AN2018 and rounding that never loosens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.errors import RemoteError
from derms.limits import Limit
from telemetry.control.grant import Quality
from telemetry.protocols.dnp3 import codec
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.codec import Value

watts = st.integers(0, 10_000_000)
limits = st.builds(Limit, watts, watts)


@given(limits, limits)
def test_a_limit_over_the_wire_is_never_looser(limit: Limit, ratings: Limit) -> None:
    decoded = codec.limit_from_raw(*codec.limit_to_raw(limit, ratings), ratings)
    assert decoded.within(limit)
    assert decoded.within(ratings)


@given(limits, limits)
def test_the_mirror_never_shows_a_limit_tighter_than_it_is(limit: Limit, ratings: Limit) -> None:
    in_force = limit.meet(ratings)
    shown = codec.limit_mirror(in_force, ratings)
    assert shown[0] * ratings.import_w >= in_force.import_w * p.PER_MILLE or ratings.import_w == 0
    assert shown[1] * ratings.export_w >= in_force.export_w * p.PER_MILLE or ratings.export_w == 0


@given(st.floats(0, 3e7), st.floats(0, 1e6))
def test_a_stamp_comes_back_at_most_a_centisecond_old_and_never_in_the_future(then: float, age: float) -> None:
    now = then + age
    back = codec.stamp_from_raw(codec.stamp_to_raw(then), now)
    assert back <= now
    assert abs(back - then) <= 0.011


def analogs(power: float, flags: int = 1) -> dict[int, Value]:
    values = {p.AI_GENERATION_RATING_W: 2e6, p.AI_CHARGE_RATING_W: -3e6, p.AI_POWER_W: power, p.AI_STAMP: 5.0,
              p.AI_IMPORT_LIMIT_IN_FORCE: 200.0, p.AI_EXPORT_LIMIT_IN_FORCE: 450.0}  # fmt: skip
    return {index: Value(value, flags) for index, value in values.items()}


def test_the_meter_counts_generation_positive_and_we_count_import() -> None:
    reading = codec.reading("s", analogs(-123_000.0), {}, 0.0)
    assert reading.power_w == 123_000.0
    assert reading.limit_in_force == Limit(600_000, 900_000)
    assert reading.quality is Quality.GOOD


@pytest.mark.parametrize("flags", [0x00, 0x05, 0x21, 0x03])
def test_flags_that_do_not_vouch_make_the_reading_bad(flags: int) -> None:
    assert codec.reading("s", analogs(0.0, flags), {}, 0.0).quality is Quality.BAD


def test_a_missing_point_is_an_error_and_not_a_zero() -> None:
    found = analogs(0.0)
    del found[p.AI_POWER_W]
    with pytest.raises(RemoteError, match="AI537"):
        codec.reading("s", found, {}, 0.0)
