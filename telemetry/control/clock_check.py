"""How far this machine's wall clock is from the truth, as far as anybody here can know. Pure.

Two witnesses: the machine's own monotonic clock (a wall clock that leaves it has jumped) and the database's clock.
Where the two clocks agree again the jump was a correction: the witness starts anew. Without a database clock a jump
counts for a quarter of an hour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

REBASE_S = 900.0
AGREES_S = 1.0
WITNESS_S = 30.0


@dataclass
class ClockCheck:
    """Takes both clocks now and then; `offset_s` is the larger of what the witnesses say, with its sign."""

    _anchor: tuple[datetime, float] | None = None
    _jump: float = 0.0
    _jump_at: float = field(default=-1e9)
    _database: tuple[float, float] | None = None

    def take(self, wall: datetime, monotonic: float, *, database_ahead_s: float | None = None) -> float:
        """Take one look: wall clock, monotonic seconds, and by how much the database is ahead (None: not asked)."""
        if self._anchor is None:
            self._anchor = (wall, monotonic)
        if database_ahead_s is not None:
            self._database = (database_ahead_s, monotonic)
        jump = (wall - self._anchor[0]).total_seconds() - (monotonic - self._anchor[1])
        if abs(jump) < AGREES_S / 2:
            self._anchor, self._jump_at = (wall, monotonic), -1e9
        elif self._jump_at < -1e8:
            self._jump_at = monotonic
        self._jump = jump
        witness = self._witness(monotonic)
        corrected = witness is not None and abs(witness) < AGREES_S
        if abs(jump) >= AGREES_S / 2 and (corrected or monotonic - self._jump_at >= REBASE_S):
            self._anchor, self._jump, self._jump_at = (wall, monotonic), 0.0, -1e9
        return self.offset_s(monotonic)

    def offset_s(self, monotonic: float) -> float:
        """Return the offset in seconds; positive: this wall clock is ahead."""
        witness = self._witness(monotonic)
        return max(self._jump, -witness if witness is not None else 0.0, key=abs)

    def _witness(self, monotonic: float) -> float | None:
        if self._database is None or monotonic - self._database[1] > WITNESS_S:
            return None
        return self._database[0]
