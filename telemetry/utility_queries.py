"""The only readers of the utility server's tables for the rest of the program; W and Wh import positive, times aware UTC.

Pages: `device_list`, `device_detail`, `subscription_log`. Alarms: `certificate_alarms`. The control room reads with
`telemetry.utility_desk`. Whatever changes something stands in `telemetry.utility_services`: `enrol`, `allow`, `resend`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Q

from derms.errors import InputError, NotFound
from telemetry.protocols.ieee2030_5 import certificates, events
from telemetry.utility_models import (
    Control,
    ControlResponse,
    EndDevice,
    FlowReservation,
    MeterStream,
    Posted,
    Program,
    WireIdentity,
    WireNotification,
)

STATES = ("scheduled", "active", "cancelled", "cancelled", "superseded")
ANSWERS = {
    1: "received", 2: "started", 3: "completed", 4: "opted out", 5: "opted in", 6: "cancelled", 7: "superseded",
    8: "partly, opted out", 9: "partly, opted in", 10: "completed without participation", 13: "not applicable",
    14: "invalid", 252: "rejected: parameters", 253: "rejected: time", 254: "rejected: expired",
}  # fmt: skip
UNITS = {38: "W", 63: "var", 61: "VA", 29: "V", 33: "Hz", 72: "Wh", 5: "A", 73: "varh", 71: "VAh"}
ALARM_BITS = (
    "over current", "over voltage", "under voltage", "over frequency", "under frequency", "voltage imbalance",
    "current imbalance", "local emergency", "remote emergency", "low input power", "phase rotation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One line of the list of devices."""

    number: int
    lfdi: str
    sfdi: int
    name: str
    role: str
    """device, aggregator, or through an aggregator."""
    through: str
    """LFDI of the aggregator that manages it, or empty."""
    site: str
    granted: bool
    seen: datetime | None
    address: str
    expires: datetime | None
    expiry_step: int | None
    """90, 30, 7, 1 days ahead, 0 expired; None: no alarm."""
    power_w: float | None
    power_at: datetime | None
    live_controls: int
    alarms: tuple[str, ...]

    @property
    def power_kw(self) -> float | None:
        """Return the power as pages show it."""
        return None if self.power_w is None else round(self.power_w / 1000, 1)


@dataclass(frozen=True, slots=True)
class DeviceDetail:
    """All that is known of one device, for its page."""

    row: DeviceRow
    pin: int | None
    registered: datetime
    connection_point: str
    rating_w: float | None
    certificate: dict[str, Any]
    hosts: list[str]
    programs: list[dict[str, Any]]
    """name, primacy, default (mode → value), curves."""
    controls: list[dict[str, Any]]
    """Newest first: mrid, program, state, start, end, modes, limit order (epoch, sequence), answers."""
    responses: list[dict[str, Any]]
    readings: list[dict[str, Any]]
    """quantity, value, unit, start, duration_s, at."""
    reported: dict[str, dict[str, Any]]
    """DERCapability, DERSettings, DERStatus, DERAvailability as they came, with `at`."""
    log: list[dict[str, Any]]
    reservations: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CertificateAlarm:
    """A certificate that ends soon, or has ended."""

    lfdi: str
    name: str
    role: str
    sites: tuple[str, ...]
    expires: datetime
    step_days: int
    """The step reached: 90, 30, 7, 1; 0 when it is over."""


def device_list(now: datetime, site: str = "") -> list[DeviceRow]:
    """Return all devices and aggregators, or those of one site; four statements whatever their number."""
    rows = EndDevice.objects.select_related("aggregator").order_by("site", "-own", "sfdi")
    return _rows(rows.filter(site=site) if site else rows, now)


def device_rows(devices: Sequence[EndDevice], now: datetime) -> list[DeviceRow]:
    """Return the lines of these devices (with their aggregator) in their order; four statements whatever their number."""
    return _rows(devices, now)


def device_detail(number: int, now: datetime, most: int = 50) -> DeviceDetail:
    """Return one device with its newest `most` controls, answers and log entries; raises NotFound."""
    device = EndDevice.objects.select_related("aggregator").filter(pk=number).first()
    if device is None:
        raise NotFound("there is no such device", where="device", remedy="The list shows all.")
    row = _rows(EndDevice.objects.select_related("aggregator").filter(pk=number), now)[0]
    identity = WireIdentity.objects.filter(lfdi=device.lfdi).first()
    posted = device.posted.order_by("-id")
    latest: dict[str, dict[str, Any]] = {}
    for item in posted.exclude(kind="LogEvent"):
        latest.setdefault(item.kind, item.content | {"at": _moment(item.at)})
    return DeviceDetail(
        row=row,
        pin=None if device.own else device.pin,
        registered=_moment(device.registered),
        connection_point=device.connection_point,
        rating_w=device.rating_w,
        certificate=identity.certificate if identity else {},
        hosts=list(identity.hosts) if identity else [],
        programs=[_program(item) for item in device.programs.select_related("assignment").prefetch_related("curves")],
        controls=_controls(device, int(now.timestamp()), most),
        responses=[
            _answer(item)
            for item in ControlResponse.objects.filter(control__device=device).select_related("control")[:most]
        ],
        readings=[_reading(item) for item in MeterStream.objects.filter(point__device=device).order_by("measures", "id")],
        reported=latest,
        log=[item.content | {"at": _moment(item.at)} for item in posted.filter(kind="LogEvent")[:most]],
        reservations=[_reservation(item) for item in device.reservations.all()[:most]],
    )


