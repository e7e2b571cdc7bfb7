"""A progress bar on a terminal: share done, rate, time left. Silent where nobody looks."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

WIDTH = 30


class Bar:
    """Shows how far something is; a new line when it ends."""

    def __init__(self, title: str, *, stream: TextIO) -> None:
        self._title, self._stream = title, stream
        self._start = time.monotonic()
        self._shown = 0.0
        self._live = stream.isatty()

    def update(self, done: int, total: int) -> None:
        """Show `done` of `total`; at most ten times a second."""
        now = time.monotonic()
        if not self._live or (now - self._shown < 0.1 and done < total):
            return
        self._shown = now
        share = done / max(1, total)
        seconds = now - self._start
        left = seconds / share - seconds if share > 0 else 0.0
        filled = int(share * WIDTH)
        drawn = "#" * filled + "." * (WIDTH - filled)
        self._stream.write(f"\r{self._title:16} [{drawn}] {share:4.0%} {seconds:4.0f} s, {left:4.0f} s left ")
        self._stream.flush()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._stream.write("\n")
