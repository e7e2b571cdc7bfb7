"""The watchdog's verdict: counters that must move, judged on the watchdog's own clock (≤ 30 s)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.control.watch import Mark, State, Watch

CONTROL, WEB = "control-ieee123", "web"


def mark(
    count: int, *, subject: str = CONTROL, pid: int = 10, state: State = State.ACTIVE, within_s: float = 15.0,
    alive: bool = True, note: str = "",
) -> Mark:  # fmt: skip
    return Mark(subject, pid, count, state, within_s, note, alive)


def test_moving_counters_are_controlling() -> None:
    watch = Watch()
    for second in range(60):
        verdict = watch.judge([mark(second // 10), mark(second // 3, subject=WEB)], float(second))
        assert verdict.state == "controlling"
        assert verdict.controlling


@given(st.floats(1.0, 1e6), st.integers(0, 40))
def test_a_hung_process_is_shown_within_30_s_whatever_it_promised(within_s: float, hung_after: int) -> None:
    watch = Watch()
    for second in range(hung_after + 1):
        watch.judge([mark(second, within_s=within_s)], float(second))
    verdict = watch.judge([mark(hung_after, within_s=within_s)], hung_after + 25.0)
    assert not verdict.controlling
    assert "hangs" in verdict.message
    assert verdict.message.startswith("NOT CONTROLLING: control-ieee123")


def test_a_dead_process_is_shown_at_once_and_its_restart_clears_it() -> None:
    watch = Watch()
    watch.judge([mark(5)], 0.0)
    dead = watch.judge([mark(5, alive=False)], 1.0)
    assert not dead.controlling
    assert "died" in dead.message
    assert watch.judge([mark(5, alive=False), mark(1, pid=11)], 2.0).state == "controlling"


@pytest.mark.parametrize("state", [State.STANDBY, State.ENDED])
def test_a_standby_or_a_stopped_process_does_not_control(state: State) -> None:
    watch = Watch()
    for second in range(40):
        count = second if state is State.STANDBY else 7  # whoever has ended counts no more
        verdict = watch.judge([mark(count, state=state)], float(second))
    assert not verdict.controlling


def test_a_take_over_by_the_standby_is_no_alarm() -> None:
    watch = Watch()
    watch.judge([mark(1), mark(1, pid=11, state=State.STANDBY)], 0.0)
    assert watch.judge([mark(1, alive=False), mark(2, pid=11, state=State.STANDBY)], 5.0).controlling
    assert watch.judge([mark(1, alive=False), mark(3, pid=11)], 9.0).state == "controlling"


def test_a_standby_that_does_not_take_over_is_no_cover_for_a_dead_leader() -> None:
    watch = Watch()
    watch.judge([mark(1), mark(1, pid=11, state=State.STANDBY)], 0.0)
    for second in range(1, 30):
        verdict = watch.judge([mark(1, alive=False), mark(1 + second, pid=11, state=State.STANDBY)], float(second))
    assert not verdict.controlling
    assert "only a standby is left" in verdict.message


def test_a_planned_restart_is_no_alarm_and_a_stop_that_lasts_is_shown_within_30_s() -> None:
    watch = Watch()
    watch.judge([mark(1)], 0.0)
    assert watch.judge([mark(2, state=State.ENDED, alive=False)], 1.0).controlling
    assert watch.judge([mark(2, state=State.ENDED, alive=False)], 15.0).controlling
    restarted = [mark(2, state=State.ENDED, alive=False), mark(1, pid=11, state=State.STANDBY)]
    assert watch.judge(restarted, 16.0).controlling
    assert watch.judge([mark(2, state=State.ENDED, alive=False), mark(3, pid=11)], 18.0).state == "controlling"
    gone = Watch()
    gone.judge([mark(2, state=State.ENDED, alive=False)], 0.0)
    late = gone.judge([mark(2, state=State.ENDED, alive=False)], 22.0)
    assert not late.controlling
    assert "was stopped" in late.message


def test_nothing_to_control_is_idle_and_stays_so_after_the_process_has_ended() -> None:
    watch = Watch(frozenset({CONTROL}))
    verdict = watch.judge([mark(1, state=State.IDLE, alive=False, note="no agreement in force")], 100.0)
    assert verdict.state == "idle"
    assert "no agreement in force" in verdict.message


def test_an_expected_process_that_never_appears_is_not_controlling_after_25_s() -> None:
    watch = Watch(frozenset({CONTROL}))
    assert watch.judge([], 0.0).controlling
    assert watch.judge([], 25.0).controlling
    assert not watch.judge([], 25.1).controlling


def test_a_dead_web_or_study_queue_degrades_and_does_not_claim_that_nobody_controls() -> None:
    watch = Watch()
    watch.judge([mark(1), mark(1, subject=WEB)], 0.0)
    verdict = watch.judge([mark(2), mark(1, subject=WEB, alive=False)], 1.0)
    assert verdict.state == "degraded"
    assert verdict.message.startswith("DEGRADED: web died")


@pytest.mark.parametrize("subject", ["scada", "utility", "control-x"])
def test_the_loss_of_any_process_in_the_control_path_is_not_controlling(subject: str) -> None:
    watch = Watch()
    watch.judge([mark(1), mark(1, subject=subject, pid=11)], 0.0)
    assert not watch.judge([mark(2), mark(1, subject=subject, pid=11, alive=False)], 1.0).controlling
