"""The only writers of the utility server's tables. Times are whole seconds UTC, power watts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.db import transaction
from django.db.models import Q

from derms.errors import Conflict, InputError, NotFound
from derms.limits import Limit
from telemetry import services
from telemetry.control.grant import Grant
from telemetry.protocols.ieee2030_5 import certificates, codec, events
from telemetry.protocols.ieee2030_5.resources import OTHER_MODES, POWER_MODES
from telemetry.utility_models import (
    Assignment,
    Control,
    ControlResponse,
    EndDevice,
    MeterStream,
    MeterValue,
    Posted,
    Program,
    UsagePoint,
    WireIdentity,
    WireNotification,
)

LONGEST_GRANT_S, MOST_AHEAD = 300, 3
VOUCH_S = 20
"""Two cycles of 10 s: a listener that has not heard from the engine for longer serves no grant as current."""
WIRE, LISTENER = "ieee2030_5", ("listener", 8443)
"""The endpoint row of a site behind the utility server: the wire is a table, so host and port say nothing."""
MODES = POWER_MODES | OTHER_MODES
GRANT_PROGRAM, GROUPS, FIRST_GROUP_PRIMACY = "grants", "groups", 2
TOPOLOGY = (
    "System", "Sub-transmission", "Substation", "Feeder", "Segment", "Service transformer", "Service point",
)  # fmt: skip


def know_identity(lfdi: str, role: str, hosts: Iterable[str] = (), now: int = 0) -> WireIdentity:
    """Allow a certificate in, as a device or as an aggregator; an aggregator gets its own EndDevice."""
    row, _ = WireIdentity.objects.update_or_create(
        lfdi=codec.checked_lfdi(lfdi), defaults={"role": role, "granted": True, "hosts": sorted(set(hosts))}
    )
    if role == WireIdentity.AGGREGATOR:
        own = {"sfdi": codec.sfdi_of(row.lfdi), "aggregator": row, "own": True, "registered": now, "changed": now}
        EndDevice.objects.get_or_create(lfdi=row.lfdi, defaults=own)
    return row


def allow(lfdi: str, *, granted: bool) -> None:
    """Give a certificate access or take it away; open sockets of a revoked one are cut within 20 s."""
    lfdi = codec.checked_lfdi(lfdi)
    if not WireIdentity.objects.filter(lfdi=lfdi).update(granted=granted):
        WireIdentity.objects.create(lfdi=lfdi, granted=granted)


def register_device(
    lfdi: str, *, aggregator: WireIdentity | None, now: int, pin: int | None = None, site: str = "", category: str = "00",
    post_rate: int = 60,
) -> EndDevice:  # fmt: skip
    """Add a device; raises Conflict when its LFDI is already there."""
    lfdi = codec.checked_lfdi(lfdi)
    pin = pin if pin is not None else codec.pin_of(10_000 + secrets.randbelow(90_000))
    row, made = EndDevice.objects.get_or_create(
        lfdi=lfdi,
        defaults={
            "sfdi": codec.sfdi_of(lfdi), "aggregator": aggregator, "registered": now, "changed": now, "pin": pin,
            "site": site, "category": category, "post_rate": post_rate,
        },
    )  # fmt: skip
    if not made:
        raise Conflict("this LFDI is registered already", where="lFDI")
    if aggregator is None:
        WireIdentity.objects.get_or_create(lfdi=lfdi)
    return row


def enrol(
    identity: str, *, now: int, role: str = WireIdentity.DEVICE, name: str = "", site: str = "", through: str = "",
    groups: Iterable[str] = (), hosts: Iterable[str] = (), pin: int | None = None,
) -> EndDevice:  # fmt: skip
    """Register a device or an aggregator out of band, as engineers do; return its EndDevice (with its PIN).

    `identity`: an LFDI or a PEM certificate. `through`: the LFDI of the aggregator that manages a device. `site`: the
    agreement's site that it speaks for. `groups`: its programs, widest first. `hosts`: where an aggregator is called back.
    Raises InputError for what is no identity, NotFound for an unknown aggregator, Conflict for an LFDI that is there.
    """
    lfdi, found = certificates.read_identity(identity)
    with transaction.atomic():
        if role == WireIdentity.AGGREGATOR:
            know_identity(lfdi, role, hosts, now)
            device = EndDevice.objects.get(lfdi=lfdi)
        else:
            device = register_device(lfdi, aggregator=_aggregator(through), now=now, pin=pin, site=site)
            if names := list(groups):
                place_in_groups(device, names)
            if site:
                services.place_site(site, WIRE, *LISTENER)
        # A device behind an aggregator never comes in by itself: it has no identity of its own.
        WireIdentity.objects.filter(lfdi=lfdi).update(name=name[:64], certificate=found, expires=certificates.expiry(found))
    return device


def _aggregator(lfdi: str) -> WireIdentity | None:
    if not lfdi:
        return None
    found = WireIdentity.objects.filter(lfdi=lfdi.upper(), role=WireIdentity.AGGREGATOR).first()
    if found is None:
        raise NotFound("this aggregator is not known", where="through", remedy="Register the aggregator first.")
    return found


def saw(visits: dict[str, tuple[datetime, str, bytes]]) -> None:
    """Note who came in: {LFDI: (when, from where, certificate in DER)}; the certificate is read once."""
    known = {row.lfdi: row for row in WireIdentity.objects.filter(lfdi__in=visits)}
    for lfdi, row in known.items():
        row.seen, row.address, der = visits[lfdi]
        if der and not row.certificate:
            row.certificate = certificates.facts(der)
            row.expires = certificates.expiry(row.certificate)
    fields = ["seen", "address", "certificate", "expires"]
    WireIdentity.objects.bulk_update(known.values(), fields, batch_size=500)


def resend(number: int, now: datetime | None = None) -> WireNotification:
    """Queue a notification's resource anew, as it is now, behind all that waits; raises NotFound.

    An old body sent again would tell the subscriber what is no longer true.
    """
    from telemetry.protocols.ieee2030_5 import outbox  # it needs this module

    row = WireNotification.objects.filter(pk=number).select_related("subscription__owner__aggregator").first()
    if row is None:
        raise NotFound("there is no such notification", where="notification")
    seconds = int((now or datetime.now(UTC)).timestamp())
    return outbox.tell(row.subscription, seconds) or WireNotification.objects.create(
        subscription=row.subscription, body=row.body, created=seconds, due=seconds
    )


def ensure_assignment(device: EndDevice, name: str, primacy: int) -> Assignment:
    """Return the assignment of this name, made or moved to its primacy."""
    row, _ = Assignment.objects.update_or_create(device=device, name=name[:32], defaults={"primacy": primacy})
    return row


def ensure_program(assignment: Assignment, primacy: int) -> Program:
    """Return the program of this primacy under an assignment."""
    found = assignment.programs.filter(primacy=primacy).first()
    return found or Program.objects.create(device_id=assignment.device_id, assignment=assignment, primacy=primacy)


def place_in_groups(device: EndDevice, groups: Iterable[str] = TOPOLOGY) -> list[Program]:
    """Make a program for each group of a device, widest first: the nearer one has the lower primacy and wins."""
    names = list(dict.fromkeys(groups))
    assignment = ensure_assignment(device, GROUPS, 2)
    rows = []
    for number, name in enumerate(names):
        row = ensure_program(assignment, FIRST_GROUP_PRIMACY + len(names) - 1 - number)
        row.description = name[:31]
        row.save(update_fields=["description"])
        rows.append(row)
    return rows


def program_of(device: EndDevice, primacy: int) -> Program:
    """Return a device's program of this primacy wherever it is, or a new one in its first assignment."""
    if found := device.programs.filter(primacy=primacy).first():
        return found
    return ensure_program(device.assignments.first() or ensure_assignment(device, "default", 1), primacy)


