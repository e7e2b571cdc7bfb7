"""The watchdog as a process: real files, a real kill -9 and SIGSTOP, no database anywhere near it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry import progress

pytestmark = pytest.mark.wire
ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import time
from telemetry.progress import Progress
counter = Progress("control-ieee123", within_s=1.0)
while True:
    counter.move()
    time.sleep(0.1)
"""


def until(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def state(tmp_path: Path, settings) -> Iterator[Path]:
    settings.STATE_DIR = tmp_path
    yield tmp_path


def start(state: Path, *command: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "HEADROOM_STATE_DIR": str(state), "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
    return subprocess.Popen([sys.executable, "manage.py", *command], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)


def test_killed_and_frozen_processes_are_seen_and_a_dead_watchdog_is_itself_not_controlling(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "OLDEST_VERDICT_S", 3.0)
    assert progress.watchdog_says().verdict.state == "not controlling"
    worker = start(state, "shell", "-v", "0", "-c", WORKER)
    watchdog = start(state, "watchdog", "--expect", "control-ieee123")
    try:
        assert until(lambda: progress.watchdog_says().verdict.state == "controlling"), progress.watchdog_says()
        worker.send_signal(signal.SIGSTOP)
        assert until(lambda: "hangs" in progress.watchdog_says().verdict.message, 30.0)
        worker.send_signal(signal.SIGCONT)
        assert until(lambda: progress.watchdog_says().controlling, 10.0)
        worker.kill()
        assert until(lambda: "died" in progress.watchdog_says().verdict.message, 30.0)
        worker.wait(10)
        watchdog.send_signal(signal.SIGSTOP)
        assert until(lambda: "watchdog is silent" in progress.watchdog_says().verdict.message, 30.0)
    finally:
        for process in (worker, watchdog):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(10)


def test_a_torn_a_foreign_and_an_absurd_file_are_no_verdict(state: Path) -> None:
    path = progress.verdict_path()
    for text in ("", "{", "[]", "{}", json.dumps({"monotonic": "x", "boot": "y"})):
        path.write_text(text)
        assert not progress.watchdog_says().controlling
    progress.folder().joinpath("control-x@1.json").write_text('{"subject": 3}')
    assert progress.marks() == []


def test_a_full_disk_stops_no_process_that_counts(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = progress.Progress("scada")
    counter.move()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    counter.move()
    monkeypatch.undo()
    counter.move()
    assert [mark.count for mark in progress.marks()] == [3]
