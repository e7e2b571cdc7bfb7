"""A site's controller: shares what the limit allows among the vehicles that need it most. Pure: `now` is an argument.

Departure first (least slack charges first), 2 % kept below the limit, break before make (a charger is raised only into
room that the meter shows to be free), and a vehicle that charges keeps its place for half an hour. Where the limit makes
a departure impossible the site reports the kilowatt-hours short; it never breaks the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease
from telemetry.protocols.site_device import Measurements
from telemetry.twin.fleet import Visit
from telemetry.twin.vehicle import ChargerType, FloatArray, into_battery_w, most_charge_w

KEEP_BELOW = 0.98
STICKY_S = 1800.0
ENOUGH = 0.005


@dataclass
class Tally:
    """What became of the fleet so far: energy at the chargers' mains side, and what the batteries lack."""

    delivered_wh: float = 0.0
    late: int = 0
    short_wh: float = 0.0
    failsafe_s: float = 0.0


class SiteController:
    """One site with its chargers. Seconds are the site's own monotonic clock, 0 at noon of the story's day."""

    def __init__(self, site: str, nameplate: Limit, lease: SiteLease, visits: Sequence[Visit], kind: ChargerType) -> None:
        self.site, self.nameplate, self.lease, self.kind = site, nameplate, lease, kind
        self.visits = tuple(visits)
        count = len(self.visits)
        self._arrives = np.array([visit.arrives_s for visit in self.visits])
        self._leaves = np.array([visit.leaves_s for visit in self.visits])
        self._wanted = np.array([visit.leaves_with for visit in self.visits])
        self.state: FloatArray = np.array([visit.arrives_with for visit in self.visits])
        self.power: FloatArray = np.zeros(count)
        self._gone: NDArray[np.bool_] = np.zeros(count, dtype=bool)
        self.now = 0.0
        self.voltage_pu = 1.0
        self.tally = Tally()

    def monotonic(self) -> float:
        """Return the site's own clock."""
        return self.now

    def limit_in_force(self) -> Limit:
        """Return the limit that this site obeys now."""
        return self.lease.limit(self.now)

    def power_w(self) -> float:
        """Return the power at the PCC, import positive."""
        return float(self.power.sum())

    def step(self, now: float, voltage_pu: float) -> None:
        """Live until `now`: vehicles come and go, chargers follow, batteries fill."""
        seconds = now - self.now
        self.now, self.voltage_pu = now, voltage_pu
        self._depart()
        plugged = self._plugged()
        wish = np.where(plugged, self._need_w(plugged), 0.0)
        target = self._allot(wish, KEEP_BELOW * self.limit_in_force().import_w)
        reach = self.kind.ramp_w_per_s * seconds
        self.power = np.clip(target, self.power - reach, self.power + reach)
        self.power[~plugged] = 0.0
        stored = into_battery_w(self.power, self.kind.rated_w) * seconds / 3600.0
        self.state = np.minimum(1.0, self.state + stored / self.kind.battery_wh)
        self.tally.delivered_wh += self.power_w() * seconds / 3600.0
        if self.lease.in_failsafe(now):
            self.tally.failsafe_s += seconds

    def measurements(self) -> Measurements:
        """Return what the site's meters show."""
        plugged = self._plugged()
        room = most_charge_w(self.state, self.kind)[plugged]
        holds = self.state[plugged]
        return Measurements(
            power_w=self.power_w(),
            reactive_var=0.0,
            voltage_pu=self.voltage_pu,
            state_of_charge_percent=float(100 * holds.mean()) if len(holds) else 0.0,
            energy_wh=float(holds.sum() * self.kind.battery_wh),
            available_import_w=float(room.sum()),
            available_export_w=float((holds > 0.2).sum() * self.kind.rated_w),
        )

    def _plugged(self) -> NDArray[np.bool_]:
        return (self._arrives <= self.now) & ~self._gone

    def _depart(self) -> None:
        leaving = ~self._gone & (self._leaves <= self.now)
        for place in np.flatnonzero(leaving):
            short = self._wanted[place] - self.state[place]
            if short > ENOUGH:
                self.tally.late += 1
                self.tally.short_wh += float(short * self.kind.battery_wh)
            self._gone[place] = True

    def _need_w(self, plugged: NDArray[np.bool_]) -> FloatArray:
        """Return what each vehicle would take: as much as it can until it has what it wants."""
        return np.where(plugged & (self.state < self._wanted), most_charge_w(self.state, self.kind), 0.0)

    def _allot(self, wish: FloatArray, cap_w: float) -> FloatArray:
        """Return each charger's target: least slack first, all together at most `cap_w`, break before make."""
        missing_wh = np.maximum(0.0, self._wanted - self.state) * self.kind.battery_wh
        slack_s = (self._leaves - self.now) - missing_wh / (0.9 * self.kind.rated_w) * 3600.0
        order = np.argsort(slack_s - np.where(self.power > 0, STICKY_S, 0.0), kind="stable")
        target = np.zeros_like(wish)
        left = max(0.0, cap_w)
        for place in order:
            if wish[place] <= 0.0:
                continue
            given = min(wish[place], left)
            if given >= self.kind.least_w:
                target[place] = given
                left -= given
        lower = np.minimum(target, self.power)
        rises = target - lower
        room = max(0.0, cap_w - self.power_w())
        total = rises.sum()
        return lower + rises * min(1.0, room / total) if total > 0 else lower


class HoldsLastLimit(SiteController):
    """A site that wrongly keeps its last limit when the link is gone: here to show why the failsafe matters."""

    def __init__(self, site: str, nameplate: Limit, lease: SiteLease, visits: Sequence[Visit], kind: ChargerType) -> None:
        super().__init__(site, nameplate, lease, visits, kind)
        self._last = lease.failsafe

    def limit_in_force(self) -> Limit:
        """Return the last limit ever lent: the defect that the story shows."""
        lease = self.lease.lease(self.now)
        if lease is not None:
            self._last = lease.limit
        return self._last


class Unmanaged(SiteController):
    """A site that nobody limits but its own nameplate."""

    def limit_in_force(self) -> Limit:
        """Return the nameplate."""
        return self.nameplate