def create_control(
    program: Program, modes: dict[str, Any], *, start: int, duration: int, now: int, pen: int,
    randomize_start: int | None = None, epoch: int | None = None, sequence: int | None = None,
) -> Control:  # fmt: skip
    """Add a control and supersede what it outranks: the same modes, overlapping, of equal or lower priority."""
    unknown = set(modes) - MODES
    if unknown or not modes or duration <= 0:
        raise InputError(f"no control of {sorted(unknown) or modes}", where="modes")
    with transaction.atomic():
        device = EndDevice.objects.select_for_update().get(pk=program.device_id)
        device.last_creation = events.next_creation(device.last_creation, now)
        device.save(update_fields=["last_creation"])
        row = Control.objects.create(
            device=device, program=program, mrid=codec.mrid_of("derc", secrets.token_hex(16), pen), modes=modes,
            start=start, duration=duration, end=start + duration, creation=device.last_creation,
            randomize_start=randomize_start, epoch=epoch, sequence=sequence,
        )  # fmt: skip
        _supersede(row, program.primacy, now)
    return row


def _supersede(row: Control, primacy: int, now: int) -> None:
    """Settle a new control against those that overlap it in time and modes: the lower primacy wins, then the newer."""
    others = Control.objects.filter(
        device_id=row.device_id, end__gt=max(row.start, now), start__lt=row.end, superseded=None, cancelled=None
    )
    for other in others.exclude(pk=row.pk).select_related("program"):
        if not set(other.modes) & set(row.modes) - {"rampTms"}:
            continue
        winner, loser = (row, other) if other.program.primacy >= primacy else (other, row)
        moment = max(now, winner.start)  # not the loser's start: what will never run says so as soon as that is certain
        loser.superseded = moment if loser.superseded is None else min(loser.superseded, moment)
        loser.save(update_fields=["superseded"])


