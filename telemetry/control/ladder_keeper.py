"""Which ladders another engine would have to know of: those that moved since they were last stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from telemetry.control.compliance import Ladder, Stage

AT_REST = (Stage.OBEYS.value, None, 0, 0)


class LadderKeeper:
    """Remembers what was handed over for storing. What could not be stored is handed over again: see `lost`."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, ...] | None] = {}
        self._epoch = 0

    def moved(self, ladders: Mapping[str, Ladder], now: float, epoch: int) -> dict[str, dict[str, Any]]:
        """Return the ladders to store, by site; `now`: this engine's monotonic seconds, `epoch`: under which it leads.

        What was handed over under an earlier epoch may have come after another engine led, and was then not written.
        """
        if epoch != self._epoch:
            self._known, self._epoch = dict.fromkeys(self._known), epoch
        found = {}
        for name, ladder in ladders.items():
            stands = (ladder.stage.value, ladder.over_since, len(ladder.excursions), ladder.last_reset)
            if self._known.get(name, AT_REST) != stands:
                found[name] = ladder.to_dict(now)
                self._known[name] = stands
        return found

    def lost(self, names: Iterable[str]) -> None:
        """These could not be stored: a new leader would not know that a site is locked."""
        for name in names:
            self._known[name] = None
