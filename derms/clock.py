"""The clock is an argument. Entry points pass `SystemClock`; tests and the twin pass `VirtualClock`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Two clocks: a wall clock for records, a monotonic one for leases."""

    def now(self) -> datetime:
        """Return the wall time in UTC, for records and schedules."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step or run backwards, for leases and time-outs."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


@dataclass
class VirtualClock:
    """A clock that moves only when told to: a day in a minute, and every test repeatable."""

    start: datetime
    elapsed: float = field(default=0.0)

    def now(self) -> datetime:
        """Return the simulated wall time in UTC."""
        return self.start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        """Return the simulated seconds since the start."""
        return self.elapsed

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self.elapsed += seconds