def subscription_log(most: int = 200, *, device: int | None = None, waiting: bool = False) -> list[dict[str, Any]]:
    """Return the newest notifications with where they go and what became of them; `waiting`: the undelivered only.

    Keys: id, subscriber, resource, uri, created, attempts, state (waiting, delivered, given up), outcome, finished, next.
    """
    return [notification_row(row) for row in notifications(device=device, waiting=waiting)[:most]]


def notifications(*, device: int | None = None, waiting: bool = False) -> Any:
    """Return the query behind the log, newest first."""
    rows = WireNotification.objects.select_related("subscription__owner").order_by("-id")
    if device is not None:
        rows = rows.filter(subscription__owner_id=device)
    return rows.filter(done=False) if waiting else rows


def notification_row(row: WireNotification) -> dict[str, Any]:
    """Return one line of the log."""
    return {
        "id": row.pk,
        "subscriber": row.subscription.owner.lfdi,
        "device": row.subscription.owner_id,
        "resource": row.subscription.resource,
        "uri": row.subscription.uri,
        "created": _moment(row.created),
        "attempts": row.attempts,
        "state": "waiting" if not row.done else "delivered" if row.outcome.startswith("2") else "given up",
        "outcome": row.outcome,
        "finished": _moment(row.finished) if row.finished else None,
        "next": None if row.done else _moment(row.due),
    }


def certificate_ends() -> list[tuple[str, datetime]]:
    """Return the name (or LFDI) and the end of every certificate that may come in, and of the listener's own."""
    rows = WireIdentity.objects.filter(granted=True, expires__isnull=False).values_list("name", "lfdi", "expires")
    found = [(name[:64] or lfdi, expires) for name, lfdi, expires in rows if expires is not None]
    path = Path(settings.UTILITY_CERT) if settings.UTILITY_CERT else None
    if path is not None and path.is_file():  # without it the listener does not start, and the watchdog says so
        ends = certificates.expiry(certificates.read_identity(path.read_text())[1])
        found += [("IEEE 2030.5 listener", ends)] if ends else []
    return found


def certificate_alarms(now: datetime) -> list[CertificateAlarm]:
    """Return the certificates that end within 90 days (steps 90, 30, 7, 1) or have ended; the soonest first."""
    found = []
    for row in WireIdentity.objects.filter(granted=True, expires__isnull=False).order_by("expires"):
        assert row.expires is not None
        step = certificates.warning(row.expires, now)
        if step is None:
            continue
        places = (
            EndDevice.objects.filter(Q(lfdi=row.lfdi) | Q(aggregator=row)).exclude(site="").values_list("site", flat=True)
        )
        found.append(CertificateAlarm(row.lfdi, row.name, row.role, tuple(sorted(set(places))), row.expires, step))
    return found


def server_certificate(path: str, now: datetime) -> CertificateAlarm | None:
    """Return the alarm of the listener's own certificate (a PEM file), if it is time for one; raises InputError."""
    try:
        lfdi, found = certificates.read_identity(Path(path).read_text())
    except OSError as error:
        raise InputError(f"the server's certificate cannot be read: {error.strerror}", where=path) from error
    ends = certificates.expiry(found)
    step = certificates.warning(ends, now) if ends else None
    return CertificateAlarm(lfdi, "the listener's own", "server", (), ends, step) if ends and step is not None else None


def _rows(devices: Iterable[EndDevice], now: datetime) -> list[DeviceRow]:
    held = list(devices)
    seconds, numbers = int(now.timestamp()), [row.pk for row in held]
    identities = {row.lfdi: row for row in WireIdentity.objects.filter(lfdi__in=[row.lfdi for row in held])}
    powers = latest_power(MeterStream.objects.filter(point__device_id__in=numbers))
    live = dict(
        Control.objects.filter(device_id__in=numbers, end__gt=seconds, cancelled=None)
        .filter(Q(superseded=None) | Q(superseded__gt=seconds))
        .order_by()
        .values_list("device_id")
        .annotate(count=Count("id"))
    )
    status = {
        row.device_id: row.content for row in Posted.objects.filter(device_id__in=numbers, kind="DERStatus").order_by("id")
    }
    return [
        _row(row, identities.get(row.lfdi), powers.get(row.pk), live.get(row.pk, 0), status.get(row.pk, {}), now)
        for row in held
    ]


