"""ANSI/ISA-18.2: an alarm's states, its delays and dead-bands, what it says of a cycle, and the table behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.errors import Conflict, InputError
from telemetry.control import alarm as life
from telemetry.control import alarm_table
from telemetry.control.alarm import ANNOUNCED, HIDDEN, Alarm, Priority, State, beyond, observe
from telemetry.control.alarm_rules import (
    CYCLE_SEEN_S,
    certificate_look,
    certificate_looks,
    clock_look,
    feeder_looks,
    process_looks,
)
from telemetry.control.alarm_table import BY_KIND, TABLE, flooded

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)
MANUAL = Path(__file__).resolve().parents[2] / "templates" / "docs" / "alarms.md"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def test_isa_18_2_from_raised_to_acknowledged_to_normal() -> None:
    raised = observe(Alarm(), True, at(0))
    assert raised.state is State.UNACKNOWLEDGED
    seen = life.acknowledge(raised, at(5))
    assert seen.state is State.ACKNOWLEDGED
    assert observe(seen, False, at(9)).state is State.NORMAL


def test_isa_18_2_what_clears_unseen_stays_until_somebody_says_so() -> None:
    returned = observe(observe(Alarm(), True, at(0)), False, at(1))
    assert returned.state is State.RETURNED
    assert observe(returned, True, at(2)).state is State.UNACKNOWLEDGED
    assert life.acknowledge(returned, at(2)).state is State.NORMAL


def test_acknowledging_what_is_normal_or_seen_is_a_conflict() -> None:
    for alarm in (Alarm(), life.acknowledge(observe(Alarm(), True, at(0)), at(1))):
        with pytest.raises(Conflict):
            life.acknowledge(alarm, at(2))


def test_a_condition_must_last_its_delay_both_ways() -> None:
    alarm = observe(Alarm(), True, at(0), on_delay_s=10, off_delay_s=30)
    assert (alarm.state, alarm.pending) == (State.NORMAL, at(0))
    assert observe(alarm, False, at(5), on_delay_s=10).pending is None, "it went away: counting starts anew"
    assert observe(alarm, True, at(9.9), on_delay_s=10).state is State.NORMAL
    raised = observe(alarm, True, at(10), on_delay_s=10)
    assert raised.state is State.UNACKNOWLEDGED
    falling = observe(raised, False, at(11), off_delay_s=30)
    assert falling.state is State.UNACKNOWLEDGED
    assert observe(falling, False, at(41), off_delay_s=30).state is State.RETURNED


def test_a_value_at_its_limit_does_not_chatter() -> None:
    was, changes = False, 0
    for step in range(200):
        holds = beyond(100.0 + 0.4 * (-1) ** step, 100.0, 1.0, was)
        changes += holds != was
        was = holds
    assert changes == 1
    assert beyond(0.949, 0.95, 0.002, False, low=True)
    assert beyond(0.951, 0.95, 0.002, True, low=True)
    assert not beyond(0.953, 0.95, 0.002, True, low=True)
    assert beyond(float("nan"), 100.0, 1.0, False), "a bad measurement is no good news"


def test_the_shelf_has_an_end_and_what_holds_then_is_announced_anew() -> None:
    raised = observe(Alarm(), True, at(0))
    shelved = life.shelve(raised, at(1), at(601), 3600)
    assert shelved.state is State.SHELVED
    assert not life.expired(shelved, at(600))
    assert life.expired(shelved, at(601))
    assert life.bring_back(shelved, at(601)).state is State.UNACKNOWLEDGED
    quiet = observe(shelved, False, at(300))
    assert quiet.state is State.SHELVED
    assert life.bring_back(quiet, at(601)).state is State.NORMAL


@pytest.mark.parametrize("until", [0.0, -5.0, 3601.0])
def test_a_shelf_without_an_end_or_beyond_the_longest_is_refused(until: float) -> None:
    with pytest.raises(InputError):
        life.shelve(observe(Alarm(), True, at(0)), at(0), at(until), 3600)


def test_what_may_not_be_shelved_is_not() -> None:
    with pytest.raises(Conflict):
        life.shelve(observe(Alarm(), True, at(0)), at(0), at(60), BY_KIND["site_locked"].shelve_s)


MOVES = st.lists(st.sampled_from(["on", "off", "ack", "shelve", "suppress", "remove", "back"]), max_size=40)


@given(MOVES)
def test_no_order_of_moves_ever_loses_a_condition_that_holds(moves: list[str]) -> None:
    alarm, holds, announced_since_raise = Alarm(), False, True
    for step, move in enumerate(moves):
        now = at(step)
        try:
            if move in ("on", "off"):
                if (move == "on") != holds:
                    announced_since_raise = False
                holds = move == "on"
                alarm = observe(alarm, holds, now)
            elif move == "ack":
                alarm = life.acknowledge(alarm, now)
            elif move == "shelve":
                alarm = life.shelve(alarm, now, now + timedelta(seconds=60), 3600)
            elif move == "suppress":
                alarm = life.suppress(alarm, now)
            elif move == "remove":
                alarm = life.remove(alarm, now)
            else:
                alarm = life.bring_back(alarm, now)
        except Conflict:
            continue
        announced_since_raise |= alarm.state in ANNOUNCED
        assert alarm.condition == holds
        if holds:
            assert alarm.state is not State.NORMAL, "it holds, so it is in the list or visibly out of sight"
        if alarm.state is State.ACKNOWLEDGED:
            assert announced_since_raise
    if alarm.state in HIDDEN and alarm.condition:
        assert life.bring_back(alarm, at(99)).state is State.UNACKNOWLEDGED


def board(**changes: Any) -> dict[str, Any]:
    site = {"site": "depot", "stage": "obeys", "heard": True, "silent_s": 1, "power_kw": 100.0, "import_limit_kw": 200.0,
            "export_limit_kw": 50.0}  # fmt: skip
    shown = {"problem": "", "loading_percent": 90.0, "element": "line.l1", "v_min_pu": 0.98, "v_max_pu": 1.02, "dropped": 0}
    return shown | {"sites": [site | changes.pop("site", {})]} | changes


def raised(looks: list[Any]) -> set[str]:
    return {look.kind for look in looks if look.holds}


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, set()),
        ({"loading_percent": 99.0}, {"element_above_margin"}),
        ({"loading_percent": 101.0}, {"element_above_margin", "element_overloaded"}),
        ({"v_min_pu": 0.949}, {"voltage_low"}),
        ({"v_max_pu": 1.051}, {"voltage_high"}),
        ({"problem": "the feeder head's measurement is missing, stale or bad"}, {"head_stale"}),
        ({"problem": "not converged"}, {"state_unknown"}),
        ({"clock_offset_s": -1.4}, {"clock_offset"}),
        ({"withheld": ["depot"]}, {"raises_withheld"}),
        ({"dropped": 2}, {"records_lost"}),
        ({"site": {"stage": "warned"}}, {"site_above_limit"}),
        ({"site": {"stage": "locked"}}, {"site_locked"}),
        ({"site": {"heard": False, "silent_s": None}}, {"site_silent"}),
        ({"site": {"last_outcome": "refused"}}, {"grant_refused"}),
    ],
)
def test_each_condition_of_a_cycle_has_its_alarm(changes: dict[str, Any], kinds: set[str]) -> None:
    assert raised(feeder_looks("f", board(**changes), 3.0, {})) == kinds


def test_a_feeder_without_cycles_says_only_that_nobody_controls_it() -> None:
    assert CYCLE_SEEN_S + 10 <= 30, "banner and alarm within 30 s of a death"
    for shown, age in ((board(), CYCLE_SEEN_S + 0.1), (None, None)):
        assert [look.kind for look in feeder_looks("f", shown, age, {})] == ["not_controlling"]
        assert raised(feeder_looks("f", shown, age, {})) == {"not_controlling"}


def test_processes_clock_and_certificates_have_theirs() -> None:
    assert [look.holds for look in process_looks([("web", True, ""), ("control-f", False, "died")])] == [False, True]
    assert clock_look(-1.5, {}).holds
    assert not clock_look(0.5, {}).holds
    assert [certificate_look("f", holds, "voltage at b").holds for holds in (True, False, None)] == [False, True, True]
    ends = [("a", T0 + timedelta(days=60)), ("b", T0 + timedelta(days=20)), ("c", T0 - timedelta(days=1))]
    found = {(look.subject, look.kind) for look in certificate_looks(ends, T0) if look.holds}
    steps = {name: sorted(kind for who, kind in found if who == name) for name in "abc"}
    assert steps["a"] == ["certificate_90_days"]
    assert steps["b"] == ["certificate_30_days", "certificate_90_days"]
    assert len(steps["c"]) == 4


def test_isa_18_2_every_alarm_is_rationalised() -> None:
    for entry in TABLE:
        assert entry.cause.endswith(".") and entry.consequence.endswith(".") and entry.action.endswith("."), entry.kind
        assert entry.respond_s > 0
        assert set(entry.suppressed_by) <= set(BY_KIND)
        for cause in entry.suppressed_by:  # a cause stands above what it explains, or both could hide each other
            assert entry.kind not in BY_KIND[cause].suppressed_by
    assert sum(entry.priority is Priority.CRITICAL for entry in TABLE) <= len(TABLE) / 3


def test_the_manual_prints_the_table_that_the_program_uses() -> None:
    assert alarm_table.markdown() in MANUAL.read_text()


def test_more_than_ten_alarms_in_ten_minutes_are_a_flood() -> None:
    assert not flooded([float(t) for t in range(10)], 300.0)
    assert flooded([float(t) for t in range(11)], 300.0)
    assert not flooded([float(t) for t in range(11)], 700.0)
