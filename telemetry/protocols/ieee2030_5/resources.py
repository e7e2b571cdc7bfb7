"""Rows → resources, as plain dictionaries in the words of the schema; hrefs without a profile's mount."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from telemetry.protocols.ieee2030_5 import codec, events
from telemetry.utility_models import Assignment, Control, EndDevice, Program, UsagePoint, WireSubscription

POWER_MODES = frozenset({"opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW", "opModStorageTargetW"})
OTHER_MODES = frozenset({"opModConnect", "opModEnergize", "opModFixedW", "opModMaxLimW", "rampTms"})
SUBSCRIBABLE = 1


def link(href: str, count: int | None = None) -> dict[str, Any]:
    """Return a Link, or a ListLink with its count."""
    return {"href": href, "all": count}


def time_resource(now: datetime, zone: str) -> dict[str, Any]:
    """Return Time: UTC seconds, the zone's offset, this year's summer time."""
    place = ZoneInfo(zone)
    here = now.astimezone(place)
    summer = here.dst() or timedelta(0)
    offset = (here.utcoffset() or timedelta(0)) - summer
    seconds = int(now.timestamp())
    start, end = _summer(here.year, place)
    return {
        "href": "/tm", "currentTime": seconds, "dstEndTime": end, "dstOffset": int(summer.total_seconds()),
        "dstStartTime": start, "localTime": seconds + int((offset + summer).total_seconds()), "quality": 4,
        "tzOffset": int(offset.total_seconds()),
    }  # fmt: skip


def _summer(year: int, place: ZoneInfo) -> tuple[int, int]:
    """Return the first seconds of summer and of winter time in a year, 0 where there is none."""
    start = end = 0
    moment = datetime(year, 1, 1, tzinfo=place)
    last = moment.dst()
    for hour in range(1, 366 * 24):
        current = datetime.fromtimestamp(moment.timestamp() + hour * 3600, place)
        if current.dst() != last:
            last = current.dst()
            if last:
                start = int(current.timestamp())
            else:
                end = int(current.timestamp())
    return start, end


def end_device(device: EndDevice, counts: dict[str, int]) -> dict[str, Any]:
    """Return an EndDevice; an aggregator's own carries only its subscriptions and log."""
    root = f"/edev/{device.pk}"
    found: dict[str, Any] = {
        "href": root, "subscribable": 0, "deviceCategory": device.category, "lFDI": device.lfdi, "sFDI": device.sfdi,
        "changedTime": device.changed, "enabled": True, "postRate": device.post_rate,
        "LogEventListLink": link(f"{root}/lel"),
    }  # fmt: skip
    if device.own:
        return found | {"SubscriptionListLink": link(f"{root}/sub", counts.get("sub", 0))}
    return found | {
        "DERListLink": link(f"{root}/der", 1),
        "FunctionSetAssignmentsListLink": link(f"{root}/fsa", counts.get("fsa", 0)),
        "FlowReservationRequestListLink": link(f"{root}/frq"),
        "FlowReservationResponseListLink": link(f"{root}/frp"),
        "RegistrationLink": link(f"{root}/rg"),
        "ConnectionPointLink": link(f"{root}/cp"),
    }


def assignment(row: Assignment, programs: int, pen: int) -> dict[str, Any]:
    """Return a FunctionSetAssignments."""
    root = f"/edev/{row.device_id}"
    return {
        "href": f"{root}/fsa/{row.pk}", "subscribable": 0, "mRID": codec.mrid_of("fsa", row.pk, pen),
        "description": row.name[:31], "DERProgramListLink": link(f"{root}/fsa/{row.pk}/derp", programs),
        "TimeLink": link("/tm"), "ResponseSetListLink": link(f"{root}/rsps", 1),
    }  # fmt: skip


def program(row: Program, controls: int, active: int, pen: int) -> dict[str, Any]:
    """Return a DERProgram."""
    root = f"/edev/{row.device_id}/derp/{row.pk}"
    return {
        "href": root, "subscribable": 0, "mRID": codec.mrid_of("derp", row.pk, pen), "description": row.description or None,
        "ActiveDERControlListLink": link(f"{root}/actderc", active), "DERControlListLink": link(f"{root}/derc", controls),
        "DefaultDERControlLink": link(f"{root}/dderc"), "primacy": row.primacy,
    }  # fmt: skip


def base(modes: dict[str, Any]) -> dict[str, Any]:
    """Return a DERControlBase from modes in watts (percentages and switches as they are)."""
    found = {name: codec.active_power(int(modes[name])) for name in modes if name in POWER_MODES}
    return found | {name: modes[name] for name in modes if name in OTHER_MODES}


def plain(modes: dict[str, Any], rating_w: float | None) -> dict[str, Any]:
    """Return modes in the words of plain CSIP, which knows no import limit: export or generation as opModMaxLimW."""
    limits = [int(modes[name]) for name in ("opModExpLimW", "opModGenLimW") if name in modes]
    return modes | ({"opModMaxLimW": codec.max_limit(min(limits), rating_w)} if limits else {})


def default_control(row: Program, pen: int) -> dict[str, Any]:
    """Return a DefaultDERControl: what holds when no control does."""
    return {
        "href": f"/edev/{row.device_id}/derp/{row.pk}/dderc", "subscribable": SUBSCRIBABLE,
        "mRID": codec.mrid_of("dderc", row.pk, pen), "DERControlBase": base(row.default),
        "setGradW": row.default.get("setGradW"),
    }  # fmt: skip


def control(row: Control, now: int) -> dict[str, Any]:
    """Return a DERControl with its state at `now` (seconds UTC)."""
    state, since = events.status(row.times, now)
    root = f"/edev/{row.device_id}"
    return {
        "href": f"{root}/derp/{row.program_id}/derc/{row.pk}", "replyTo": f"{root}/rsps/1/rsp", "responseRequired": "03",
        "subscribable": 0, "mRID": row.mrid, "creationTime": row.creation,
        "EventStatus": {"currentStatus": state, "dateTime": since, "potentiallySuperseded": row.superseded is not None},
        "interval": {"duration": row.duration, "start": row.start}, "randomizeStart": row.randomize_start,
        "DERControlBase": base(row.modes),
    }  # fmt: skip


def der(device: EndDevice) -> dict[str, Any]:
    """Return the one DER of a device."""
    root = f"/edev/{device.pk}/der/1"
    return {
        "href": root, "subscribable": 0, "DERAvailabilityLink": link(f"{root}/dera"),
        "DERCapabilityLink": link(f"{root}/dercap"), "DERSettingsLink": link(f"{root}/derg"),
        "DERStatusLink": link(f"{root}/ders"),
    }  # fmt: skip


def usage_point(row: UsagePoint) -> dict[str, Any]:
    """Return a MirrorUsagePoint with its reading types, without readings."""
    streams = [{"mRID": item.mrid, "ReadingType": item.reading_type or None} for item in row.streams.all()]
    return row.content | {
        "href": f"/mup/{row.pk}", "mRID": row.mrid, "postRate": row.post_rate, "MirrorMeterReading": streams,
    }  # fmt: skip


def subscription(row: WireSubscription) -> dict[str, Any]:
    """Return a Subscription."""
    return {
        "href": f"/edev/{row.owner_id}/sub/{row.pk}", "subscribedResource": row.resource, "encoding": 0, "level": "+S1",
        "limit": row.limit, "notificationURI": row.uri,
    }  # fmt: skip
