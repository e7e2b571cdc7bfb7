"""What may be concluded from a trace: settled for good, the steepest ramp, gaps that were not meant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from derms.limits import Limit
from telemetry.commissioning.trace import Sample, Trace, settled_after, steepest_w_per_s

no_deadline = hypothesis_settings(deadline=None)  # no time in a test

LIMIT = Limit(1_000, 500)


def samples(*powers: float, every: float = 1.0) -> list[Sample]:
    return [Sample(place * every, power, None, None, 1, place * every) for place, power in enumerate(powers)]


def test_settled_counts_from_the_last_time_it_came_inside() -> None:
    assert settled_after(samples(3000, 900, 900), LIMIT, 0.0) == 1.0
    assert settled_after(samples(3000, 900, 1500, 900), LIMIT, 0.0) == 3.0
    assert settled_after(samples(3000, 900, 1500), LIMIT, 0.0) is None
    assert settled_after(samples(-600, -500), LIMIT, 0.0) == 1.0
    assert settled_after(samples(1010), LIMIT, 10.0) == 0.0


@no_deadline
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 1_000_000))
def test_what_has_settled_is_inside_at_the_end(powers: list[float], most: int) -> None:
    limit = Limit(most, most)
    after = settled_after(samples(*powers), limit, 0.0)
    assert (after is not None) == limit.allows(powers[-1])


def test_the_steepest_ramp_is_taken_over_a_span_so_that_one_meters_tick_is_no_step() -> None:
    assert steepest_w_per_s(samples(0, 100, 200, 300), 2.0) == 100.0
    assert steepest_w_per_s(samples(0, 0, 900, 900, 900), 2.0) == 450.0
    assert steepest_w_per_s(samples(5), 2.0) == 0.0


def test_a_gap_counts_unless_it_was_meant_and_the_hash_sees_every_sample() -> None:
    trace = Trace([*samples(1, 2), Sample(20.0, 3, None, None, 2, 20.0)])
    assert trace.longest_gap_s() == 19.0
    before = trace.sha256()
    trace.silences.append((2.0, 19.0))
    assert trace.longest_gap_s() == 1.0
    trace.samples[0] = Sample(0.0, 1.6, None, None, 1, 0.0)
    assert trace.sha256() != before
