"""Rows → resources, as plain dictionaries in the words of the schema; hrefs without a profile's mount."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from telemetry.protocols.ieee2030_5 import codec, events
from telemetry.utility_models import (
    Assignment,
    Control,
    Curve,
    EndDevice,
    FlowReservation,
    MeterStream,
    PriceInterval,
    Program,
    UsagePoint,
    WireSubscription,
)

POWER_MODES = frozenset({"opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW", "opModStorageTargetW"})
CURVE_MODES = {
    "opModFreqWatt": 0, "opModHFRTMayTrip": 1, "opModHFRTMustTrip": 2, "opModHVRTMayTrip": 3,
    "opModHVRTMomentaryCessation": 4, "opModHVRTMustTrip": 5, "opModLFRTMayTrip": 6, "opModLFRTMustTrip": 7,
    "opModLVRTMayTrip": 8, "opModLVRTMomentaryCessation": 9, "opModLVRTMustTrip": 10, "opModVoltVar": 11,
    "opModVoltWatt": 12, "opModWattPF": 13, "opModWattVar": 14,
}  # fmt: skip
"""Modes that follow a curve, with their curveType (2030.5 DERCurveType); the mode's value is the curve's href."""
OTHER_MODES = frozenset(
    {"opModConnect", "opModEnergize", "opModFixedW", "opModMaxLimW", "rampTms", "opModFixedPFInjectW",
     "opModFixedPFAbsorbW", "opModFixedVar", "opModFreqDroop"}
)  # fmt: skip
DEFAULT_SETTINGS = (
    "setGradW", "setSoftGradW", "setESDelay", "setESHighFreq", "setESHighVolt", "setESLowFreq", "setESLowVolt",
    "setESRampTms", "setESRandomDelay",
)  # fmt: skip
"""What a default control carries beside its modes: ramps, and when to enter service (IEEE 1547)."""
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


def assignment(row: Assignment, programs: int, tariffs: int, pen: int) -> dict[str, Any]:
    """Return a FunctionSetAssignments."""
    root = f"/edev/{row.device_id}"
    return {
        "href": f"{root}/fsa/{row.pk}", "subscribable": 0, "mRID": codec.mrid_of("fsa", row.pk, pen),
        "description": row.name[:31], "DERProgramListLink": link(f"{root}/fsa/{row.pk}/derp", programs),
        "TimeLink": link("/tm"), "ResponseSetListLink": link(f"{root}/rsps", 1),
        "TariffProfileListLink": link(f"{root}/fsa/{row.pk}/tp", tariffs) if tariffs else None,
    }  # fmt: skip


def program(row: Program, controls: int, active: int, curves: int, pen: int) -> dict[str, Any]:
    """Return a DERProgram."""
    root = f"/edev/{row.device_id}/derp/{row.pk}"
    return {
        "href": root, "subscribable": 0, "mRID": codec.mrid_of("derp", row.pk, pen), "description": row.description or None,
        "ActiveDERControlListLink": link(f"{root}/actderc", active), "DERControlListLink": link(f"{root}/derc", controls),
        "DefaultDERControlLink": link(f"{root}/dderc"), "primacy": row.primacy,
        "DERCurveListLink": link(f"{root}/dc", curves) if curves else None,
    }  # fmt: skip


def base(modes: dict[str, Any]) -> dict[str, Any]:
    """Return a DERControlBase from modes in watts (percentages and switches as they are)."""
    found = {name: codec.active_power(int(modes[name])) for name in modes if name in POWER_MODES}
    found |= {name: modes[name] for name in modes if name in OTHER_MODES}
    return found | {name: link(modes[name]) for name in modes if name in CURVE_MODES}


def plain(modes: dict[str, Any], rating_w: float | None) -> dict[str, Any]:
    """Return modes in the words of plain CSIP, which knows no import limit: export or generation as opModMaxLimW."""
    limits = [int(modes[name]) for name in ("opModExpLimW", "opModGenLimW") if name in modes]
    return modes | ({"opModMaxLimW": codec.max_limit(min(limits), rating_w)} if limits else {})


def default_control(row: Program, pen: int) -> dict[str, Any]:
    """Return a DefaultDERControl: what holds when no control does."""
    return {
        "href": f"/edev/{row.device_id}/derp/{row.pk}/dderc", "subscribable": SUBSCRIBABLE,
        "mRID": codec.mrid_of("dderc", row.pk, pen), "DERControlBase": base(row.default),
    } | {name: row.default.get(name) for name in DEFAULT_SETTINGS}  # fmt: skip


def control(row: Control, now: int) -> dict[str, Any]:
    """Return a DERControl with its state at `now` (seconds UTC)."""
    state, since = events.status(row.times, now)
    root = f"/edev/{row.device_id}"
    return {
        "href": f"{root}/derp/{row.program_id}/derc/{row.pk}", "replyTo": f"{root}/rsps/1/rsp", "responseRequired": "03",
        "subscribable": 0, "mRID": row.mrid, "creationTime": row.creation,
        "EventStatus": {"currentStatus": state, "dateTime": since, "potentiallySuperseded": row.superseded is not None},
        "interval": {"duration": row.duration, "start": row.start}, "randomizeStart": row.randomize_start,
        "randomizeDuration": row.randomize_duration,
        "DERControlBase": base(row.modes),
    }  # fmt: skip


def curve(row: Curve, *, device: int) -> dict[str, Any]:
    """Return a DERCurve."""
    return row.content | {
        "href": f"/edev/{device}/derp/{row.program_id}/dc/{row.pk}", "mRID": row.mrid, "creationTime": row.creation,
        "curveType": row.kind,
    }  # fmt: skip


def der(device: EndDevice) -> dict[str, Any]:
    """Return the one DER of a device."""
    root = f"/edev/{device.pk}/der/1"
    return {
        "href": root, "subscribable": 0, "AssociatedDERProgramListLink": link(f"{root}/derp"),
        "DERAvailabilityLink": link(f"{root}/dera"),
        "DERCapabilityLink": link(f"{root}/dercap"), "DERSettingsLink": link(f"{root}/derg"),
        "DERStatusLink": link(f"{root}/ders"),
    }  # fmt: skip


def usage_point(row: UsagePoint, streams: Iterable[MeterStream] | None = None) -> dict[str, Any]:
    """Return a MirrorUsagePoint with its reading types, without readings."""
    held = row.streams.all() if streams is None else streams
    kinds = [{"mRID": item.mrid, "ReadingType": item.reading_type or None} for item in held]
    return row.content | {
        "href": f"/mup/{row.pk}", "mRID": row.mrid, "postRate": row.post_rate, "MirrorMeterReading": kinds,
    }  # fmt: skip


def subscription(row: WireSubscription) -> dict[str, Any]:
    """Return a Subscription."""
    return {
        "href": f"/edev/{row.owner_id}/sub/{row.pk}", "subscribedResource": row.resource, "encoding": 0, "level": "+S1",
        "limit": row.limit, "notificationURI": row.uri,
    }  # fmt: skip


def flow_request(row: FlowReservation) -> dict[str, Any]:
    """Return a FlowReservationRequest as it came, with its present status."""
    status = {"dateTime": row.changed, "requestStatus": row.status}
    return row.content | {"href": f"/edev/{row.device_id}/frq/{row.pk}", "mRID": row.mrid, "RequestStatus": status}


def flow_response(row: FlowReservation, now: int) -> dict[str, Any]:
    """Return the FlowReservationResponse to a request: energy and power that are promised, W and Wh rounded down."""
    cancelled = row.changed if row.status == FlowReservation.CANCELLED else None
    state, since = events.status(events.Times(row.offer_start, row.offer_duration, row.creation, cancelled), now)
    return {
        "href": f"/edev/{row.device_id}/frp/{row.pk}", "subscribable": 0, "mRID": row.response_mrid,
        "creationTime": row.creation,
        "EventStatus": {"currentStatus": state, "dateTime": since, "potentiallySuperseded": False},
        "interval": {"duration": row.offer_duration, "start": row.offer_start},
        "energyAvailable": {"multiplier": 0, "value": int(row.offered_wh)},
        "powerAvailable": codec.active_power(int(row.offered_w)), "subject": row.mrid,
    }  # fmt: skip


ELECTRICITY, PREMISES_ROLE = 0, "0002"


def tariff(row: Any, *, device: int, pen: int) -> dict[str, Any]:
    """Return a TariffProfile; `parts`, `live`: how many components and unexpired intervals it has."""
    root = f"/edev/{device}/tp/{row.pk}"
    return {
        "href": root, "mRID": codec.mrid_of("tp", row.pk, pen), "description": row.name[:31], "currency": row.currency,
        "pricePowerOfTenMultiplier": row.multiplier, "primacy": row.primacy, "rateCode": row.rate_code or None,
        "RateComponentListLink": link(f"{root}/rc", row.parts), "serviceCategoryKind": ELECTRICITY,
        "CombinedTimeTariffIntervalListLink": link(f"{root}/ctti", row.live),
    }  # fmt: skip


def rate_component(row: Any, *, device: int, pen: int) -> dict[str, Any]:
    """Return a RateComponent; `live`, `active`: how many intervals stand in its lists."""
    root = f"/edev/{device}/tp/{row.tariff_id}/rc/{row.pk}"
    return {
        "href": root, "mRID": codec.mrid_of("rc", row.pk, pen), "description": row.name[:31],
        "ActiveTimeTariffIntervalListLink": link(f"{root}/acttti", row.active), "ReadingTypeLink": link(f"{root}/rt"),
        "roleFlags": PREMISES_ROLE, "TimeTariffIntervalListLink": link(f"{root}/tti", row.live),
    }  # fmt: skip


def price_href(row: PriceInterval, *, device: int) -> str:
    """Return where a TimeTariffInterval stands."""
    return f"/edev/{device}/tp/{row.component.tariff_id}/rc/{row.component_id}/tti/{row.pk}"


def price_blocks(row: PriceInterval, *, device: int) -> list[dict[str, Any]]:
    """Return the ConsumptionTariffIntervals: a single one is block 0 (not applicable), several count from 1."""
    root, many = price_href(row, device=device), len(row.blocks) > 1
    return [
        {"href": f"{root}/cti/{number}", "consumptionBlock": number if many else 0, "price": price, "startValue": start}
        for number, (start, price) in enumerate(row.blocks, start=1)
    ]


def price_interval(row: PriceInterval, now: int, *, device: int) -> dict[str, Any]:
    """Return a TimeTariffInterval with its state at `now`; CSIP-AUS v1.3 carries the prices inside."""
    root, state_since = price_href(row, device=device), events.status(row.times, now)
    blocks = price_blocks(row, device=device)
    return {
        "href": root, "subscribable": 0, "mRID": row.mrid, "creationTime": row.creation,
        "EventStatus": {"currentStatus": state_since[0], "dateTime": state_since[1],
                        "potentiallySuperseded": row.superseded is not None},
        "interval": {"duration": row.duration, "start": row.start},
        "ConsumptionTariffIntervalListLink": link(f"{root}/cti", len(blocks)), "touTier": row.tier,
        "ConsumptionTariffIntervalListSummary": {
            "href": f"{root}/cti", "all": len(blocks), "results": len(blocks), "ConsumptionTariffInterval": blocks,
        },
        "RateComponentLink": link(root.rpartition("/tti/")[0]),
    }  # fmt: skip
