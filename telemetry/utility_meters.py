"""The only writers of usage points and readings. Times are whole seconds UTC."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from derms.errors import Conflict, InputError, NotFound
from telemetry import hot_statements as hot
from telemetry.utility_models import EndDevice, MeterStream, UsagePoint


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


def read_in(point: UsagePoint, items: list[dict[str, Any]], now: int, streams: Iterable[MeterStream] | None = None) -> None:
    """Store a batch of readings, all or none; the same stream and start is an update. What is new becomes the newest.

    `streams`: those of the point where the caller has them already.
    """
    defined = [item for item in items if item.get("ReadingType")]
    with transaction.atomic() if defined else nullcontext():
        _define(point, defined)
        known = point.streams.all() if defined or streams is None else streams
        names = {row.mrid: row.pk for row in known}
        values: dict[tuple[int, int], tuple[Any, ...]] = {}  # the last of one stream and start counts
        for item in items:
            stream = names.get(item["mRID"].upper())
            if stream is None:
                raise NotFound("no reading type has this mRID", where="mRID")
            values |= {(stream, value[0]): (stream, *value, now) for value in _values(item, now)}
        if values:
            _store(list(values.values()))


def take(point: int, items: list[dict[str, Any]], now: int, who: str, name: Any) -> bool:
    """Store a batch of readings of known streams in one statement, where the database can; False: nothing was done.

    `who`, `name`: the devices that the client may see. What is unknown, or not the client's, is left to `read_in`'s errors.
    """
    if connection.vendor != "postgresql" or not items or any(item.get("ReadingType") for item in items):
        return False
    values: dict[tuple[str, int], tuple[int, int, str]] = {}  # the last of one stream and start counts
    for item in items:
        mrid = item["mRID"].upper()
        values |= {(mrid, start): (duration, value, quality) for start, duration, value, quality in _values(item, now)}
    if not values:
        return False
    streams, starts = [key[0] for key in values], [key[1] for key in values]
    durations, numbers, qualities = (list(column) for column in zip(*values.values(), strict=True))
    params = [streams, starts, durations, numbers, qualities, point, name, len(values), now, now]
    return bool(hot.rows(hot.TAKE.format(who=who), params)[0][0] == len(values))


def _store(rows: list[tuple[Any, ...]]) -> None:
    """Write values, and the newest of each stream beside it: the control room reads these and no history.

    Plain SQL, the same on PostgreSQL and SQLite: this is the hottest write, and the ORM doubles what it costs.
    """
    newest: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        if row[0] not in newest or newest[row[0]][1] <= row[1]:
            newest[row[0]] = row
    last = [(row[0], row[1], row[2], row[3], row[5]) for row in newest.values()]
    insert, newest_of = INSERT.format(marks=_marks(len(rows), 6)), _marks(len(last), 5)
    values, lasts = [part for row in rows for part in row], [part for row in last for part in row]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # one statement is a transaction of its own: three round trips less
            cursor.execute(NEWEST.format(marks=newest_of, also=f", kept AS ({insert})"), lasts + values)
            return
        with transaction.atomic():
            cursor.execute(insert, values)
            cursor.execute(NEWEST.format(marks=newest_of, also=""), lasts)


INSERT = """
INSERT INTO telemetry_metervalue (stream_id, start, duration, value, quality, at) VALUES {marks}
ON CONFLICT (stream_id, start) DO UPDATE
SET duration = excluded.duration, value = excluded.value, quality = excluded.quality, at = excluded.at
"""
NEWEST = """
WITH fresh (id, start, duration, value, at) AS (VALUES {marks}){also}
UPDATE telemetry_meterstream
SET last_start = fresh.start, last_duration = fresh.duration, last_value = fresh.value, last_at = fresh.at
FROM fresh
WHERE telemetry_meterstream.id = fresh.id
AND (telemetry_meterstream.last_start IS NULL OR telemetry_meterstream.last_start <= fresh.start)
"""


def _marks(rows: int, columns: int) -> str:
    one = f"({', '.join(['%s'] * columns)})"
    return ", ".join([one] * rows)


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


def _values(item: dict[str, Any], now: int) -> list[tuple[int, int, int, str]]:
    """Return (start, duration, value, quality) of one MirrorMeterReading, of its single reading and of its sets."""
    readings = [item["Reading"]] if item.get("Reading") else []
    readings += [reading for block in item.get("MirrorReadingSet", []) for reading in block.get("Reading", [])]
    found = []
    for reading in readings:
        if "value" not in reading:
            raise InputError("a reading has a value", where="Reading.value")
        period = reading.get("timePeriod") or {"start": now, "duration": 0}
        found.append((period["start"], period["duration"], reading["value"], reading.get("qualityFlags", "")))
    return found
