"""`--take-overs 200`: the leader is killed and stopped in turn, as fast as another process is ready to take over."""

from __future__ import annotations

import signal
import time
from typing import Any

from tests.chaos.lanes import wait
from tests.chaos.report import percentile
from tests.chaos.room import Room

READY_S = 120.0
GIVEN_UP_S = 60.0


def take_overs(room: Room, count: int, until: float) -> dict[str, Any]:
    """Return a table of the seconds from the fault to the first cycle of the next leader, by fault."""
    house, found = room.house, {"kill -9": [], "SIGSTOP": []}  # type: ignore[var-annotated]
    for number in range(count):
        if time.monotonic() > until or not wait(lambda: _ready(room), READY_S):
            break
        name = room.leader()
        assert name is not None
        fault = "SIGSTOP" if number % 2 else "kill -9"
        began = time.monotonic()
        if fault == "SIGSTOP":
            house.send(name, signal.SIGSTOP)
        else:
            house.kill(name)
        taken = wait(lambda: room.leader(but=name) is not None, GIVEN_UP_S)  # noqa: B023  (called within this turn)
        found[fault].append(round(time.monotonic() - began, 2) if taken else None)
        if fault == "SIGSTOP":
            house.send(name, signal.SIGCONT)
        else:
            house.start(name)
        print(f"{number + 1:4} {fault:8} {name:10} {found[fault][-1]} s  unsafe {len(room.judge.unsafe)}", flush=True)
    return {fault: _line(seconds) for fault, seconds in found.items()}


def _ready(room: Room) -> bool:
    leader = room.leader()
    if leader is None or room.standby(leader) is None:
        return False
    # A leader that was stopped says "active" until it has looked again: two who say so are not ready.
    return sum(room.house.speaks(name) == "active" for name in room.house.controls) == 1


def _line(seconds: list[float | None]) -> dict[str, Any]:
    known = sorted(item for item in seconds if item is not None)
    return {"count": len(seconds), "not_taken_over": len(seconds) - len(known), "p50_s": percentile(known, 0.5),
            "p99_s": percentile(known, 0.99), "longest_s": known[-1] if known else None, "goal_s": 10.0}  # fmt: skip
