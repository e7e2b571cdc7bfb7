"""What an injection may touch, and what is seen of the room from outside: progress files, boards, what sites obey."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.house import SITES, House
from tests.chaos.judge import Judge

Undo = Callable[[], None]


@dataclass
class Room:
    """The house, its judge, and which site is somebody's victim now. Shared by the lanes."""

    house: House
    judge: Judge
    chance: random.Random
    _taken: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def leader(self, *, but: str = "") -> str | None:
        """Return a control process that says it works; `but`: not this one, which is stopped and cannot say otherwise."""
        return next((name for name in self.house.controls if name != but and self.house.speaks(name) == "active"), None)

    def standby(self, but: str) -> str | None:
        """Return a control process that stands by."""
        names = (name for name in self.house.controls if name != but)
        return next((name for name in names if self.house.speaks(name) == "standby"), None)

    def victim(self) -> str:
        """Return the leader most of the time, else another one."""
        leader = self.leader() or self.house.controls[0]
        others = [name for name in self.house.controls if name != leader]
        return leader if self.chance.random() < 0.75 else self.chance.choice(others)

    @contextmanager
    def site(self) -> Iterator[str]:
        """Take a site that no other lane is at, preferably one that is above its failsafe limit."""
        with self._lock:
            free = [name for name in SITES if name not in self._taken]
            name = self.chance.choice([site for site in free if self.raised(site)] or free)
            self._taken.add(name)
        try:
            yield name
        finally:
            with self._lock:
                self._taken.discard(name)

    def raised(self, site: str) -> bool:
        """Say whether a site obeys a limit above its failsafe now."""
        state, facts = self.house.seen(site), self.judge.facts[site]
        if state is None or time.monotonic() - state["t"] > 2.0:
            return False
        return bool(state["limit"][0] > facts["failsafe"][0] or state["limit"][1] > facts["failsafe"][1])

    def powered(self) -> int:
        """Return how many sites obey more than their failsafe now: what a fault could turn into harm."""
        return sum(self.raised(site) for site in SITES)

    def board(self) -> dict[str, Any]:
        """Return the newest recorded cycle's board; empty when the database does not answer."""
        try:
            with psycopg.connect(
                self.house.cluster.connection, connect_timeout=1, options="-c statement_timeout=800"
            ) as link:
                row = link.execute("select board from telemetry_cyclerow order by id desc limit 1").fetchone()
        except psycopg.Error:
            return {}
        return dict(row[0]) if row else {}

    def silent(self, site: str) -> bool:
        """Say whether the newest board says that a site is not heard."""
        return any(item["site"] == site and not item["heard"] for item in self.board().get("sites", []))


@dataclass(frozen=True)
class Injection:
    """One fault in force: its kind, what it hit, how long it stays, how it is undone, and what must be known of it.

    `known`: says whether somebody has noticed; None where nothing has to be said (the room rides it out).
    """

    kind: str
    what: str
    seconds: float
    undo: Undo
    known: Callable[[], bool] | None = None


def child_of(house: House, name: str, word: str) -> int | None:
    """Return the process id of a child of one of our processes, by a word of its command line."""
    process = house.processes.get(name)
    if process is None or process.poll() is not None:
        return None
    for pid in children(process.pid):
        try:
            if word in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        except OSError:
            continue
    return None


def feeder_of(house: House, name: str) -> int | None:
    """Return the process id of a process's feeder: a fork of its helper."""
    helper = child_of(house, name, "sandbox.nursery")
    return None if helper is None else next(children(helper), None)


def children(pid: int) -> Iterator[int]:
    """Yield the process ids of a process's children, whichever thread started them; none when it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return
    yield from found
