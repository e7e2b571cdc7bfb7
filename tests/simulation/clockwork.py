"""An asyncio loop whose time is a number: a night passes in a second, and the same seed gives the same night."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)


class Deadlock(RuntimeError):
    """Nothing is due any more although somebody still waits."""


class _Jump(selectors.BaseSelector):
    """Instead of waiting for sockets, move the loop's time to the next timer."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Take a file (the loop's own wake-up pipe) and never look at it."""
        key = selectors.SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Let a file go."""
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time that the loop would have slept be over."""
        if timeout is None:
            raise Deadlock("no timer is left")
        self.elapsed += max(0.0, timeout)
        return []

    def get_map(self) -> Any:
        """Return what is registered."""
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the virtual seconds since the start."""
        return self._jump.elapsed


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(work)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()


class MachineClock:
    """A machine's two clocks: monotonic from its own zero and at its own rate, wall with an offset that may jump."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, zero: float = 0.0, rate: float = 1.0) -> None:
        self._loop, self._zero, self._rate = loop, zero, rate
        self.wall_offset_s = 0.0

    def monotonic(self) -> float:
        """Return this machine's monotonic seconds."""
        return self._zero + self._loop.time() * self._rate

    def now(self) -> datetime:
        """Return this machine's wall time in UTC."""
        return EPOCH + timedelta(seconds=self._loop.time() + self.wall_offset_s)
