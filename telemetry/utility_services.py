"""The only writers of the utility server's tables. Times are whole seconds UTC, power watts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from derms.errors import Conflict, InputError, NotFound, Refused
from derms.limits import Limit
from telemetry import hot_statements as hot
from telemetry import services
from telemetry.control.grant import Grant
from telemetry.protocols.ieee2030_5 import certificates, codec, events
from telemetry.protocols.ieee2030_5.resources import CURVE_MODES, OTHER_MODES, POWER_MODES
from telemetry.utility_models import (
    Assignment,
    Control,
    ControlResponse,
    Curve,
    EndDevice,
    Posted,
    Program,
    WireIdentity,
    WireNotification,
)

LONGEST_GRANT_S, MOST_AHEAD = 300, 3
VOUCH_S = 20
"""Two cycles of 10 s: a listener that has not heard from the engine for longer serves no grant as current."""
WIRE, LISTENER = "ieee2030_5", ("listener", 8443)
"""The endpoint row of a site behind the utility server: the wire is a table, so host and port say nothing."""
MODES = POWER_MODES | OTHER_MODES | frozenset(CURVE_MODES)
MOST_POINTS = 10
VOLT_VAR_B = ((92, 100), (98, 0), (102, 0), (108, -100))
"""x in per cent of nominal voltage, y in per cent of the reactive capability (0.44 of the apparent power)."""
VOLT_VAR_B_RESPONSE, PERCENT_OF_MAX_VAR = 500, 2
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
    """Give a certificate access or take it away; a listener refuses a revoked one, and cuts its sockets, within 5 s."""
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
    from telemetry.protocols.ieee2030_5 import outbox  # it needs this module

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
        if device.aggregator_id and not device.own:
            outbox.enqueue(["/edev"], now)
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
    if connection.vendor == "postgresql":  # hundreds every few seconds: a CASE for each row would hold up the listener
        lfdis, moments, places = list(visits), [item[0] for item in visits.values()], [item[1] for item in visits.values()]
        hot.rows(hot.SEEN, [lfdis, moments, places])
    else:
        known = list(WireIdentity.objects.filter(lfdi__in=visits).only("lfdi"))
        for row in known:
            row.seen, row.address, _ = visits[row.lfdi]
        WireIdentity.objects.bulk_update(known, ["seen", "address"], batch_size=200)
    for row in WireIdentity.objects.filter(lfdi__in=visits, certificate={}):
        if der := visits[row.lfdi][2]:
            row.certificate = certificates.facts(der)
            row.expires = certificates.expiry(row.certificate)
            row.save(update_fields=["certificate", "expires"])


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
    randomize_start: int | None = None, randomize_duration: int | None = None, epoch: int | None = None,
    sequence: int | None = None,
) -> Control:  # fmt: skip
    """Add a control and supersede what it outranks: the same modes, overlapping, of equal or lower priority.

    `randomize_start`, `randomize_duration`: seconds, an hour either way at most (OneHourRangeType); for the client.
    """
    if any(abs(item) > 3600 for item in (randomize_start, randomize_duration) if item is not None):
        raise InputError("no control is randomized by more than an hour", where="randomize")
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
            randomize_start=randomize_start, randomize_duration=randomize_duration, epoch=epoch, sequence=sequence,
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

    Raises Refused for a grant that is not newer than the last: late, repeated, or of an engine that leads no more.
    """
    device = EndDevice.objects.filter(site=grant.site, own=False).first()
    if device is None:
        return []
    program = ensure_program(ensure_assignment(device, GRANT_PROGRAM, 1), 1)
    modes: dict[str, Any] = dict(codec.control_base(grant.limit))
    until = now + min(int(max(1.0, grant.ttl_s)), MOST_AHEAD * LONGEST_GRANT_S)
    with transaction.atomic():
        older = Q(lent_epoch__lt=grant.epoch) | Q(lent_epoch=grant.epoch, lent_sequence__lt=grant.sequence)
        fenced = EndDevice.objects.filter(older, pk=device.pk)  # holds the row until the end
        if not fenced.update(lent_until=now + VOUCH_S, lent_epoch=grant.epoch, lent_sequence=grant.sequence):
            raise Refused(f"grant {grant.order} is not above the last that was served", where=grant.site)
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


