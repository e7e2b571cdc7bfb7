"""A site in virtual time: the product's own lease, behind the product's own DNP3 outstation, with a body that can fail."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from typing import Any

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.outstation import Dnp3SiteServer
from telemetry.protocols.site_device import Measurements
from tests.simulation.clockwork import MachineClock
from tests.simulation.feeder import FAILSAFE, FLEXIBLE

RAMP_W_PER_S = 200_000.0
LEASE_S = 60.0
ONLINE = 1
GOOD, NAN, THOUSAND, SIGN, FROZEN = "good", "nan", "x1000", "sign", "frozen"


class SimulatedSite:
    """One site: its clock, its stored settings, its lease, its vehicles, its meter. A `SiteDevice`."""

    def __init__(self, site: str, loop: asyncio.AbstractEventLoop, chance: random.Random) -> None:
        self.site = site
        self.nameplate, self.failsafe = FLEXIBLE, FAILSAFE
        self._chance = chance
        self._clock = MachineClock(loop, zero=chance.random() * 1e6, rate=1.0 + chance.uniform(-1e-4, 1e-4))
        self._stored_floor = (-1, -1)
        self.lease = self._boot()
        self.off_until = self.stuck_until = 0.0
        self.tripped_until = 0.0
        self.power_w = self.wish_w = self._shown_w = 0.0
        self.meter = GOOD
        self.heard: deque[tuple[str, int, int]] = deque(maxlen=200)  # the last controls, of many grants
        self.stamped: dict[float, float] = {}  # raw stamp → the true second at which it was given
        self.server = Dnp3SiteServer(self, "127.0.0.1", 0)  # never started: its points are asked in memory

    def _boot(self) -> SiteLease:
        return SiteLease(self.failsafe, self.nameplate, longest_s=LEASE_S, order_floor=self._stored_floor)

    def monotonic(self) -> float:
        """Return the site's own clock."""
        return self._clock.monotonic()

    def limit_in_force(self) -> Limit:
        """Return what the site obeys."""
        return self.lease.limit(self.monotonic())

    def measurements(self) -> Measurements:
        """Return what its meter says, true or not."""
        if self.meter != FROZEN:
            self._shown_w = self.power_w
        shown = {THOUSAND: self._shown_w * 1000.0, SIGN: -self._shown_w}.get(self.meter, self._shown_w)
        return Measurements(shown, 0.0, 1.0, 50.0, 1e6, float(self.nameplate.import_w), float(self.nameplate.export_w))

    def power_cycle(self, now: float, seconds: float) -> None:
        """Lose power for a while: the lease is lost, the stored floor is not."""
        self._stored_floor = self.lease.order_floor
        self.off_until = now + seconds
        self.lease = self._boot()
        self.server._staged.clear()

    def step(self, seconds: float, now: float) -> None:
        """Move the power towards what the vehicles wish, inside the limit, within the ramp."""
        if self._chance.random() < seconds / 300.0:  # mostly all that it can, and mostly as the price tells everybody
            alike = self._chance.random() < 0.8
            side = (1 if math.sin(now / 1700.0) > 0 else -1) if alike else self._chance.choice((1, -1))
            self.wish_w = side * self._chance.choice((0.2e6, 2.0e6, 2.0e6, 2.0e6))
        if now < max(self.off_until, self.tripped_until):
            self.power_w = 0.0
            return
        held = self.nameplate if now < self.stuck_until else self.limit_in_force()
        reach = RAMP_W_PER_S * seconds
        self.power_w += max(-reach, min(reach, held.clamp(self.wish_w) - self.power_w))

    def obeys(self, now: float) -> bool:
        """Say whether it follows its limit now (it is not stuck, and the ramp down from being stuck is over)."""
        return now >= self.stuck_until + 60.0

    # The wire: what the outstation answers, point by point. None is silence.

    def polled(self, now: float) -> dict[str, Any] | None:
        """Return the points of one poll, index → [value, flags]."""
        if now < self.off_until:
            return None
        values: dict[str, dict[str, list[float]]] = {"AI": {}, "BI": {}}
        for point in p.INPUTS:
            flags = 0 if point.index == p.AI_POWER_W and self.meter == NAN else ONLINE
            values[point.kind][str(point.index)] = [float(self.server._value(point.index, point.kind)), flags]
        self.stamped[values["AI"][str(p.AI_STAMP)][0]] = now
        return {"ok": True, "session": 1, "analogs": values["AI"], "binaries": values["BI"]}

    def operated(self, now: float, kind: str, index: int, value: int) -> bool | None:
        """Select and operate one point; False is a refusal."""
        self.heard.append((kind, index, value))
        if now < self.off_until:
            return None
        if kind == "AO":
            output = next(output for output in p.OUTPUTS if output.index == index)
            if self.server._range(output)(value) is not None:
                return False
            self.server._stage(index)(value)
            return True
        if self.server._check_latch(value) is not None:
            return False
        floor = self.lease.order_floor
        self.server._latch(value)
        if self.lease.order_floor != floor:
            self.accepted(now)
        return True

    def accepted(self, now: float) -> None:
        """Hook: a grant was taken into force (the checker listens here)."""
