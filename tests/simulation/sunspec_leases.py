"""What must hold where a device takes writes and knows neither epoch nor stamp: the checker's books of SunSpec sites."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from telemetry.control.grant import Grant
from tests.simulation.feeder import FAILSAFE, FLEXIBLE
from tests.simulation.invariants import LARGEST_STEP, SLACK_S, Held
from tests.simulation.sites import SimulatedSite

if TYPE_CHECKING:
    from tests.simulation.world import World

LATE_S = 12.0
"""A write may come so long after its grant went out: two messages of 3 s each way, and the check's own second."""


@dataclass(frozen=True)
class Sent:
    """A grant on its way, the engine that sent it, and when (true seconds)."""

    grant: Grant
    engine: str
    at: float


@dataclass
class SunSpecLeases:
    """Follows what was sent to each SunSpec site and what a write of it began there."""

    world: World
    _sent: dict[str, deque[Sent]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=40)))

    def sent(self, grant: Grant, engine: str) -> None:
        """Note a grant before its first write."""
        self._sent[grant.site].append(Sent(grant, engine, self.world.now))

    def newest(self, site: str, engine: str) -> Sent | None:
        """Return the grant that an engine sent last: what it writes now belongs to that."""
        return next((item for item in reversed(self._sent[site]) if item.engine == engine), None)

    def leased(self, site: SimulatedSite, engine: str, last: Sent | None) -> None:
        """A write began or renewed a lease: 1 not longer than the grant, 2 nobody's who is led no more, 3 what was sent."""
        checker, now = self.world.checker, self.world.now
        clock = site.monotonic()
        lease = site.lease.lease(clock)
        if lease is None:
            return
        if last is None:
            checker.fail("3", f"{site.site} obeys {lease.limit}, which {engine} never sent")
            return
        newer = [item for item in self._sent[site.site] if item.grant.epoch > last.grant.epoch and now - item.at > LATE_S]
        # After an old backup was brought back a leader may count from below; two at once is what must not be.
        if newer and engine not in {process.name for process in self.world.leaders()}:
            checker.fail("2", f"{site.site} took {engine}'s write of epoch {last.grant.epoch} after {newer[0].grant.epoch}")
        late = now - last.at
        ends = clock + last.grant.ttl_s - late
        if lease.ends > ends + LATE_S + SLACK_S:
            checker.fail(
                "1", f"{site.site} holds a lease {lease.ends - ends:.0f} s beyond that of the grant of {late:.0f} s ago"
            )
        # Its parameters are written one after the other: for a moment one side is the old one.
        before = checker._must_obey(site.site)
        if not lease.limit.within(last.grant.limit.cover(before)):
            checker.fail("3", f"{site.site} obeys {lease.limit}, looser than the grant of {last.grant.limit}")
        known = (site.site, *last.grant.order) in self.world.store.audited
        if not lease.limit.within(before.cover(FAILSAFE)) and not known:
            checker.fail("8", f"{site.site} was raised to {lease.limit} without an entry in the audit log")
        floor = checker.sent[site.site, *last.grant.order][2].cover(before).cover(FAILSAFE)
        step = max(lease.limit.import_w - floor.import_w - LARGEST_STEP * FLEXIBLE.import_w,
                   lease.limit.export_w - floor.export_w - LARGEST_STEP * FLEXIBLE.export_w)  # fmt: skip
        if step > 0:
            checker.fail("relax", f"{site.site} was raised from {floor} to {lease.limit} in one step")
        checker.held[site.site] = Held(replace(last.grant, limit=lease.limit), now + lease.ends - clock, last.at)
