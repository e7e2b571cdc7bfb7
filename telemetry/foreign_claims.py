"""Sites that report a grant which this engine did not lend: an old backup of the database, another engine, or a lie.

Pure. An honest site falls silent about it once the lead is above what it holds; one that goes on lies, or is broken.
"""

from __future__ import annotations

from telemetry.control.grant import Reading

MOST_JUMP = 10_000
"""A site that reports an epoch further above ours than this is not believed: it would use up the numbers."""
MOST_CLAIMS = 3
CLAIMS_WITHIN_S = 600.0
ISOLATED_S = 86_400.0


class ForeignClaims:
    """Which sites claim a foreign grant, and which do so under one epoch after another. `now`: monotonic seconds."""

    def __init__(self) -> None:
        self.highest = 0
        """The highest epoch that a believed site reported in this cycle and that this engine did not lend."""
        self._claims: dict[str, dict[int, float]] = {}
        self._isolated: dict[str, float] = {}

    def begin(self) -> None:
        """A cycle begins to read its sites."""
        self.highest = 0

    def heard(self, reading: Reading | None, epoch: int | None, sequence: int, now: float) -> bool:
        """Take one reading; `epoch`, `sequence`: the newest lent here. True: from now on the site is not believed."""
        if reading is None or reading.epoch is None or reading.sequence is None or epoch is None:
            return False
        if (reading.epoch, reading.sequence) <= (epoch, sequence) or reading.epoch > epoch + MOST_JUMP:
            return False
        if self.isolated(reading.site, now):
            self._isolated[reading.site] = now
            return False
        found = {key: at for key, at in self._claims.get(reading.site, {}).items() if now - at <= CLAIMS_WITHIN_S}
        found.setdefault(epoch, now)
        self._claims[reading.site] = found
        if len(found) >= MOST_CLAIMS:
            self._isolated[reading.site] = now
            return True
        self.highest = max(self.highest, reading.epoch)
        return False

    def isolated(self, site: str, now: float) -> bool:
        """Say whether a site lied so lately that it is not raised, and that its claims move nothing."""
        since = self._isolated.get(site)
        return since is not None and now - since <= ISOLATED_S
