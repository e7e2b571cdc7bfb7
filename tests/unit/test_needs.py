"""What a site needs: energy left over time left, within the agreement; lapsed, hostile and unspoken requests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from derms.limits import Limit
from telemetry.control.grant import Need, Reading
from telemetry.control.needs import MOST_REQUESTS, NeedBook

no_deadline = hypothesis_settings(deadline=None)  # no time in a test
AGREED, HOUR = Limit(60_000, 40_000), 3600.0


def said(*needs: Need, at: float = 0.0, power: float = 0.0, able: tuple[float, float] | None = None) -> Reading:
    available = {"available_import_w": able[0], "available_export_w": able[1]} if able else {}
    return Reading("depot", at, power, needs=needs, **available)


def test_a_request_weighs_as_the_least_power_that_still_fulfils_it() -> None:
    book, ask = NeedBook(), Need(40_000, 50_000, 0.0, 8 * HOUR, "a")
    assert book.need(said(ask), AGREED, 0.0) == (5_000.0, 40_000.0)
    assert book.need(said(ask, at=4 * HOUR), AGREED, 4 * HOUR) == (10_000.0, 40_000.0), "nothing came: it is more urgent"
    assert book.need(said(ask, at=7.9 * HOUR), AGREED, 7.9 * HOUR)[0] == 50_000.0, "never more than it asked for"


def test_what_flowed_is_no_need_any_more() -> None:
    book, ask = NeedBook(), Need(1_000, 60_000, 0.0, HOUR, "a")
    book.need(said(ask), AGREED, 0.0)
    for minute in range(1, 11):
        wish = book.need(said(ask, at=60.0 * minute, power=3_000.0), AGREED, 60.0 * minute)
    assert wish[0] == pytest.approx(500 / (50 / 60)), "500 Wh are left for 50 minutes"
    for minute in range(11, 40):
        wish = book.need(said(ask, at=60.0 * minute, power=3_000.0), AGREED, 60.0 * minute)
    assert wish[0] == 0.0


def test_a_changed_request_begins_anew_and_two_share_what_flows() -> None:
    book, one, two = NeedBook(), Need(1_000, 9_000, 0.0, HOUR, "a"), Need(1_000, 9_000, 0.0, 2 * HOUR, "b")
    book.need(said(one, two), AGREED, 0.0)
    wish = book.need(said(one, two, at=300.0, power=6_000.0), AGREED, 300.0)  # 500 Wh: to the one that ends first
    assert wish[0] == pytest.approx(500 / (55 / 60) + 1_000 / (115 / 60))
    again = Need(800, 9_000, 0.0, HOUR, "a")
    assert book.need(said(again, at=300.0), AGREED, 300.0)[0] == pytest.approx(800 / (55 / 60))


def test_it_lapses_with_its_window_and_before_it_weighs_nothing() -> None:
    book, ask = NeedBook(), Need(40_000, 50_000, HOUR, 2 * HOUR, "a")
    assert book.need(said(ask), AGREED, 0.0) is None
    assert book.need(said(ask, able=(7_000, 3_000)), AGREED, 0.0) == (7_000.0, 3_000.0)
    assert book.need(said(ask, able=(7_000, 3_000)), AGREED, HOUR) == (40_000.0, 3_000.0)
    assert book.need(said(ask, able=(7_000, 3_000)), AGREED, 2 * HOUR) == (7_000.0, 3_000.0)


def test_a_discharge_speaks_of_export_alone() -> None:
    assert NeedBook().need(said(Need(-10_000, 20_000, 0.0, HOUR, "a")), AGREED, 0.0) == (60_000.0, 10_000.0)


def test_a_request_beyond_the_agreement_weighs_as_the_agreement() -> None:
    assert NeedBook().need(said(Need(5e8, 9e8, 0.0, HOUR, "a")), AGREED, 0.0) == (60_000.0, 40_000.0)
    assert NeedBook().need(said(able=(9e8, 9e8)), AGREED, 0.0) == (60_000.0, 40_000.0)


HOSTILE = [
    Need(math.nan, 1, 0, 9, "a"), Need(1, math.inf, 0, 9, "a"), Need(1, -5, 0, 9, "a"), Need(0, 5, 0, 9, "a"),
    Need(5, 5, 9, 0, "a"), Need(5, 5, -1, 9e9, "a"), Need(5, 1e141, 0, 9, "a"), Need(1e300, 5, 0, 9, "a"),
    Need(5, 5, 0, math.inf, "a"), Need(5, 5, math.nan, 9, "a"),
]  # fmt: skip


@pytest.mark.parametrize("ask", HOSTILE)
def test_what_cannot_be_is_no_request(ask: Need) -> None:
    assert NeedBook().need(said(ask), AGREED, 1.0) is None
    assert NeedBook().need(said(*[ask] * MOST_REQUESTS, Need(1, 1, 0, 9, "b")), AGREED, 1.0) is None, (
        "nor does a flood pass"
    )


def test_an_available_power_that_is_no_number_is_not_said() -> None:
    ask = Need(1_000, 5_000, 0.0, HOUR, "a")
    assert NeedBook().need(said(ask, able=(math.nan, math.inf)), AGREED, 0.0) == (1_000.0, 40_000.0)


wild = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1e9, 1e9) | st.floats(1e5, 1e8)
needs = st.builds(Need, wild, wild, st.floats(-1e5, 1e3), st.floats(-1e3, 1e5), st.sampled_from("abc"))


@no_deadline
@given(st.lists(st.tuples(st.lists(needs, max_size=5), st.floats(-1e5, 1e5), st.floats(0, 900)), min_size=1, max_size=6))
def test_whatever_is_asked_the_need_is_finite_and_within_the_agreement(
    looks: list[tuple[list[Need], float, float]],
) -> None:
    book, now = NeedBook(), 0.0
    for asked, power, later in looks:
        now += later
        wish = book.need(said(*asked, at=now, power=power), AGREED, now)
        assert wish is None or (0.0 <= wish[0] <= AGREED.import_w and 0.0 <= wish[1] <= AGREED.export_w)
