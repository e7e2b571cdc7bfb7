"""The door, time, devices, their registration, DERs, logs and flow reservations."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings

from derms.errors import InputError, NotFound
from telemetry import hot_statements as hot
from telemetry import utility_offers as offers
from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import codec, resources, xml
from telemetry.protocols.ieee2030_5.web import (
    Answer,
    Client,
    Request,
    counted,
    created,
    listing,
    only,
    route,
    shown,
)
from telemetry.utility_models import (
    Assignment,
    EndDevice,
    WireSubscription,
)

DER_PARTS = {"dercap": "DERCapability", "derg": "DERSettings", "ders": "DERStatus", "dera": "DERAvailability"}


@route("/dcap", "GET")
def device_capability(request: Request, client: Client) -> Answer:
    """DeviceCapability: the door, with counts of this client."""
    who, name = client.who()
    devices, points = hot.rows(hot.COUNTS.format(who=who), [name, name])[0]
    value = {
        "href": "/dcap", "pollRate": client.rate("DeviceCapability"), "TimeLink": resources.link("/tm"),
        "EndDeviceListLink": resources.link("/edev", devices), "MirrorUsagePointListLink": resources.link("/mup", points),
    }  # fmt: skip
    return shown(client, "DeviceCapability", value)


@route("/tm", "GET")
def time(request: Request, client: Client) -> Answer:
    """Time."""
    return shown(client, "Time", resources.time_resource(request.now, settings.DISPLAY_TIME_ZONE))


@route("/edev", "GET")
def end_devices(request: Request, client: Client) -> Answer:
    """EndDeviceList of this client: an aggregator's own comes first."""
    rows = _counted(EndDevice.objects.filter(client.seen()))
    return listing(request, client, "EndDeviceList", "/edev", rows, _end_device, subscribable=True, changed=("changed",))


def _counted(rows: Any) -> Any:
    return rows.annotate(fsas=counted(Assignment, "device"), subs=counted(WireSubscription, "owner"))


def _end_device(row: Any) -> dict[str, Any]:
    return resources.end_device(row, {"fsa": row.fsas, "sub": row.subs})


@route("/edev", "POST")
def register(request: Request, client: Client) -> Answer:
    """In-band registration: a device itself only, an aggregator any; a second time is a conflict."""
    _, content = xml.parse(request.body, "EndDevice")
    lfdi = codec.checked_lfdi(content.get("lFDI") or (client.lfdi if content["sFDI"] == codec.sfdi_of(client.lfdi) else ""))
    if not settings.UTILITY_IN_BAND or (not client.aggregates and lfdi != client.lfdi):
        raise PermissionError
    if content["sFDI"] != codec.sfdi_of(lfdi):
        raise InputError("the SFDI is not that of the LFDI", where="sFDI")
    device = services.register_device(
        lfdi, aggregator=client.identity if client.aggregates else None, now=request.seconds,
        category=content.get("deviceCategory", "00"), post_rate=content.get("postRate", 60),
    )  # fmt: skip
    return created(client, f"/edev/{device.pk}", ["/edev"])


@route("/edev/#", "GET")
def end_device(request: Request, client: Client, number: str) -> Answer:
    """One EndDevice."""
    who, name = client.who()
    found = hot.rows(hot.DEVICE.format(who=who), [int(number), name])
    if not found:
        raise NotFound("no such device", where="edev")
    *columns, fsas, subs = found[0]
    device = EndDevice(**dict(zip(hot.DEVICE_COLUMNS, columns, strict=True)))
    return shown(client, "EndDevice", resources.end_device(device, {"fsa": fsas, "sub": subs}))


@route("/edev/#", "DELETE")
def forget(request: Request, client: Client, number: str) -> Answer:
    """Remove a device, where registration is in-band."""
    if not settings.UTILITY_IN_BAND:
        raise PermissionError
    device = client.device(number, own=False)
    below = WireSubscription.objects.filter(resource__startswith=f"/edev/{device.pk}/").values_list("resource", flat=True)
    touched = ("/edev", *below)
    device.delete()
    return Answer(204, touched=touched)


@route("/edev/#/rg", "GET")
def registration(request: Request, client: Client, number: str) -> Answer:
    """Registration with the PIN."""
    device = client.device(number, own=False)
    value = {"href": f"/edev/{device.pk}/rg", "dateTimeRegistered": device.registered, "pIN": device.pin}
    return shown(client, "Registration", value)


@route("/edev/#/cp", "GET")
def connection_point(request: Request, client: Client, number: str) -> Answer:
    """The CSIP-AUS ConnectionPoint."""
    device = client.device(number, own=False)
    if not client.profile.csipaus:
        raise NotFound("no such resource", where="path")
    value = {"href": f"/edev/{device.pk}/cp", "connectionPointId": device.connection_point}
    return shown(client, "ConnectionPoint", value)


@route("/edev/#/cp", "PUT", "POST")
def connect(request: Request, client: Client, number: str) -> Answer:
    """Store the connection point; an identifier outside the allocated ones is refused (CSIP-AUS)."""
    device = client.device(number, own=False)
    _, content = xml.parse(request.body, "ConnectionPoint")
    name = content["connectionPointId"].strip()
    if not re.fullmatch(settings.UTILITY_CONNECTION_POINTS, name):
        raise InputError("not a connection point of ours", where="connectionPointId")
    device.connection_point, device.changed = name, request.seconds
    device.save(update_fields=["connection_point", "changed"])
    return created(client, f"/edev/{device.pk}/cp", ["/edev"])


