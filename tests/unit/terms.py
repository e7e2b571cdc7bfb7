"""Terms for tests of the control room."""

from __future__ import annotations

from datetime import date

from derms.agreement import Curtailment, Terms
from derms.limits import Limit


def terms(site: str = "depot", *, failsafe: Limit | None = None, flexible: Limit | None = None, bus: str = "80") -> Terms:
    """Return a plain agreement: 600/900 kW failsafe, 3 MW flexible, 60 s lease."""
    firm = failsafe or Limit(600_000, 900_000)
    return Terms(
        site=site,
        feeder="test",
        feeder_sha256="0" * 64,
        bus=bus,
        phases=(1, 2, 3),
        firm=firm,
        flexible=flexible or Limit(3_000_000, 3_000_000),
        failsafe=firm,
        ramp_w_per_s=200_000,
        response_s=5,
        telemetry_s=10,
        lease_s=60,
        protocol="dnp3",
        curtailment=Curtailment(729, 2.4, 900, 3.0),
        starts=date(2026, 1, 1),
        ends=None,
        study_sha256="0" * 64,
    )