def _row(
    device: EndDevice,
    identity: WireIdentity | None,
    power: tuple[float, int] | None,
    live: int,
    status: dict,
    now: datetime,
) -> DeviceRow:
    managed = device.aggregator if not device.own else None
    who = identity or managed
    return DeviceRow(
        number=device.pk,
        lfdi=device.lfdi,
        sfdi=device.sfdi,
        name=who.name if who else "",
        role="aggregator" if device.own else "through an aggregator" if managed else "device",
        through=managed.lfdi if managed else "",
        site=device.site,
        granted=who.granted if who else True,
        seen=who.seen if who else None,
        address=who.address if who else "",
        expires=who.expires if who else None,
        expiry_step=certificates.warning(who.expires, now) if who and who.expires else None,
        power_w=power[0] if power else None,
        power_at=_moment(power[1]) if power else None,
        live_controls=live,
        alarms=alarms_of(status),
    )


def alarms_of(status: dict[str, Any]) -> tuple[str, ...]:
    """Return the alarms of a DERStatus in words (2030.5 DERStatus.alarmStatus)."""
    raw = int(status.get("alarmStatus") or "0", 16)
    return tuple(word for bit, word in enumerate(ALARM_BITS) if raw >> bit & 1)


REVERSE_FLOW = 19


def signed(stream: MeterStream) -> float:
    """Return the newest value of a stream in its unit, import positive."""
    kind = stream.reading_type
    sign = -1.0 if kind.get("flowDirection") == REVERSE_FLOW else 1.0
    return sign * float(stream.last_value or 0) * 10.0 ** kind.get("powerOfTenMultiplier", 0)


def latest_power(streams: Any) -> dict[int, tuple[float, int]]:
    """Return {device: (active power at its connection point in W, the moment it speaks for)} of a set of streams.

    That moment is the end of the period, or the arrival where a device's clock runs ahead: an old reading sent late stays
    old. Streams of both directions, or of each phase, that start together are added up; a total goes before its phases.
    """
    rows: dict[int, list[MeterStream]] = {}
    chosen = streams.filter(measures__in=("power", "power_phase"), last_at__isnull=False).select_related("point")
    for row in chosen:
        rows.setdefault(row.point.device_id, []).append(row)
    found = {}
    for device, held in rows.items():
        totals = [row for row in held if row.measures == "power"] or held
        newest = max(totals, key=lambda row: (row.last_start or 0, row.last_at or 0))
        together = [row for row in totals if row.last_start == newest.last_start]
        moment = min(newest.last_at or 0, (newest.last_start or 0) + newest.last_duration)
        found[device] = sum(signed(row) for row in together), moment
    return found


def _moment(seconds: int) -> datetime:
    """Return a moment; what a device dates before 1970 or after 2100 stands at that edge."""
    return datetime.fromtimestamp(min(max(seconds, 0), 4_102_444_800), UTC)


def _program(row: Program) -> dict[str, Any]:
    curves = [{"type": item.kind, "mrid": item.mrid, "content": item.content} for item in row.curves.all()]
    name = row.description or row.assignment.name
    return {"number": row.pk, "name": name, "primacy": row.primacy, "default": row.default, "curves": curves}


def _controls(device: EndDevice, now: int, most: int) -> list[dict[str, Any]]:
    rows = device.controls.select_related("program__assignment").prefetch_related("responses").order_by("-creation")[:most]
    found = []
    for row in rows:
        state, since = events.status(row.times, now)
        found.append(
            {
                "mrid": row.mrid,
                "program": row.program.description or row.program.assignment.name,
                "state": "completed" if now >= row.end and state == events.ACTIVE else STATES[state],
                "since": _moment(since),
                "start": _moment(row.start),
                "end": _moment(row.end),
                "modes": row.modes,
                "order": (row.epoch, row.sequence) if row.epoch is not None else None,
                "answers": [ANSWERS.get(item.status, str(item.status)) for item in row.responses.all()],
            }
        )
    return found


def _answer(row: ControlResponse) -> dict[str, Any]:
    return {
        "control": row.control.mrid, "status": row.status, "answer": ANSWERS.get(row.status, "?"),
        "created": _moment(row.created), "at": _moment(row.at),
    }  # fmt: skip


def _reading(row: MeterStream) -> dict[str, Any]:
    kind = row.reading_type
    known = row.last_at is not None
    return {
        "mrid": row.mrid,
        "quantity": row.measures or "other",
        "value": signed(row) if known else None,
        "unit": UNITS.get(kind.get("uom", 0), f"uom {kind.get('uom', 0)}"),
        "phase": kind.get("phase", 0),
        "start": _moment(row.last_start) if row.last_start is not None else None,
        "duration_s": row.last_duration,
        "at": _moment(row.last_at) if row.last_at is not None else None,
    }


def _reservation(row: FlowReservation) -> dict[str, Any]:
    return {
        "mrid": row.mrid, "energy_wh": row.energy_wh, "power_w": row.power_w, "start": _moment(row.start),
        "end": _moment(row.end), "cancelled": row.status == FlowReservation.CANCELLED, "offered_wh": row.offered_wh,
        "offered_w": row.offered_w, "offer_start": _moment(row.offer_start),
        "offer_end": _moment(row.offer_start + row.offer_duration),
    }  # fmt: skip
