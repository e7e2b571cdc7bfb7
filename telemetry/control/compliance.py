"""Does the site obey? The ladder after EREC G100: 15 s over the limit, then 60 s, or twice in 10 min, or > 3 in 24 h.

OBEYS ──15 s over──► WARNED (alarm, re-issue, trim the others)
  ▲                     │ 60 s over, or the 2nd in 10 min, or the 4th in 24 h
  │                     ▼
  └── reset ──────── LOCKED (failsafe; SCADA is asked for the trip; 4 h, or two people)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

EXCURSION_S = 15.0
LOCK_S = 60.0
PAIR_WINDOW_S = 600.0
DAY_S = 86_400.0
DAY_COUNT = 3
RESET_S = 4 * 3600.0


class Stage(Enum):
    """Where a site stands on the ladder."""

    OBEYS = "obeys"
    WARNED = "warned"
    LOCKED = "locked"


@dataclass
class Ladder:
    """One site's record of excursions; `now` is the control room's monotonic seconds."""

    stage: Stage = Stage.OBEYS
    over_since: float | None = None
    locked_at: float | None = None
    excursions: list[float] = field(default_factory=list)
    worst_w: float = 0.0
    _counted: bool = False

    def update(self, excess_w: float, now: float) -> Stage:
        """Take one measurement: watts beyond what the site may be doing (0 when inside); return the stage."""
        if self.stage is Stage.LOCKED:
            if self.locked_at is not None and now - self.locked_at >= RESET_S and excess_w <= 0:
                self._reset()
            return self.stage
        if excess_w <= 0:
            self.over_since, self._counted, self.worst_w = None, False, 0.0
            self.stage = Stage.OBEYS
            return self.stage
        self.worst_w = max(self.worst_w, excess_w)
        if self.over_since is None:
            self.over_since = now
        lasted = now - self.over_since
        if lasted >= EXCURSION_S and not self._counted:
            self._counted = True
            self.excursions = [moment for moment in self.excursions if now - moment < DAY_S] + [now]
            self.stage = Stage.WARNED
        if lasted >= LOCK_S or self._too_often(now):
            self.stage, self.locked_at = Stage.LOCKED, now
        return self.stage

    def _too_often(self, now: float) -> bool:
        if not self._counted:
            return False
        recent = sum(1 for moment in self.excursions if now - moment <= PAIR_WINDOW_S)
        return recent >= 2 or len(self.excursions) > DAY_COUNT

    def _reset(self) -> None:
        self.stage, self.over_since, self.locked_at = Stage.OBEYS, None, None
        self.excursions, self._counted, self.worst_w = [], False, 0.0
