"""Is anybody controlling? A verdict from counters that must move: liveness is not progress.

Pure: the watchdog's own monotonic seconds are an argument, so a jump of the wall clock changes nothing. A process is
judged by when its counter was **seen to change**, never by a time that the process wrote itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

LONGEST_WITHIN_S = 20.0  # whatever a process promises: a silence is shown within 30 s (failsafe.md, "operator blind")
APPEAR_S = 25.0
CONTROL_PATH = ("control", "scada", "utility")
"""Processes without which a limit, or the operator's hand on it, is not under control. The others only degrade."""


class State(Enum):
    """What a process says of itself."""

    ACTIVE = "active"
    """It does its work; its counter must move."""
    STANDBY = "standby"
    """It could do the work and does not: another leads."""
    IDLE = "idle"
    """There is nothing for it to do, and it says why; it may have ended."""
    ENDED = "ended"
    """It was told to stop."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One process's progress file. `within_s`: how long its counter may stand still, by its own promise."""

    subject: str
    pid: int
    count: int
    state: State
    within_s: float
    note: str = ""
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Subject:
    """The verdict on one subject; `silent_s`: since when nothing moved, as far as was seen."""

    name: str
    ok: bool
    silent_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on all: `state` is "controlling", "degraded", "not controlling" or "idle"."""

    state: str
    message: str
    subjects: tuple[Subject, ...]

    @property
    def controlling(self) -> bool:
        """Say whether the limits are under control (an idle house has none to control)."""
        return self.state != "not controlling"


@dataclass
class _Seen:
    count: int
    changed_at: float


@dataclass
class Watch:
    """Remembers when each counter last changed. `expected`: subjects that must appear, even if none ever wrote."""

    expected: frozenset[str] = frozenset()
    began: float | None = None
    _seen: dict[tuple[str, int], _Seen] = field(default_factory=dict)

    def judge(self, marks: Iterable[Mark], now: float) -> Verdict:
        """Take one look at all progress files and return the verdict; `now`: the watchdog's monotonic seconds."""
        if self.began is None:
            self.began = now
        found: dict[str, list[Mark]] = {}
        for mark in marks:
            found.setdefault(mark.subject, []).append(mark)
            key = (mark.subject, mark.pid)
            seen = self._seen.get(key)
            if seen is None or seen.count != mark.count:
                self._seen[key] = _Seen(mark.count, now)
        kept = {(mark.subject, mark.pid) for group in found.values() for mark in group}
        self._seen = {key: seen for key, seen in self._seen.items() if key in kept}
        names = sorted(self.expected | set(found))
        return _sum_up(tuple(self._subject(name, found, now) for name in names))

    def _subject(self, name: str, found: Mapping[str, list[Mark]], now: float) -> Subject:
        marks = found.get(name, [])
        if not marks:
            assert self.began is not None
            waited = now - self.began
            return Subject(
                name, waited <= APPEAR_S, waited, "has not started yet" if waited <= APPEAR_S else "never started"
            )
        ages = {mark: now - self._seen[(mark.subject, mark.pid)].changed_at for mark in marks}
        active = [mark for mark in marks if mark.state is State.ACTIVE and mark.alive]
        moving = [mark for mark in active if ages[mark] <= min(mark.within_s, LONGEST_WITHIN_S)]
        if moving:
            return Subject(name, True, min(ages[mark] for mark in moving), "moving")
        if active:
            return Subject(name, False, min(ages[mark] for mark in active), "hangs: alive, but its counter does not move")
        idle = next((mark for mark in marks if mark.state is State.IDLE), None)
        if idle is not None:
            return Subject(name, True, ages[idle], f"idle: {idle.note}")
        return self._left_alone(name, marks, ages)

    @staticmethod
    def _left_alone(name: str, marks: list[Mark], ages: Mapping[Mark, float]) -> Subject:
        """Judge a subject that nobody works for now: a take-over or a planned restart is given its time."""
        silent = min(ages.values())
        # The standby's own counter moves: the silence that counts is that of whoever worked.
        worked = [mark for mark in marks if mark.state in (State.ACTIVE, State.ENDED)]
        since = min((ages[mark] for mark in worked), default=silent)
        if any(mark.state is State.STANDBY and mark.alive for mark in marks):
            return Subject(name, bool(worked) and since <= LONGEST_WITHIN_S, since, "only a standby is left")
        if any(mark.state is State.ENDED for mark in marks):  # a planned restart is back within seconds
            return Subject(name, since <= LONGEST_WITHIN_S, since, "was stopped")
        return Subject(name, False, silent, "died")


def is_control_path(subject: str) -> bool:
    """Say whether the loss of this subject means that limits or orders are not under control."""
    return subject.startswith(CONTROL_PATH)


def _sum_up(subjects: tuple[Subject, ...]) -> Verdict:
    bad = [subject for subject in subjects if not subject.ok]
    worst = [subject for subject in bad if is_control_path(subject.name)]
    if worst:
        return Verdict("not controlling", "NOT CONTROLLING: " + _list(worst), subjects)
    if bad:
        return Verdict("degraded", "DEGRADED: " + _list(bad), subjects)
    controls = [subject for subject in subjects if subject.name.startswith("control")]
    if not any(subject.what == "moving" for subject in controls):
        return Verdict("idle", "; ".join(f"{item.name} {item.what}" for item in controls) or "nothing to control", subjects)
    return Verdict("controlling", "", subjects)


def _list(subjects: list[Subject]) -> str:
    return "; ".join(f"{item.name} {item.what} ({item.silent_s:.0f} s)" for item in subjects)