def lend(grant: Grant, *, now: int, pen: int) -> list[Control]:
    """Serve a grant as controls of its site's device, from now until its lease ends; [] when no device speaks for it.

    A lease of up to 300 s is one control. A longer one (a site that only polls) is a chain of at most three controls of
    300 s, whose far end is the failsafe; renewed with the same limit, the chain is prolonged and not made anew: the client
    sees new controls only. What the grant before said otherwise is superseded.
    """
    device = EndDevice.objects.filter(site=grant.site, own=False).first()
    if device is None:
        return []
    program = ensure_program(ensure_assignment(device, GRANT_PROGRAM, 1), 1)
    modes: dict[str, Any] = dict(codec.control_base(grant.limit))
    until = now + min(int(max(1.0, grant.ttl_s)), MOST_AHEAD * LONGEST_GRANT_S)
    with transaction.atomic():
        EndDevice.objects.filter(pk=device.pk).update(lent_until=now + VOUCH_S)
        rows = _running(program, modes, now) if until - now > LONGEST_GRANT_S else []
        order = {"epoch": grant.epoch, "sequence": grant.sequence}
        Control.objects.filter(pk__in=[row.pk for row in rows]).update(**order)
        start = rows[-1].end if rows else now
        while start < until and len(rows) < MOST_AHEAD and (not rows or until - start >= LONGEST_GRANT_S):
            duration = min(LONGEST_GRANT_S, until - start)
            rows.append(create_control(program, dict(modes), start=start, duration=duration, now=now, pen=pen, **order))
            start += duration
        # All that was lent before is replaced, also where it would outlast this lease or starts later.
        program.controls.filter(end__gt=now, cancelled=None, epoch__isnull=False).filter(_alive(now)).exclude(
            pk__in=[row.pk for row in rows]
        ).update(superseded=now)
    return rows


def _alive(now: int) -> Q:
    return Q(superseded=None) | Q(superseded__gt=now)


