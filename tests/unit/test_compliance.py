"""The ladder: 15 s, 60 s, twice in 10 min, more than 3 in 24 h (after EREC G100)."""

from __future__ import annotations

from telemetry.control.compliance import RESET_S, Ladder, Stage


def excursion(ladder: Ladder, start: float, seconds: int) -> Stage:
    for second in range(seconds + 1):
        ladder.update(10_000.0, start + second)
    stage = ladder.stage
    ladder.update(0.0, start + seconds + 1)
    return stage


def test_14_seconds_are_the_devices_right() -> None:
    assert excursion(Ladder(), 0, 14) is Stage.OBEYS


def test_15_seconds_warn() -> None:
    ladder = Ladder()
    assert excursion(ladder, 0, 15) is Stage.WARNED
    assert ladder.stage is Stage.OBEYS


def test_60_seconds_lock() -> None:
    ladder = Ladder()
    assert excursion(ladder, 0, 60) is Stage.LOCKED
    assert ladder.stage is Stage.LOCKED


def test_twice_in_10_minutes_locks_and_twice_in_a_day_does_not() -> None:
    near, far = Ladder(), Ladder()
    excursion(near, 0, 20)
    assert excursion(near, 500, 20) is Stage.LOCKED
    excursion(far, 0, 20)
    assert excursion(far, 5_000, 20) is Stage.WARNED


def test_the_fourth_in_24_hours_locks() -> None:
    ladder = Ladder()
    for start in (0, 10_000, 20_000):
        assert excursion(ladder, start, 20) is Stage.WARNED
    assert excursion(ladder, 30_000, 20) is Stage.LOCKED


def test_the_lock_ends_after_4_hours_of_obedience_and_not_before() -> None:
    ladder = Ladder()
    excursion(ladder, 0, 60)
    assert ladder.update(0.0, 60 + RESET_S - 1) is Stage.LOCKED
    assert ladder.update(5.0, 61 + RESET_S) is Stage.LOCKED
    assert ladder.update(0.0, 62 + RESET_S) is Stage.OBEYS
