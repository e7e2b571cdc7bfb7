"""The confined child: no network, no writing, bounded; its death is an error and never a hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from derms.errors import InputError, LocalError, ModelRefused
from derms.feeders import shipped
from derms.grid.capacity import study
from derms.grid.dss_text import read_model
from derms.grid.opendss import Circuit
from derms.grid.study_request import StudyRequest
from derms.sandbox.confine import Bounds
from derms.sandbox.feeder_process import PROJECT, FeederProcess
from derms.sandbox.study_pool import run_study

CONFINED = """
import socket, sys
from derms.sandbox.confine import Bounds, confine
held = confine(Bounds(cpu_s=5, memory_bytes=2 * 1024**3))
def tried(what):
    try:
        what()
    except OSError:
        return "refused"
    return "DONE"
connect = lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 1)
write, read = lambda: open(sys.argv[1] + "/new", "w"), lambda: open(sys.argv[1] + "/secret")
print(held.landlock_abi, tried(write), tried(read), tried(connect))
"""


@pytest.fixture(scope="module")
def text() -> str:
    return read_model(shipped()["ieee13"]).text


def test_a_confined_process_cannot_write_read_elsewhere_or_connect(tmp_path: Path) -> None:
    import socket

    (tmp_path / "secret").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", CONFINED, str(tmp_path), str(port)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
    abi, write, read, connect = done.stdout.split()
    if int(abi) < 1:
        pytest.skip("this kernel has no Landlock")
    assert (write, read, connect) == ("refused", "refused", "refused")


def test_a_feeder_answers_from_its_child_as_it_does_here(text: str) -> None:
    circuit = Circuit.compile(text)
    with FeederProcess(text) as feeder:
        assert feeder.name == "ieee13"
        described = feeder.call("describe")
        here = circuit.settle(0)
        assert described["head_kw"] == pytest.approx(here.head_w / 1000, abs=0.001)
        with pytest.raises(InputError):
            feeder.call("no such call")
        assert feeder.call("findings")["findings"] == []


def test_a_killed_child_is_a_local_error(text: str) -> None:
    feeder = FeederProcess(text)
    threading.Timer(0.3, os.kill, (feeder.pid, signal.SIGKILL)).start()
    request = StudyRequest("671", (1, 2, 3), 5_000_000, 5_000_000, tuple(range(8760)))
    with pytest.raises(LocalError, match="died"):
        feeder.call("study_hours", {"request": request.to_dict(), "hours": list(range(8760))})
    feeder.close()


def test_a_child_that_takes_too_long_is_ended(text: str) -> None:
    request = StudyRequest("671", (1, 2, 3), 5_000_000, 5_000_000, tuple(range(8760)))
    with FeederProcess(text) as feeder, pytest.raises(LocalError, match="too long"):
        feeder.call("study_hours", {"request": request.to_dict(), "hours": list(range(8760))}, timeout_s=0.2)


def test_text_that_is_no_feeder_and_too_much_processor_time_are_errors(text: str) -> None:
    with pytest.raises(ModelRefused):
        FeederProcess("clear\nnew nonsense.x\n")
    request = StudyRequest("671", (1, 2, 3), 5_000_000, 5_000_000, tuple(range(8760)))
    with FeederProcess(text, bounds=Bounds(cpu_s=6)) as feeder, pytest.raises(LocalError, match="died"):
        feeder.call("study_hours", {"request": request.to_dict(), "hours": list(range(8760)) * 5})


def test_a_study_over_several_children_is_the_study_of_one_to_the_byte(text: str) -> None:
    request = StudyRequest("671", (1, 2, 3), 4_000_000, 4_000_000, tuple(range(0, 8760, 20)))
    alone = study(Circuit.compile(text), request, model_sha256="m")
    steps: list[int] = []
    spread = run_study(text, "m", request, workers=2, progress=lambda done, total: steps.append(done))
    assert spread.to_json() == alone.to_json()
    assert steps[-1] == len(request.hours)


def test_closing_after_the_child_was_killed_in_the_middle_of_a_question_is_no_second_error(text: str) -> None:
    with FeederProcess(text) as feeder:
        os.kill(feeder.pid, signal.SIGKILL)
        while feeder.alive:
            time.sleep(0.01)
        with pytest.raises(LocalError, match=r"ended|died"):
            feeder.call("describe", {"padding": "x" * 200_000})
