"""A site device for wire tests: fixed measurements, a clock that the test moves, the product's own lease."""

from __future__ import annotations

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease
from telemetry.protocols.site_device import Measurements


class Device:
    """Stands behind an outstation or a SunSpec server."""

    def __init__(self, site: str = "depot", nameplate: Limit | None = None, failsafe: Limit | None = None) -> None:
        self.site = site
        self.nameplate = nameplate or Limit(3_000_000, 3_000_000)
        self.lease = SiteLease(failsafe or Limit(600_000, 900_000), self.nameplate, longest_s=60.0)
        self.now = 1000.0
        self.power_w = 250_000.0

    def monotonic(self) -> float:
        return self.now

    def measurements(self) -> Measurements:
        return Measurements(self.power_w, 0.0, 0.9876, 55.5, 1e6, 2_000_000.0, 1_500_000.0)

    def limit_in_force(self) -> Limit:
        return self.lease.limit(self.now)
