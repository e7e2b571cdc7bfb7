"""The life of a control: scheduled, active, cancelled, superseded, gone. Pure: `now`, whole seconds UTC, is an argument."""

from __future__ import annotations

from dataclasses import dataclass

SCHEDULED, ACTIVE, CANCELLED, CANCELLED_RANDOMLY, SUPERSEDED = range(5)
# The list of what a client may answer to a DERControl (2030.5 table 27); 11, 12 are for messages, 15 is reserved.
RESPONSES = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 252, 253, 254})


@dataclass(frozen=True, slots=True)
class Times:
    """What decides a control's state, seconds UTC."""

    start: int
    duration: int
    creation: int
    cancelled: int | None = None
    superseded: int | None = None
    randomized: bool = False

    @property
    def end(self) -> int:
        """Return the first second after the control."""
        return self.start + self.duration


def listed(times: Times, now: int) -> bool:
    """Say whether a control stands in its list: until its original end, cancelled and superseded ones too."""
    return now < times.end


def status(times: Times, now: int) -> tuple[int, int]:
    """Return (EventStatus.currentStatus, when it came to be)."""
    if (
        times.superseded is not None
        and now >= times.superseded
        and (times.cancelled is None or times.superseded <= times.cancelled)
    ):
        return SUPERSEDED, times.superseded
    if times.cancelled is not None:
        return (CANCELLED_RANDOMLY if times.randomized else CANCELLED), times.cancelled
    if now < times.start:
        return SCHEDULED, times.creation
    return ACTIVE, times.start


def overlaps(one: Times, other: Times) -> bool:
    """Say whether two controls share a second."""
    return one.start < other.end and other.start < one.end


def next_creation(last: int, now: int) -> int:
    """Return a creation time that only rises: clients differ about two controls of one second."""
    return max(now, last + 1)
