"""Clock jumps and drift are seen, corrections end them, and the database's clock is a witness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.control.clock_check import ClockCheck

START = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)


def look(check: ClockCheck, second: float, jump: float = 0.0, database: float | None = None) -> float:
    return check.take(START + timedelta(seconds=second + jump), 50.0 + second, database_ahead_s=database)


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0, 5.0, -5.0, 1.5])
def test_a_jump_is_seen_at_the_next_look_and_for_a_quarter_of_an_hour(jump: float) -> None:
    check = ClockCheck()
    assert look(check, 0.0) == 0.0
    assert look(check, 1.0, jump) == pytest.approx(jump)
    assert look(check, 800.0, jump) == pytest.approx(jump)
    assert look(check, 902.0, jump) == 0.0


def test_slewing_by_ntp_and_drift_are_no_jump() -> None:
    check = ClockCheck()
    offsets = [look(check, float(second), second * 500e-6) for second in range(0, 36_000, 1)]
    assert max(map(abs, offsets)) < 0.5


def test_a_clock_that_was_set_right_is_right_at_once_when_the_database_says_so() -> None:
    check = ClockCheck()
    assert look(check, 0.0, 0.0, database=120.0) == pytest.approx(-120.0), "two minutes behind"
    assert look(check, 1.0, 120.0, database=0.0) == 0.0


def test_a_database_that_is_not_asked_any_more_is_no_witness() -> None:
    check = ClockCheck()
    look(check, 0.0, 0.0, database=9.0)
    assert look(check, 20.0) == pytest.approx(-9.0)
    assert look(check, 31.0) == 0.0


def test_daylight_saving_is_nothing_in_utc() -> None:
    check = ClockCheck()
    assert all(look(check, float(second)) == 0.0 for second in range(0, 7200, 60))