@route("/edev/#/der", "GET")
def ders(request: Request, client: Client, number: str) -> Answer:
    """DERList: one DER a device."""
    device = client.device(number, own=False)
    return listing(request, client, "DERList", f"/edev/{device.pk}/der", [device], resources.der)


@route("/edev/#/der/1", "GET")
def der(request: Request, client: Client, number: str) -> Answer:
    """The DER."""
    return shown(client, "DER", resources.der(client.device(number, own=False)))


@route("/edev/#/der/1/(dercap|derg|ders|dera)", "GET")
def reported(request: Request, client: Client, number: str, part: str) -> Answer:
    """What the device said last; missing until it has."""
    device = client.device(number, own=False)
    row = only(device.posted.filter(kind=DER_PARTS[part]))
    return shown(client, DER_PARTS[part], row.content | {"href": f"/edev/{device.pk}/der/1/{part}"})


@route("/edev/#/der/1/(dercap|derg|ders|dera)", "PUT", "POST")
def report(request: Request, client: Client, number: str, part: str) -> Answer:
    """Take capability, settings, status or availability."""
    device = client.device(number, own=False)
    _, content = xml.parse(request.body, DER_PARTS[part])
    made = services.report(device, DER_PARTS[part], content, request.seconds)
    href = f"/edev/{device.pk}/der/1/{part}"
    return created(client, href, [href]) if made else Answer(204, touched=(href,))


@route("/edev/#/lel", "GET")
def log(request: Request, client: Client, number: str) -> Answer:
    """LogEventList, by the moment of the event."""
    device = client.device(number)
    href = f"/edev/{device.pk}/lel"
    rows = device.posted.filter(kind="LogEvent").order_by("at", "id")
    render = _kept(href)
    return listing(request, client, "LogEventList", href, rows, render, changed=("at",))


def _kept(href: str) -> Any:
    return lambda row: row.content | {"href": f"{href}/{row.pk}"}


@route("/edev/#/lel/#", "GET", "DELETE")
def log_event(request: Request, client: Client, number: str, which: str) -> Answer:
    """One LogEvent, read or removed."""
    device = client.device(number)
    row = only(device.posted.filter(kind="LogEvent", pk=int(which)))
    if request.method == "DELETE":
        row.delete()
        return Answer(204)
    return shown(client, "LogEvent", _kept(f"/edev/{device.pk}/lel")(row))


@route("/edev/#/lel", "POST")
def add_log_event(request: Request, client: Client, number: str) -> Answer:
    """Take a LogEvent; its own moment orders it."""
    device = client.device(number)
    _, content = xml.parse(request.body, "LogEvent")
    row = services.log_event(device, content)
    return created(client, f"/edev/{device.pk}/lel/{row.pk}")


@route("/edev/#/frq", "GET")
def requests(request: Request, client: Client, number: str) -> Answer:
    """FlowReservationRequestList, the newest first."""
    device = client.device(number, own=False)
    href = f"/edev/{device.pk}/frq"
    rows = device.reservations.all()
    return listing(request, client, "FlowReservationRequestList", href, rows, resources.flow_request, changed=("changed",))


@route("/edev/#/frq/#", "GET")
def flow_request(request: Request, client: Client, number: str, which: str) -> Answer:
    """One FlowReservationRequest."""
    device = client.device(number, own=False)
    row = only(device.reservations.filter(pk=int(which)))
    return shown(client, "FlowReservationRequest", resources.flow_request(row))


@route("/edev/#/frq", "POST")
def reserve(request: Request, client: Client, number: str) -> Answer:
    """Take a FlowReservationRequest and answer it: energy and power that the agreement always gives."""
    device = client.device(number, own=False)
    _, content = xml.parse(request.body, "FlowReservationRequest")
    row = offers.reserve(device, content, now=request.seconds, pen=settings.UTILITY_PEN)
    return created(client, f"/edev/{device.pk}/frq/{row.pk}", [f"/edev/{device.pk}/frp"])


@route("/edev/#/frq/#", "PUT")
def change_request(request: Request, client: Client, number: str, which: str) -> Answer:
    """Change or cancel a FlowReservationRequest: it is answered anew."""
    device = client.device(number, own=False)
    row = only(device.reservations.filter(pk=int(which)))
    _, content = xml.parse(request.body, "FlowReservationRequest")
    if content["mRID"].upper() != row.mrid:
        raise InputError("this is another request's mRID", where="mRID")
    offers.reserve(device, content, now=request.seconds, pen=settings.UTILITY_PEN)
    return Answer(204, touched=(f"/edev/{device.pk}/frp",))


@route("/edev/#/frp", "GET")
def flow_responses(request: Request, client: Client, number: str) -> Answer:
    """FlowReservationResponseList, in the order of events."""
    device = client.device(number, own=False)
    href = f"/edev/{device.pk}/frp"
    rows = device.reservations.filter(end__gt=request.seconds).order_by("offer_start", "-changed", "-response_mrid")

    def render(row: Any) -> dict[str, Any]:
        return resources.flow_response(row, request.seconds)

    return listing(
        request, client, "FlowReservationResponseList", href, rows, render, subscribable=True, changed=("changed",)
    )


@route("/edev/#/frp/#", "GET")
def flow_response(request: Request, client: Client, number: str, which: str) -> Answer:
    """One FlowReservationResponse."""
    device = client.device(number, own=False)
    row = only(device.reservations.filter(pk=int(which)))
    return shown(client, "FlowReservationResponse", resources.flow_response(row, request.seconds))