def _running(program: Program, modes: dict[str, Any], now: int) -> list[Control]:
    """Return the lent controls of these modes that follow each other from now on, if nothing else is to come."""
    live = program.controls.filter(end__gt=now, cancelled=None, epoch__isnull=False)
    rows = list(live.filter(_alive(now)).order_by("start", "creation"))
    chained = all(one.end == other.start for one, other in pairwise(rows))
    same = all(row.modes == modes and row.superseded is None for row in rows)
    return rows if rows and rows[0].start <= now and chained and same else []


def serve_failsafe(site: str, failsafe: Limit) -> bool:
    """Make a site's failsafe limit the default control of its device; False when no device speaks for it."""
    device = EndDevice.objects.filter(site=site, own=False).first()
    if device is None:
        return False
    program = ensure_program(ensure_assignment(device, GRANT_PROGRAM, 1), 1)
    set_default(program, dict(codec.control_base(failsafe)))
    return True


def set_default(program: Program, modes: dict[str, Any]) -> None:
    """Replace a program's default control."""
    program.default = modes
    program.save(update_fields=["default"])


def cancel(device: EndDevice, *, now: int, latest: bool) -> list[Control]:
    """Cancel what is scheduled or active: all, or the latest made. They stay listed until their original end."""
    rows = list(device.controls.filter(end__gt=now, cancelled=None).order_by("-creation")[: 1 if latest else None])
    Control.objects.filter(pk__in=[row.pk for row in rows]).update(cancelled=now)
    return rows


def report(device: EndDevice, kind: str, content: dict[str, Any], now: int, *, keep: bool = False) -> Posted:
    """Store what a device says of itself; `keep` appends instead of replacing."""
    if keep:
        return Posted.objects.create(device=device, kind=kind, content=content, at=now)
    row, _ = Posted.objects.update_or_create(device=device, kind=kind, defaults={"content": content, "at": now})
    return row


def respond(device: EndDevice, content: dict[str, Any], now: int) -> ControlResponse:
    """Store an answer to a control; raises InputError for another device's, an unknown control or a reserved status."""
    control = Control.objects.filter(device=device, mrid=content["subject"].upper()).first()
    if control is None:
        raise InputError("no control has this mRID", where="subject")
    if content["endDeviceLFDI"].upper() != device.lfdi:
        raise InputError("this is not the device's LFDI", where="endDeviceLFDI")
    if content.get("status") not in events.RESPONSES:
        raise InputError("this status is reserved", where="status")
    created = content.get("createdDateTime", now)
    return ControlResponse.objects.create(control=control, status=content["status"], created=created, at=now)


def mirror(device: EndDevice, content: dict[str, Any], seen: Q, post_rate: int, now: int) -> UsagePoint:
    """Add or replace a usage point; an mRID that another identity's device holds is refused as a conflict."""
    streams = content.pop("MirrorMeterReading", [])
    mrid = content["mRID"].upper()
    with transaction.atomic():
        foreign = UsagePoint.objects.filter(mrid=mrid).exclude(device__in=EndDevice.objects.filter(seen)).exists()
        names = [item["mRID"].upper() for item in streams]
        if foreign or MeterStream.objects.filter(mrid__in=names).exclude(point__mrid=mrid, point__device=device).exists():
            raise Conflict("this mRID is taken", where="mRID")
        kept = {name: content[name] for name in content if name not in ("href", "postRate", "mRID")}
        row, _ = UsagePoint.objects.update_or_create(
            mrid=mrid, defaults={"device": device, "content": kept | {"deviceLFDI": device.lfdi}, "post_rate": post_rate}
        )
        row.streams.exclude(mrid__in=names).delete()
        read_in(row, [item | {"ReadingType": item.get("ReadingType") or {"uom": 0}} for item in streams], now)
    return row


