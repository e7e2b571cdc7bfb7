"""Children by fork: each confined like one started alone, independent of the helper and of each other."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from derms.errors import LocalError
from derms.feeders import shipped
from derms.grid.dss_text import read_model
from derms.sandbox.confine import Bounds
from derms.sandbox.feeder_process import FeederProcess, environment
from derms.sandbox.nursery import NURSERY, Nursery


@pytest.fixture(scope="module")
def text() -> str:
    return read_model(shipped()["ieee13"]).text


@pytest.fixture
def pair(text: str) -> Iterator[tuple[FeederProcess, FeederProcess]]:
    with FeederProcess(text) as one, FeederProcess(text, bounds=Bounds(cpu_s=77)) as two:
        yield one, two


def _facts(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_children_are_forks_of_one_helper_with_bounds_of_their_own(pair: tuple[FeederProcess, FeederProcess]) -> None:
    one, two = pair
    assert _facts(one.pid)["PPid"] == _facts(two.pid)["PPid"] != str(os.getpid())
    assert resource.prlimit(one.pid, resource.RLIMIT_CPU)[0] == Bounds().cpu_s
    assert resource.prlimit(two.pid, resource.RLIMIT_CPU)[0] == 77


def test_a_fork_is_confined_and_its_helper_is_not_touched(pair: tuple[FeederProcess, FeederProcess]) -> None:
    helper = int(_facts(pair[0].pid)["PPid"])
    for child in pair:
        assert _facts(child.pid)["NoNewPrivs"] == "1"
        assert resource.prlimit(child.pid, resource.RLIMIT_FSIZE) == (0, 0)
        # Nothing of the other child or of the helper's socket: its own three ends, and what the engine opened.
        links = [os.readlink(entry) for entry in Path(f"/proc/{child.pid}/fd").iterdir()]
        assert not [link for link in links if link.startswith("socket:")]
        assert len([link for link in links if link.startswith("pipe:")]) <= 3
    assert _facts(helper)["NoNewPrivs"] == "0"
    assert resource.prlimit(helper, resource.RLIMIT_FSIZE)[0] != 0


def test_the_death_of_one_child_or_of_the_helper_leaves_the_others(
    pair: tuple[FeederProcess, FeederProcess], text: str
) -> None:
    one, two = pair
    expected = two.call("describe")
    os.kill(one.pid, signal.SIGKILL)
    with pytest.raises(LocalError):
        one.call("describe")
    assert not one.alive
    assert two.call("describe") == expected
    os.kill(int(_facts(two.pid)["PPid"]), signal.SIGKILL)
    assert two.call("describe") == expected
    with FeederProcess(text) as three:
        assert three.call("describe") == expected
        assert _facts(three.pid)["PPid"] != _facts(two.pid)["PPid"]


def test_without_a_helper_a_child_is_started_alone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Nursery, environment: dict[str, str]) -> None:
        raise LocalError("no helper")

    with FeederProcess(text) as forked:
        expected = forked.call("describe")
    monkeypatch.setattr(Nursery, "born", refuse)
    with FeederProcess(text) as alone:
        assert _facts(alone.pid)["PPid"] == str(os.getpid())
        assert alone.call("describe") == expected


def test_a_child_whose_owner_is_gone_ends() -> None:
    child = NURSERY.born(environment())
    child.stdin.close()
    child.wait()
    assert child.poll() == -1
    child.stdout.close()
