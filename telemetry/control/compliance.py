"""Does the site obey? The ladder after EREC G100: 15 s over the limit, then 60 s, or twice in 10 min, or > 3 in 24 h.

OBEYS ──15 s over──► WARNED (alarm, re-issue, trim the others)
  ▲                     │ 60 s over, or the 2nd in 10 min, or the 4th in 24 h
  │                     ▼
  └── reset ──────── LOCKED (failsafe; SCADA is asked for the trip; 4 h, or two people)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

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
    last_reset: int = 0
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

    def reset(self, order: int) -> None:
        """Let the site be raised again: two people said so in `order`; the same order counts once."""
        if order > self.last_reset:
            self._reset()
            self.last_reset = order

    def joined(self, stored: Ladder, now: float, *, young: bool) -> Ladder:
        """Return what to go on with when `stored` is read back; `young`: this one was judged within the last minute.

        The row may be older than this one (it could not be written), or younger (another engine led): a lock of either
        stands, unless the other knows a later reset, or its four hours are over and the other is no longer locked.
        """
        if self.last_reset != stored.last_reset:
            return self if self.last_reset > stored.last_reset else stored
        if Stage.LOCKED in (self.stage, stored.stage):
            locks = [item for item in (self, stored) if item.stage is Stage.LOCKED]
            last = max(locks, key=lambda item: item.locked_at or 0.0)
            over = last.locked_at is not None and now - last.locked_at >= RESET_S
            return last if len(locks) == 2 or not over else (stored if last is self else self)
        found = self if young else stored
        moments = list(found.excursions)
        for moment in (stored if found is self else self).excursions:
            if all(abs(moment - other) >= EXCURSION_S for other in moments):  # the same one is stored a moment off
                moments.append(moment)
        found.excursions = sorted(moments)
        return found

    def to_dict(self, now: float) -> dict[str, Any]:
        """Return plain data that another engine can go on from: ages in seconds, not moments of this machine's clock."""
        return {
            "stage": self.stage.value,
            "over_for_s": None if self.over_since is None else now - self.over_since,
            "locked_for_s": None if self.locked_at is None else now - self.locked_at,
            "excursions_ago_s": [now - moment for moment in self.excursions],
            "worst_w": self.worst_w,
            "counted": self._counted,
            "last_reset": self.last_reset,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], now: float, age_s: float) -> Ladder:
        """Rebuild a ladder stored `age_s` seconds ago; `now` is this machine's monotonic seconds."""

        def moment(ago: Any) -> float | None:
            return None if ago is None else now - age_s - float(ago)

        return cls(
            Stage(raw["stage"]), moment(raw["over_for_s"]), moment(raw["locked_for_s"]),
            [now - age_s - float(ago) for ago in raw["excursions_ago_s"]], float(raw["worst_w"]),
            int(raw["last_reset"]), bool(raw["counted"]),
        )  # fmt: skip

    def _too_often(self, now: float) -> bool:
        if not self._counted:
            return False
        recent = sum(1 for moment in self.excursions if now - moment <= PAIR_WINDOW_S)
        return recent >= 2 or len(self.excursions) > DAY_COUNT

    def _reset(self) -> None:
        self.stage, self.over_since, self.locked_at = Stage.OBEYS, None, None
        self.excursions, self._counted, self.worst_w = [], False, 0.0
