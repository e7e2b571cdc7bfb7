"""The only writers of prices and flow reservations. Times are whole seconds UTC, power watts, energy watt-hours."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from derms.errors import InputError, LocalError
from derms.limits import NOTHING, Limit
from interconnection.queries import agreements_in_force
from telemetry.control.needs import MOST_REQUESTS
from telemetry.protocols.ieee2030_5 import codec
from telemetry.protocols.ieee2030_5.reservations import Ask, Offer, offer
from telemetry.utility_models import Assignment, EndDevice, FlowReservation, PriceInterval, RateComponent, Tariff

INT32, UINT48 = (1 << 31) - 1, (1 << 48) - 1
MOST_BLOCKS = 16
EARLIEST, LATEST, LONGEST_WINDOW_S = 1_577_836_800, 4_102_444_800, 7 * 86_400


@dataclass(frozen=True, slots=True)
class Price:
    """A price from `start` for `duration` seconds by consumption block: ((from, price), ...), the first from 0."""

    start: int
    duration: int
    blocks: tuple[tuple[int, int], ...]
    tier: int = 0

    def __post_init__(self) -> None:
        starts = [item[0] for item in self.blocks]
        if not 1 <= len(starts) <= MOST_BLOCKS or starts[0] != 0 or starts != sorted(set(starts)):
            raise InputError("blocks begin at 0 and rise, 16 at most", where="blocks")
        if self.duration <= 0 or any(abs(item[1]) > INT32 or item[0] > UINT48 for item in self.blocks):
            raise InputError("a price has a duration, and fits into 32 bits with its multiplier", where="blocks")


def publish_tariff(
    name: str, assignments: Iterable[Assignment], *, currency: int = 840, multiplier: int = 0, rate_code: str = "",
    primacy: int = 1,
) -> Tariff:  # fmt: skip
    """Make or change a tariff, and let the devices of these assignments see it besides those that do."""
    facts = {"currency": currency, "multiplier": multiplier, "rate_code": rate_code[:20], "primacy": primacy}
    row, _ = Tariff.objects.update_or_create(name=name, defaults=facts)
    row.assignments.add(*assignments)
    return row


def publish_prices(
    tariff: Tariff, component: str, prices: Sequence[Price], *, now: int, pen: int, exported: bool = False
) -> list[PriceInterval]:
    """Add prices to a component of a tariff; what they overlap is superseded, the newer word counts (2030.5 10.2)."""
    with transaction.atomic():
        flow = {"flow_direction": 19 if exported else 1}
        part, _ = RateComponent.objects.get_or_create(tariff=tariff, name=component[:31], defaults=flow)
        rows = []
        for price in prices:
            end = price.start + price.duration
            part.intervals.filter(end__gt=max(price.start, now), start__lt=end, superseded=None, cancelled=None).update(
                superseded=max(now, price.start)
            )
            rows.append(
                PriceInterval.objects.create(
                    component=part,
                    mrid=codec.mrid_of("tti", secrets.token_hex(16), pen),
                    start=price.start,
                    duration=price.duration,
                    end=end,
                    creation=now,
                    tier=price.tier,
                    blocks=[list(item) for item in price.blocks],
                )
            )
    return rows


def touched(tariff: Tariff) -> set[str]:
    """Return the resources that a change of a tariff's prices changes: their subscribers are told."""
    found = set()
    parts = list(tariff.components.values_list("pk", flat=True))
    for device in set(tariff.assignments.values_list("device_id", flat=True)):
        root = f"/edev/{device}/tp"
        found |= {root, f"{root}/{tariff.pk}/ctti", *(f"{root}/{tariff.pk}/rc/{part}/tti" for part in parts)}
    return found


def reserve(device: EndDevice, content: dict[str, Any], *, now: int, pen: int) -> FlowReservation:
    """Store a FlowReservationRequest, or change it by its mRID, and answer it with what the agreement always gives."""
    energy = content["energyRequested"]["value"] * 10.0 ** content["energyRequested"]["multiplier"]
    power = abs(codec.watts_of(content["powerRequested"]))
    window, status = content["intervalRequested"], content["RequestStatus"]["requestStatus"]
    if status not in (FlowReservation.REQUESTED, FlowReservation.CANCELLED):
        raise InputError("a request is made (0) or cancelled (1)", where="RequestStatus.requestStatus")
    if power <= 0 or energy == 0 or window["duration"] == 0:
        raise InputError("a reservation needs energy, power and a window", where="FlowReservationRequest")
    if not EARLIEST <= window["start"] <= LATEST or window["duration"] > LONGEST_WINDOW_S:
        raise InputError("the window lies between 2020 and 2100 and lasts a week at most", where="intervalRequested")
    ask = Ask(energy, power, window["start"], window["start"] + window["duration"])
    mrid = content["mRID"].upper()
    with transaction.atomic():
        EndDevice.objects.select_for_update().get(pk=device.pk)  # two requests must not be promised the same power
        stands = device.reservations.filter(end__gt=now, status=FlowReservation.REQUESTED).exclude(mrid=mrid)
        if status == FlowReservation.REQUESTED and stands.count() >= MOST_REQUESTS:
            raise LocalError(f"{MOST_REQUESTS} requests are open already", where="FlowReservationRequest")
        found = Offer(0, 0, ask.start, window["duration"])
        if status == FlowReservation.REQUESTED:
            found = offer(ask, _firm(device.site, now, energy), _taken(device, mrid, energy, now), now)
        kept = {name: content[name] for name in content if name not in ("href", "mRID", "RequestStatus")}
        facts: dict[str, Any] = {
            "content": kept, "energy_wh": energy, "power_w": power, "start": ask.start, "end": ask.end,
            "creation": content["creationTime"], "status": status, "changed": now, "offered_wh": found.energy_wh,
            "offered_w": found.power_w, "offer_start": found.start, "offer_duration": found.duration,
        }  # fmt: skip
        fresh = {"response_mrid": codec.mrid_of("frp", secrets.token_hex(16), pen)}
        row, _ = FlowReservation.objects.update_or_create(
            device=device, mrid=mrid, defaults=facts, create_defaults=facts | fresh
        )
        _forget_cancelled(device)
    return row


def _forget_cancelled(device: EndDevice) -> None:
    """Keep the newest cancelled requests only: they bind nothing, and whoever makes and cancels fills no table."""
    old = device.reservations.filter(status=FlowReservation.CANCELLED).order_by("-changed", "-pk")
    device.reservations.filter(pk__in=list(old.values_list("pk", flat=True)[MOST_REQUESTS:])).delete()


def _firm(site: str, now: int, energy: float) -> int:
    """Return what a site's agreement always gives in a direction, W; 0 where no agreement speaks for it."""
    today = datetime.fromtimestamp(now, UTC).date()
    limits = [terms.firm for terms in agreements_in_force(today) if site and terms.site == site]
    limit: Limit = limits[0] if limits else NOTHING
    return limit.import_w if energy > 0 else limit.export_w


def _taken(device: EndDevice, mrid: str, energy: float, now: int) -> list[Offer]:
    rows = device.reservations.filter(status=FlowReservation.REQUESTED, end__gt=now).exclude(mrid=mrid)
    same = [row for row in rows if (row.energy_wh > 0) == (energy > 0)]
    return [Offer(int(row.offered_w), int(row.offered_wh), row.offer_start, row.offer_duration) for row in same]
