"""Keeps a flood of bad frames from becoming a flood of log lines."""

from __future__ import annotations

import logging
from collections.abc import Callable

EVERY_S = 60.0
AT_MOST = 5


class Sparing(logging.Filter):
    """Lets each kind of line through five times a minute; the next minute says how many were swallowed."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line goes out."""
        now = self._monotonic()
        # The template, not the text: addresses and ports differ from line to line.
        kind = (record.name, record.lineno, str(record.msg).partition("\n")[0][:60])
        began, count = self._kinds.get(kind, (now, 0))
        if now - began >= EVERY_S:
            swallowed, began, count = count - AT_MOST, now, 0
            if swallowed > 0:
                record.msg = f"{record.msg} (and {swallowed} more like it in the last minute)"
        self._kinds[kind] = (began, count + 1)
        if len(self._kinds) > 1000:
            self._kinds.clear()
        return count < AT_MOST


def spare(monotonic: Callable[[], float], *names: str) -> None:
    """Put a sparing filter on the root's handlers' source: the named loggers and what is below them."""
    sparing = Sparing(monotonic)
    for name in names:
        for known in [name, *(other for other in logging.root.manager.loggerDict if other.startswith(f"{name}."))]:
            logging.getLogger(known).addFilter(sparing)
