"""Progress counters on disk: every process moves one, the watchdog reads them, the web reads the watchdog's verdict.

No database, no broker, no socket. Files are of fixed size and overwritten in place, so that a full disk stops nobody:
a torn read does not parse and is read again a second later. Times that are compared are the machine's monotonic seconds
with the boot's identity beside them, so that a jump of the wall clock changes nothing.

    counter = Progress("control-ieee123")      # once, at the start
    counter.move()                             # after each cycle that did its work
    counter.stand_by()  /  counter.idle("no agreement in force")  /  counter.end()

    verdict = watchdog_says()                  # in the web, for the banner; never raises, never waits
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from telemetry.control.watch import Mark, State, Subject, Verdict

LOG = logging.getLogger(__name__)
RECORD = 1024
VERDICT_RECORD = 16 * 1024
OLDEST_VERDICT_S = 8.0
SUBJECT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


def folder() -> Path:
    """Return the folder of the progress files, made if need be."""
    path = Path(settings.STATE_DIR) / "progress"
    path.mkdir(parents=True, exist_ok=True)
    return path


def verdict_path() -> Path:
    """Return the file that the watchdog writes."""
    return Path(settings.STATE_DIR) / "watchdog.json"


class Progress:
    """One process's counter. `subject`: "control-<feeder>", "scada", "utility", "web", "studies".

    `within_s`: the longest time between two moves when all is well; the watchdog counts a longer silence as a hang.
    Writing never raises: a counter that cannot be written stands still, and the watchdog says so.
    """

    def __init__(self, subject: str, *, within_s: float = 15.0) -> None:
        if not SUBJECT.fullmatch(subject):
            raise ValueError(f"{subject!r} is not a subject's name")
        self.subject, self.within_s = subject, within_s
        self._path = folder() / f"{subject}@{os.getpid()}.json"
        self._count, self._broken = 0, False
        self._state, self._note = State.ACTIVE, ""

    def move(self) -> None:
        """Count one step of work that was done."""
        self._state, self._note = State.ACTIVE, ""
        self._step()

    def stand_by(self) -> None:
        """Count one step of waiting while another process leads."""
        self._state, self._note = State.STANDBY, ""
        self._step()

    def idle(self, why: str) -> None:
        """Say that there is nothing to do, and why; it stays said after the process has ended."""
        self._state, self._note = State.IDLE, why[:200]
        self._step()

    def end(self) -> None:
        """Say that the process was told to stop."""
        if self._state is not State.IDLE:
            self._state = State.ENDED
        self._step()

    def _step(self) -> None:
        self._count += 1
        record = {
            "subject": self.subject, "pid": os.getpid(), "count": self._count, "state": self._state.value,
            "within_s": self.within_s, "note": self._note, "boot": _boot(), "processes": _namespace(), "wall": time.time(),
        }  # fmt: skip
        try:
            _write(self._path, record, RECORD)
            self._broken = False
        except OSError:
            if not self._broken:
                LOG.exception("progress of %s cannot be written: the watchdog will say that it hangs", self.subject)
            self._broken = True


def marks() -> list[Mark]:
    """Return every progress file that can be read now; files of an earlier boot count as of dead processes."""
    found = []
    for path in sorted(folder().glob("*@*.json")):
        raw = _read(path)
        try:
            if raw is not None:
                elsewhere = raw["processes"] != _namespace()  # another container: its process ids mean nothing here
                alive = raw["boot"] == _boot() and (elsewhere or _lives(int(raw["pid"])))
                count, within_s, state = int(raw["count"]), float(raw["within_s"]), State(raw["state"])
                found.append(Mark(str(raw["subject"]), int(raw["pid"]), count, state, within_s, str(raw["note"]), alive))
        except (KeyError, ValueError):
            continue
    return found


def forget_the_dead(seen: list[Mark]) -> None:
    """Remove files of dead processes where a living one, or a younger word, speaks for the same subject."""
    by_subject: dict[str, list[Mark]] = {}
    for mark in seen:
        by_subject.setdefault(mark.subject, []).append(mark)
    for subject, group in by_subject.items():
        dead = [mark for mark in group if not mark.alive]
        if len(dead) == len(group):  # all dead: the youngest file is the last word
            dead.sort(key=lambda mark: _written(folder() / f"{subject}@{mark.pid}.json"))
            dead = dead[:-1]
        elif not any(mark.alive and mark.state is State.ACTIVE for mark in group):
            continue
        for mark in dead:
            (folder() / f"{subject}@{mark.pid}.json").unlink(missing_ok=True)


def publish(verdict: Verdict, count: int) -> None:
    """Write the watchdog's verdict; raises OSError when it cannot."""
    record = {
        "count": count,
        "monotonic": time.monotonic(),
        "boot": _boot(),
        "wall": time.time(),
        "pid": os.getpid(),
        "state": verdict.state,
        "controlling": verdict.controlling,
        "message": verdict.message,
        "subjects": [
            {"name": item.name, "ok": item.ok, "silent_s": round(item.silent_s, 1), "what": item.what}
            for item in verdict.subjects
        ],
    }
    _write(verdict_path(), record, VERDICT_RECORD)


@dataclass(frozen=True, slots=True)
class Said:
    """What the watchdog last said, and how old that is; older than 8 s is itself "not controlling"."""

    verdict: Verdict
    age_s: float | None
    count: int

    @property
    def controlling(self) -> bool:
        """Say whether the limits are under control."""
        return self.verdict.controlling


def watchdog_says() -> Said:
    """Return the watchdog's verdict as it stands; a missing, old or foreign one is a verdict of its own. Never raises."""
    raw = _read(verdict_path())
    if raw is None:
        return Said(Verdict("not controlling", "NOT CONTROLLING: the watchdog is not running", ()), None, 0)
    try:
        age = time.monotonic() - float(raw["monotonic"]) if raw["boot"] == _boot() else float("inf")
        subjects = tuple(
            Subject(str(item["name"]), bool(item["ok"]), float(item["silent_s"]), str(item["what"]))
            for item in raw["subjects"]
        )
        verdict = Verdict(str(raw["state"]), str(raw["message"]), subjects)
        count = int(raw["count"])
    except (KeyError, TypeError, ValueError):
        return Said(Verdict("not controlling", "NOT CONTROLLING: the watchdog's file cannot be read", ()), None, 0)
    if not 0.0 <= age <= OLDEST_VERDICT_S:
        since = f"silent for {age:.0f} s" if age < float("inf") else "not running since this machine started"
        verdict = Verdict("not controlling", f"NOT CONTROLLING: the watchdog is {since}", subjects)
    return Said(verdict, age, count)


def _write(path: Path, record: dict[str, Any], size: int) -> None:
    line = json.dumps(record, separators=(",", ":")).encode()
    if len(line) >= size:
        record = record | {"subjects": [], "note": ""}
        line = json.dumps(record, separators=(",", ":")).encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.pwrite(descriptor, line.ljust(size), 0)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any] | None:
    for _ in range(3):  # a record that is being overwritten may not parse: look again
        try:
            raw = json.loads(path.read_bytes())
            return raw if isinstance(raw, dict) else None
        except ValueError:
            continue
        except OSError:
            return None
    return None


def _lives(pid: int) -> bool:
    """Say whether a process exists and is more than a body waiting to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown"