def read_in(point: UsagePoint, items: list[dict[str, Any]], now: int) -> None:
    """Store a batch of readings, all or none; the same stream and start is an update. What is new becomes the newest."""
    with transaction.atomic():
        _define(point, [item for item in items if item.get("ReadingType")])
        streams = {row.mrid: row for row in point.streams.all()}
        values: dict[tuple[int, int], MeterValue] = {}  # the last of one stream and start counts
        for item in items:
            stream = streams.get(item["mRID"].upper())
            if stream is None:
                raise NotFound("no reading type has this mRID", where="mRID")
            values |= {(stream.pk, value.start): value for value in _values(stream, item, now)}
        if values:
            MeterValue.objects.bulk_create(
                values.values(), update_conflicts=True, unique_fields=["stream", "start"],
                update_fields=["duration", "value", "quality", "at"],
            )  # fmt: skip
            _newest(streams.values(), values.values())


def _define(point: UsagePoint, items: list[dict[str, Any]]) -> None:
    """Add or replace reading types; an mRID of another point is refused."""
    if not items:
        return
    names = [item["mRID"].upper() for item in items]
    if MeterStream.objects.filter(mrid__in=names).exclude(point=point).exists():
        raise Conflict("this mRID is taken", where="mRID")
    for item in items:
        kind = item["ReadingType"]
        facts = {"point": point, "reading_type": kind, "measures": measures(point.content.get("roleFlags", ""), kind)}
        MeterStream.objects.update_or_create(mrid=item["mRID"].upper(), defaults=facts)


def _newest(streams: Iterable[MeterStream], values: Iterable[MeterValue]) -> None:
    """Keep each stream's newest value beside it: the control room reads these and no history."""
    last: dict[int, MeterValue] = {}
    for value in values:
        if value.stream_id not in last or last[value.stream_id].start <= value.start:
            last[value.stream_id] = value
    changed = []
    for row in streams:
        found = last.get(row.pk)
        if found is not None and (row.last_start is None or found.start >= row.last_start):
            row.last_value, row.last_start, row.last_duration, row.last_at = (
                found.value, found.start, found.duration, found.at,
            )  # fmt: skip
            changed.append(row)
    if changed:
        MeterStream.objects.bulk_update(changed, ["last_value", "last_start", "last_duration", "last_at"])


PREMISES = 0x0002
"""roleFlags bit 1: the point is the premises' aggregation point, not one device behind it (2030.5 RoleFlagsType)."""
UOM = {38: "power", 63: "reactive", 29: "voltage"}
PHASES = frozenset({128, 64, 32})
AVERAGES = frozenset({0, 2, 12})
"""dataQualifier: not applicable, average, normal; a maximum or minimum of a period is no measurement of it."""


def measures(role_flags: str, kind: dict[str, Any]) -> str:
    """Return what the control room reads from a stream of this reading type; empty for what it does not."""
    if not int(role_flags or "0", 16) & PREMISES or kind.get("dataQualifier", 0) not in AVERAGES:
        return ""
    quantity = UOM.get(kind.get("uom", 0), "")
    return "power_phase" if quantity == "power" and kind.get("phase", 0) in PHASES else quantity


def _values(stream: MeterStream, item: dict[str, Any], now: int) -> list[MeterValue]:
    """Return the rows of one MirrorMeterReading, of its single reading and of its sets."""
    readings = [item["Reading"]] if item.get("Reading") else []
    readings += [reading for block in item.get("MirrorReadingSet", []) for reading in block.get("Reading", [])]
    rows = []
    for reading in readings:
        if "value" not in reading:
            raise InputError("a reading has a value", where="Reading.value")
        period = reading.get("timePeriod") or {"start": now, "duration": 0}
        rows.append(
            MeterValue(
                stream=stream, start=period["start"], duration=period["duration"], value=reading["value"],
                quality=reading.get("qualityFlags", ""), at=now,
            )
        )  # fmt: skip
    return rows
