"""A chaos run that missed a goal, or did less than it was asked for, does not pass."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.report import failures, passes

LINE = {"kind": "kill -9 control", "goal_s": 10.0, "known_longest_s": 6.0, "not_known": 0, "not_whole": 0}
TAKEN = {"count": 1, "not_taken_over": 0, "longest_s": 6.0, "goal_s": 10.0}


def report(**changes: Any) -> dict[str, Any]:
    return {
        "unsafe": [], "broken": [], "ended_by_themselves": [], "raises": 5, "power": 0.9, "table": [LINE],
        "take_overs": {"kill -9": TAKEN}, "injections": 10, "asked": 10, "time_over": False,
    } | changes  # fmt: skip


def test_a_run_that_met_every_goal_passes() -> None:
    assert failures(report()) == []
    assert passes(report(injections=4, time_over=True)), "stopped by the time that was asked for"


@pytest.mark.parametrize(
    "changes",
    [
        {"unsafe": ["x"]}, {"broken": ["x"]}, {"ended_by_themselves": ["x"]}, {"raises": 0}, {"power": 0.2},
        {"table": [LINE | {"not_known": 1}]}, {"table": [LINE | {"not_whole": 1}]},
        {"table": [LINE | {"known_longest_s": 10.1}]}, {"take_overs": {"SIGSTOP": TAKEN | {"not_taken_over": 1}}},
        {"take_overs": {"SIGSTOP": TAKEN | {"longest_s": 10.1}}}, {"injections": 9},
        {"injections": 0, "time_over": True},
    ],
)  # fmt: skip
def test_each_missed_goal_fails_by_its_name(changes: dict[str, Any]) -> None:
    assert len(failures(report(**changes))) == 1
    assert not passes(report(**changes))
