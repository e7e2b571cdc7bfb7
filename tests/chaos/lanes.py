"""Lanes: threads that inject faults one after the other, one lane for the control path, two for sites and their links.

A fault is injected where it could do harm: a lane waits (a bounded while) until sites are above their failsafe limits.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import injections, site_injections
from tests.chaos.room import Injection, Room

WHOLE_S, POWER_S, KNOWN_S = 90.0, 60.0, 30.0
SITE_LANES = 2


@dataclass
class Run:
    """What the lanes share: when to stop, what was done, what broke in the test itself."""

    room: Room
    most: int
    until: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: int = 0

    def next(self) -> int | None:
        """Return the number of the next injection, or None when there is none."""
        with self._lock:
            if self._begun >= self.most or time.monotonic() > self.until or self.broken:
                return None
            self._begun += 1
            return self._begun

    def live(self) -> None:
        """Run all lanes to their end."""
        lanes = [threading.Thread(target=self._guarded, args=(_control_lane, 0), daemon=True)]
        lanes += [
            threading.Thread(target=self._guarded, args=(_site_lane, number), daemon=True) for number in range(SITE_LANES)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def _guarded(self, lane: Callable[[Run, int], None], number: int) -> None:
        try:
            lane(self, number)
        except Exception:  # noqa: BLE001  (the run ends and says why: a lane that died would count as nothing found)
            self.broken.append(traceback.format_exc())

    def inject(self, make: Callable[[], Injection], whole: Callable[[], bool], lane: str) -> None:
        """Inject one fault, watch it, undo it, wait until all is whole; write it down."""
        room = self.room
        power, began, known_s = room.powered(), time.monotonic(), None
        injection = make()
        made = time.monotonic()
        # What the board says already, from an earlier fault, tells nothing of this one.
        tells = injection.known if injection.known is not None and not injection.known() else None
        while (now := time.monotonic()) - made < injection.seconds or (tells and known_s is None):
            if tells is not None and known_s is None and tells():
                known_s = round(time.monotonic() - began, 2)
            if now - made > max(injection.seconds, KNOWN_S):
                break
            time.sleep(0.1)
        injection.undo()
        undone = time.monotonic()
        whole_s = round(time.monotonic() - undone, 2) if wait(whole, WHOLE_S) else None
        row = {"kind": injection.kind, "what": injection.what, "lane": lane, "power": power,
               "expects": tells is not None, "known_s": known_s, "whole_s": whole_s}  # fmt: skip
        self.rows.append(row)
        seen = f"possible {room.judge.possible:.2f}  unsafe {len(room.judge.unsafe)}"
        print(f"{len(self.rows):4} {injection.kind:22} {injection.what:18} raised {power}  known {known_s}  "
              f"whole {whole_s}  {seen}", flush=True)  # fmt: skip


def _control_lane(run: Run, _: int) -> None:
    while run.next() is not None:
        kind = _in_turn(run)
        wait(lambda: run.room.powered() > 0, POWER_S)
        run.inject(lambda kind=kind: kind(run.room), lambda: whole(run.room), "control")  # type: ignore[misc]


def _in_turn(run: Run) -> Callable[[Room], Injection]:
    done = sum(row["lane"] == "control" for row in run.rows)
    return injections.KINDS[done % len(injections.KINDS)]


def _site_lane(run: Run, number: int) -> None:
    done = 0
    while run.next() is not None:
        with run.room.site() as site:
            wait(lambda: run.room.raised(site), POWER_S / 2)
            kinds = site_injections.KINDS
            kind = kinds[(done + number * len(kinds) // SITE_LANES) % len(kinds)]
            if number == 0 and done % 10 == 9:
                kind = site_injections.kill_web
            run.inject(lambda kind=kind, site=site: kind(run.room, site), lambda: served(run.room, site),
                       f"site {number}")  # type: ignore[misc]  # fmt: skip
        done += 1


def whole(room: Room) -> bool:
    """Every process of the control path runs, one leads, the others stand by, and the watchdog is content."""
    house = room.house
    states = sorted(house.speaks(name) for name in house.controls)
    wanted = ["active", *["standby"] * (len(house.controls) - 1)]
    return states == wanted and house.watchdog().get("controlling") is True and house.alive("watchdog")


def served(room: Room, site: str) -> bool:
    """A site's word is fresh and it holds a lease again."""
    seen = room.house.seen(site)
    return seen is not None and time.monotonic() - seen["t"] < 2.0 and not seen["failsafe"]


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; say whether it did in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False
