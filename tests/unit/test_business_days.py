"""Deadlines count as a calendar on the wall does: weekends, holidays, pauses."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from interconnection.business_days import holidays_of, standing
from interconnection.rule_packs import Calendar

US = holidays_of(Calendar("US"))
FRIDAY = date(2026, 7, 3)  # Independence Day as observed
TODAY = date(2026, 7, 1)


def test_holidays_and_weekends_do_not_count() -> None:
    # From Wednesday: Thursday 2 (1), Friday 3 is a holiday, Monday 6 (2).
    assert standing(date(2026, 7, 1), 2, [], US, today=TODAY).due == date(2026, 7, 6)
    assert standing(date(2026, 7, 1), 2, [], US, kind="calendar", today=TODAY).due == FRIDAY


def test_own_days_are_added_and_taken_away() -> None:
    own = holidays_of(Calendar("US", extra={"2026-07-02": "company day"}, without=("2026-07-03",)))
    assert date(2026, 7, 2) in own
    assert FRIDAY not in own


def test_it_is_late_on_the_day_after_the_one_it_is_due() -> None:
    assert not standing(date(2026, 7, 1), 2, [], US, today=date(2026, 7, 6)).late
    assert standing(date(2026, 7, 1), 2, [], US, today=date(2026, 7, 7)).late


def test_a_pause_moves_the_day_and_while_it_lasts_there_is_none() -> None:
    paused = standing(date(2026, 7, 1), 2, [(date(2026, 7, 2), None)], US, today=date(2026, 8, 1))
    assert (paused.due, paused.paused, paused.late, paused.used) == (None, True, False, 1)
    resumed = standing(date(2026, 7, 1), 2, [(date(2026, 7, 2), date(2026, 7, 10))], US, today=date(2026, 7, 11))
    assert (resumed.due, resumed.paused) == (date(2026, 7, 13), False)


@given(
    st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 60), st.integers(0, 40), st.integers(0, 40),
    st.integers(0, 200),
)  # fmt: skip
def test_pausing_never_brings_a_deadline_nearer_and_days_add_up(
    started: date, days: int, after: int, length: int, later: int
) -> None:
    today = started + timedelta(days=later)
    plain = standing(started, days, [], US, today=today)
    began = started + timedelta(days=after)
    paused = standing(started, days, [(began, began + timedelta(days=length))], US, today=today)
    assert plain.due is not None and paused.due is not None
    assert paused.due >= plain.due
    assert plain.used + plain.left == days
    assert 0 <= paused.used <= plain.used <= days
    assert plain.late is (today > plain.due)
