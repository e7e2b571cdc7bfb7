"""Two real control processes on one feeder: a planned stop hands over, kill -9 is taken over from, on either database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telemetry import progress
from telemetry.control.watch import State, Watch
from telemetry.management.commands.serve import LOOK_AGAIN_S, NOTHING_TO_DO, Child
from tests.app.processes import PROJECT, ended, environment, start

LOOK = """
from telemetry.models import CycleRow, LeaderLease
cycles = list(CycleRow.objects.order_by("pk").values_list("epoch", flat=True))
print(cycles == sorted(cycles), len(set(cycles)), LeaderLease.objects.get(feeder="ieee13").epoch == max(cycles))
"""
STARTS_S = 900.0  # the first start of a version compiles every kernel
TAKE_OVER_S = 10.0


def control(env: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "control", "--feeder", "ieee13", "--cycle", "2"]
    return subprocess.Popen(command, cwd=PROJECT, env=env, text=True)


def speaks(process: subprocess.Popen[str]) -> State | None:
    return next((mark.state for mark in progress.marks() if mark.pid == process.pid), None)


def until(condition: Callable[[], bool], seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.django_db(transaction=True)
def test_a_planned_stop_and_a_kill_of_the_real_control_process_are_taken_over_within_10_s(
    tmp_path: Path, settings: Any
) -> None:
    settings.STATE_DIR = tmp_path
    env = {key: value for key, value in environment(tmp_path).items() if key != "REDIS_URL"}
    seed = [sys.executable, "-m", "tests.browser.seed", "people", "agreement"]
    subprocess.run(seed, cwd=PROJECT, env=env, check=True, timeout=STARTS_S)
    first = control(env)
    with ended(first):
        until(lambda: speaks(first) is State.ACTIVE, STARTS_S)
        second = control(env)
        with ended(second):
            until(lambda: speaks(second) is State.STANDBY, STARTS_S)
            time.sleep(3.0)  # past its certificate: it stands by in earnest
            watch, said = Watch(), []

            def watched() -> bool:
                said.append(watch.judge(progress.marks(), time.monotonic()).controlling)
                return speaks(second) is State.ACTIVE

            watched()
            first.terminate()
            until(watched, TAKE_OVER_S)
            assert all(said), "a planned restart is no alarm"
            first.wait(30)
            third = control(env)
            with ended(third):
                until(lambda: speaks(third) is State.STANDBY, STARTS_S)
                time.sleep(3.0)
                os.kill(second.pid, signal.SIGKILL)
                second.wait(10)
                until(lambda: speaks(third) is State.ACTIVE, TAKE_OVER_S)
                time.sleep(3.0)  # the recorder writes behind the loop
                look = start(LOOK, env=env)
                with ended(look):
                    assert look.communicate(timeout=60)[0].split() == ["True", "3", "True"], "three leaderships, in order"


def test_serve_looks_again_where_there_was_nothing_to_control() -> None:
    child = Child("control", [sys.executable, "-c", f"raise SystemExit({NOTHING_TO_DO})"])
    child.tend(0.0)
    assert child.process is not None
    child.process.wait(30)
    child.tend(1.0)
    assert child.process is None
    child.tend(1.0 + LOOK_AGAIN_S)
    assert child.process is not None, "an agreement may have come"
    child.process.wait(30)
