"""The site's side of a wire: what an outstation or a SunSpec server needs from the controller behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease


@dataclass(frozen=True, slots=True)
class Measurements:
    """What the site's meters say now; W and var import positive, magnitudes for what is available."""

    power_w: float
    reactive_var: float
    voltage_pu: float
    state_of_charge_percent: float
    energy_wh: float
    available_import_w: float
    available_export_w: float


class SiteDevice(Protocol):
    """A site controller as its wires see it."""

    site: str
    nameplate: Limit
    lease: SiteLease

    def monotonic(self) -> float:
        """Return the site's own monotonic seconds."""
        ...

    def measurements(self) -> Measurements:
        """Return the present measurements."""
        ...

    def limit_in_force(self) -> Limit:
        """Return the limit that the site obeys now, whatever set it."""
        ...


class SiteServer(Protocol):
    """A running server of one site."""

    @property
    def port(self) -> int:
        """Return the TCP port."""
        ...

    def refresh(self) -> None:
        """Take new measurements into the points that are served."""
        ...

    async def close(self) -> None:
        """Stop serving."""
        ...