def withdraw(site: str, *, now: int) -> list[Control]:
    """Cancel what was lent to a site's device and still runs or waits; return it. It stays listed until its end."""
    rows = list(
        Control.objects.filter(
            _alive(now), device__site=site, device__own=False, end__gt=now, cancelled=None, epoch__isnull=False
        )
    )
    Control.objects.filter(pk__in=[row.pk for row in rows]).update(cancelled=now)
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


def serve_failsafe(site: str, failsafe: Limit) -> set[str]:
    """Make a site's failsafe limit the default control of its device; return the resources that this changed."""
    device = EndDevice.objects.filter(site=site, own=False).first()
    if device is None:
        return set()
    held = device.programs.filter(assignment__name=GRANT_PROGRAM, primacy=1).first()
    program = held or ensure_program(ensure_assignment(device, GRANT_PROGRAM, 1), 1)
    modes, root = dict(codec.control_base(failsafe)), f"/edev/{device.pk}"
    touched = set() if held else {f"{root}/fsa", f"{root}/derp", f"{root}/fsa/{program.assignment_id}/derp"}
    if program.default != modes:
        set_default(program, modes)
        touched.add(f"{root}/derp/{program.pk}/dderc")
    return touched


def set_default(program: Program, modes: dict[str, Any]) -> None:
    """Replace a program's default control."""
    program.default = modes
    program.save(update_fields=["default"])


def cancel(device: EndDevice, *, now: int, latest: bool) -> list[Control]:
    """Cancel what is scheduled or active: all, or the latest made. They stay listed until their original end."""
    rows = list(device.controls.filter(end__gt=now, cancelled=None).order_by("-creation")[: 1 if latest else None])
    Control.objects.filter(pk__in=[row.pk for row in rows]).update(cancelled=now)
    return rows


def report(device: EndDevice, kind: str, content: dict[str, Any], now: int) -> bool:
    """Store what a device says of itself in place of what it said before; return True when it is the first word."""
    if kind == "DERSettings":
        EndDevice.objects.filter(pk=device.pk).update(rating_w=codec.watts_of(content["setMaxW"]))
    if device.posted.filter(kind=kind).update(content=content, at=now):
        return False
    Posted.objects.create(device=device, kind=kind, content=content, at=now)
    return True


def log_event(device: EndDevice, content: dict[str, Any]) -> Posted:
    """Keep a LogEvent under its own moment."""
    return Posted.objects.create(device=device, kind="LogEvent", content=content, at=content["createdDateTime"])


def add_curve(program: Program, kind: int, points: Sequence[tuple[int, int]], *, now: int, pen: int, **facts: Any) -> Curve:
    """Add a DERCurve to a program; its href is the value of its mode in a control. Up to 10 points of rising x.

    `kind`: the curveType (2030.5 DERCurveType). `facts`: xMultiplier, yMultiplier, yRefType and what else the type carries.
    """
    if kind not in CURVE_MODES.values():
        raise InputError(f"there is no curve type {kind}", where="curveType")
    if not 1 <= len(points) <= MOST_POINTS or any(one[0] >= other[0] for one, other in pairwise(points)):
        raise InputError("a curve has 1 to 10 points of rising x", where="CurveData")
    content = {"xMultiplier": 0, "yMultiplier": 0, "yRefType": 0} | facts
    content["CurveData"] = [{"xvalue": x, "yvalue": y} for x, y in points]
    mrid = codec.mrid_of("dc", secrets.token_hex(16), pen)
    return Curve.objects.create(program=program, mrid=mrid, kind=kind, content=content, creation=now)


def curve_href(curve: Curve) -> str:
    """Return where a curve stands: the value of its mode."""
    return f"/edev/{curve.program.device_id}/derp/{curve.program_id}/dc/{curve.pk}"


def volt_var_b(program: Program, *, now: int, pen: int) -> Curve:
    """Add the default volt-var curve of IEEE 1547-2018 category B and make it part of the program's default control."""
    curve = add_curve(
        program, CURVE_MODES["opModVoltVar"], VOLT_VAR_B, now=now, pen=pen, yRefType=PERCENT_OF_MAX_VAR,
        openLoopTms=VOLT_VAR_B_RESPONSE,
    )  # fmt: skip
    set_default(program, program.default | {"opModVoltVar": curve_href(curve)})
    return curve


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
