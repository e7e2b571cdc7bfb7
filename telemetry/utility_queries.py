"""The only readers of the utility server's tables for the rest of the program; W import positive."""

from __future__ import annotations

from dataclasses import dataclass

from derms.limits import Limit
from telemetry.protocols.ieee2030_5.codec import limit_of
from telemetry.protocols.ieee2030_5.resources import base
from telemetry.utility_models import ControlResponse, MeterValue

ACTIVE_POWER_UOM = 38
REVERSE_FLOW = 19
STARTED = 2
AT_PREMISES = "[2367abef]$"
"""roleFlags bit 1: the point is the premises' aggregation point, not one device behind it."""


@dataclass(frozen=True, slots=True)
class Held:
    """The grant that a site said it obeys."""

    limit: Limit
    epoch: int
    sequence: int


def last_power(site: str) -> tuple[float, int] | None:
    """Return the last active power at the connection point that a site posted, and the moment it speaks for (seconds UTC).

    That is the end of its period, or its arrival where the device's clock runs ahead: an old reading sent late stays old.
    """
    row = (
        MeterValue.objects.filter(stream__point__device__site=site, stream__reading_type__uom=ACTIVE_POWER_UOM)
        .filter(stream__point__content__roleFlags__iregex=AT_PREMISES)
        .select_related("stream")
        .order_by("-start", "-id")
        .first()
    )
    if row is None:
        return None
    kind = row.stream.reading_type
    sign = -1.0 if kind.get("flowDirection") == REVERSE_FLOW else 1.0
    return sign * row.value * 10.0 ** kind.get("powerOfTenMultiplier", 0), min(row.at, row.start + row.duration)


def confirmed(site: str, now: int) -> Held | None:
    """Return the running grant whose start the site confirmed, if any; as the client reads it, rounded down."""
    row = (
        ControlResponse.objects.filter(
            control__device__site=site,
            status=STARTED,
            control__end__gt=now,
            control__cancelled=None,
            control__epoch__isnull=False,
        )
        .select_related("control")
        .order_by("-control__epoch", "-control__sequence")
        .first()
    )
    if row is None or row.control.epoch is None or row.control.sequence is None:
        return None
    return Held(limit_of(base(row.control.modes)), row.control.epoch, row.control.sequence)
