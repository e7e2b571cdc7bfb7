"""What a site needs now: from the energy that it asked for, else from what it says it could do. Pure.

A request ("40 kWh by 06:00") weighs as the least power that still fulfils it: energy left over time left. It is a wish of a
stranger: it lapses with its window, never weighs more than the agreement gives, and one that cannot be is no request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from derms.limits import Limit
from telemetry.control.grant import Need, Reading

LONGEST_WINDOW_S = 7 * 86_400.0
MOST_REQUESTS = 64
"""Open requests of one site that are weighed: the rest of a flood is not read."""
LONGEST_STEP_S = 300.0
"""Of a longer silence between two readings nobody knows what flowed."""
MOST_W = 1e9
"""Beyond a gigawatt a multiplier is wrong by a power of ten."""
Key = tuple[str, float]


@dataclass
class NeedBook:
    """One site's requests and what flowed since they were first seen. `now`: the control room's monotonic seconds."""

    delivered_wh: dict[Key, float] = field(default_factory=dict)
    """By request and its energy (a changed one begins anew): magnitude that flowed its way within its window."""
    _before: float | None = None

    def need(self, reading: Reading, ceiling: Limit, now: float) -> tuple[float, float] | None:
        """Return what the site could use now, import and export W, within `ceiling`; None where it does not say.

        A direction without an open request is what the site says it could do, else the whole ceiling.
        """
        asked = [item for item in reading.needs[:MOST_REQUESTS] if believable(item)]
        running = [item for item in asked if item.start <= now < item.end]
        self._count(reading, running)
        known = reading.available_import_w is not None and reading.available_export_w is not None
        if not running and not known:
            return None
        could = (_or(reading.available_import_w, ceiling.import_w), _or(reading.available_export_w, ceiling.export_w))
        wanted = [self._direction([item for item in running if (item.energy_wh > 0) is way], now) for way in (True, False)]
        most = (float(ceiling.import_w), float(ceiling.export_w))
        found = [min(top, can if want is None else want) for want, can, top in zip(wanted, could, most, strict=True)]
        return found[0], found[1]

    def _direction(self, items: list[Need], now: float) -> float | None:
        if not items:
            return None
        total = 0.0
        for item in items:
            left = max(0.0, abs(item.energy_wh) - self.delivered_wh.get(_key(item), 0.0))
            hours = max(item.end - now, 1.0) / 3600.0
            total += min(item.power_w, left / hours)
        return total

    def _count(self, reading: Reading, running: Iterable[Need]) -> None:
        """Add what flowed since the reading before to the requests of its direction, the first to end first."""
        before, self._before = self._before, reading.received
        open_now = sorted(running, key=lambda item: item.end)
        self.delivered_wh = {_key(item): self.delivered_wh.get(_key(item), 0.0) for item in open_now}
        if before is None or not 0.0 < reading.received - before <= LONGEST_STEP_S:
            return
        # A site that posts tells the mean of the time that ends now.
        flowed = reading.power_w * (reading.received - before) / 3600.0
        for item in open_now:
            if (item.energy_wh > 0) is not (flowed > 0):
                continue
            part = min(abs(flowed), abs(item.energy_wh) - self.delivered_wh[_key(item)])
            self.delivered_wh[_key(item)] += part
            flowed -= math.copysign(part, flowed)


def believable(item: Need) -> bool:
    """Say whether a request can be one: finite, some energy, a power, and a window that ends within a week."""
    numbers = (item.energy_wh, item.power_w, item.start, item.end)
    return (
        all(math.isfinite(value) for value in numbers)
        and item.energy_wh != 0.0
        and 0.0 < item.power_w <= MOST_W
        and abs(item.energy_wh) <= MOST_W * LONGEST_WINDOW_S / 3600.0
        and 0.0 < item.end - item.start <= LONGEST_WINDOW_S
    )


def _or(value: float | None, other: float) -> float:
    """A direction that the site says nothing of, or nothing that is a number, counts as the ceiling."""
    return max(0.0, value) if value is not None and math.isfinite(value) else float(other)


def _key(item: Need) -> Key:
    return item.name, item.energy_wh
