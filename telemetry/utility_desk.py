"""The control room's window on IEEE 2030.5: all sites in a few statements a cycle, and its word that grants are current."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async

from derms.clock import Clock
from derms.limits import Limit
from telemetry.database import fresh
from telemetry.protocols.ieee2030_5.codec import limit_of, watts_of
from telemetry.protocols.ieee2030_5.resources import base
from telemetry.utility_models import Control, EndDevice, FlowReservation, MeterStream, Posted
from telemetry.utility_queries import latest_power, signed
from telemetry.utility_services import VOUCH_S

LOOK_S = 1.0
LONGEST_CHAIN_S = 900
RECEIVED, STARTED = 1, 2
REFUSALS = frozenset({4, 8, 10, 13, 14, 252, 253, 254})


@dataclass(frozen=True, slots=True)
class Held:
    """The grant that a site said it obeys."""

    limit: Limit
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Energy that a site asked for: Wh (import positive) at up to `power_w` between two moments, seconds UTC."""

    energy_wh: float
    power_w: float
    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class SiteView:
    """What one site posted, newest of each; W and var import positive; None where it said nothing."""

    power_w: float | None = None
    power_at: int | None = None
    reactive_var: float = 0.0
    voltage_pu: float | None = None
    held: Held | None = None
    state_of_charge_percent: float | None = None
    available_import_w: float | None = None
    available_export_w: float | None = None
    connected: bool | None = None
    wanted: tuple[Wanted, ...] = ()


@dataclass
class UtilityDesk:
    """Shared by all sites of one control process; `look` asks the database at most once a second."""

    clock: Clock
    views: dict[str, SiteView] = field(default_factory=dict)
    sites: set[str] = field(default_factory=set)
    looked: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> None:
        """Refresh the views and vouch for what was lent."""
        async with self._lock:
            now = self.clock.monotonic()
            if self.looked is not None and now - self.looked < LOOK_S:
                return
            seconds = int(self.clock.now().timestamp())
            self.views = await sync_to_async(fresh(views))(sorted(self.sites), seconds)
            self.looked = now


def views(sites: list[str], now: int) -> dict[str, SiteView]:
    """Return what each site posted; {site: view} for those that a device speaks for. Six statements."""
    devices = {row.pk: row.site for row in EndDevice.objects.filter(site__in=sites, own=False)}
    EndDevice.objects.filter(pk__in=devices).update(lent_until=now + VOUCH_S)
    streams = MeterStream.objects.filter(point__device_id__in=devices)
    powers = latest_power(streams)
    others: dict[tuple[int, str], MeterStream] = {}
    for row in streams.filter(measures__in=("reactive", "voltage"), last_at__isnull=False).select_related("point"):
        others[row.point.device_id, row.measures] = row
    held = confirmed(list(devices), now)
    posted: dict[tuple[int, str], dict[str, Any]] = {}
    for item in Posted.objects.filter(device_id__in=devices, kind__in=KINDS).order_by("id"):
        posted[item.device_id, item.kind] = item.content
    wanted: dict[int, list[Wanted]] = {}
    open_now = FlowReservation.objects.filter(device_id__in=devices, end__gt=now, status=FlowReservation.REQUESTED)
    for ask in open_now:
        wanted.setdefault(ask.device_id, []).append(Wanted(ask.energy_wh, ask.power_w, ask.start, ask.end, ask.mrid))
    found: dict[str, SiteView] = {}
    for number, site in devices.items():
        power, at = powers.get(number, (None, None))
        reactive, voltage = others.get((number, "reactive")), others.get((number, "voltage"))
        view = SiteView(
            power_w=power,
            power_at=at,
            reactive_var=signed(reactive) if reactive else 0.0,
            voltage_pu=_per_unit(voltage, posted.get((number, "DERSettings"))),
            held=held.get(number),
            wanted=tuple(wanted.get(number, ())),
            **reported(posted.get((number, "DERStatus")), posted.get((number, "DERAvailability"))),
        )
        found[site] = _newer(found.get(site), view)
    return found


KINDS = ("DERStatus", "DERAvailability", "DERSettings")


def reported(status: dict[str, Any] | None, availability: dict[str, Any] | None) -> dict[str, Any]:
    """Return what DERStatus and DERAvailability say in our words (2030.5 DER function set)."""
    status, availability = status or {}, availability or {}
    charge = status.get("stateOfChargeStatus")
    connected = status.get("genConnectStatus") or status.get("storConnectStatus")
    available = availability.get("statWAvail")
    return {
        "state_of_charge_percent": charge["value"] / 100.0 if charge else None,
        "available_export_w": max(0.0, watts_of(available)) if available else None,
        "connected": bool(int(connected["value"], 16) & 1) if connected else None,
    }


def confirmed(devices: list[int], now: int) -> dict[int, Held]:
    """Return for each device the running grant whose start it confirmed, as its client reads it: rounded down.

    A control that follows such a one without a gap and with the same modes counts once it was received: the client goes
    over to it by itself, and says so a poll later.
    """
    rows = Control.objects.filter(
        device_id__in=devices, start__lte=now, end__gt=now - LONGEST_CHAIN_S, cancelled=None, epoch__isnull=False
    )
    started: dict[tuple[int, int], dict[str, Any]] = {}
    found: dict[int, Held] = {}
    for row in rows.prefetch_related("responses").order_by("start", "creation"):
        answers = {item.status for item in row.responses.all()}
        follows = RECEIVED in answers and not answers & REFUSALS and started.get((row.device_id, row.start)) == row.modes
        if STARTED not in answers and not follows:
            continue
        if row.superseded is not None and row.superseded <= now:
            continue
        started[row.device_id, row.end] = row.modes
        if row.end <= now:
            continue
        assert row.epoch is not None and row.sequence is not None
        held = Held(limit_of(base(row.modes)), row.epoch, row.sequence)
        before = found.get(row.device_id)
        if before is None or (before.epoch, before.sequence) < (held.epoch, held.sequence):
            found[row.device_id] = held
    return found


def _newer(one: SiteView | None, other: SiteView) -> SiteView:
    return other if one is None or (other.power_at or 0) > (one.power_at or 0) else one


def _per_unit(voltage: MeterStream | None, settings: dict[str, Any] | None) -> float | None:
    nominal = (settings or {}).get("setVNom")
    if voltage is None or not nominal:
        return None
    volts = nominal["value"] * 10.0 ** nominal["multiplier"]
    return signed(voltage) / volts if volts > 0 else None
