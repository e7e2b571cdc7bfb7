"""The door, time, devices, their registration, DERs, logs and flow reservations."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db.models import Count

from derms.errors import InputError, NotFound
from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import codec, resources, xml
from telemetry.protocols.ieee2030_5.web import (
    Answer,
    Client,
    Request,
    created,
    listing,
    only,
    rate,
    route,
    shown,
)
from telemetry.utility_models import (
    EndDevice,
    UsagePoint,
)

DER_PARTS = {"dercap": "DERCapability", "derg": "DERSettings", "ders": "DERStatus", "dera": "DERAvailability"}


@route("/dcap", "GET")
def device_capability(request: Request, client: Client) -> Answer:
    """DeviceCapability: the door, with counts of this client."""
    devices = EndDevice.objects.filter(client.seen())
    value = {
        "href": "/dcap", "pollRate": rate("DeviceCapability"), "TimeLink": resources.link("/tm"),
        "EndDeviceListLink": resources.link("/edev", devices.count()),
        "MirrorUsagePointListLink": resources.link("/mup", UsagePoint.objects.filter(device__in=devices).count()),
    }  # fmt: skip
    return shown(client, "DeviceCapability", value)


@route("/tm", "GET")
def time(request: Request, client: Client) -> Answer:
    """Time."""
    return shown(client, "Time", resources.time_resource(request.now, settings.DISPLAY_TIME_ZONE))


@route("/edev", "GET")
def end_devices(request: Request, client: Client) -> Answer:
    """EndDeviceList of this client: an aggregator's own comes first."""
    rows = EndDevice.objects.filter(client.seen()).annotate(
        fsas=Count("assignments", distinct=True), subs=Count("subscriptions", distinct=True)
    )
    rows = rows.order_by("-own", "sfdi", "id")  # grouping drops the order of the table
    return listing(request, client, "EndDeviceList", "/edev", rows, _end_device, subscribable=True)


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
    device = client.device(number)
    counts = {"fsa": device.assignments.count(), "sub": device.subscriptions.count()}
    return shown(client, "EndDevice", resources.end_device(device, counts))


@route("/edev/#", "DELETE")
def forget(request: Request, client: Client, number: str) -> Answer:
    """Remove a device, where registration is in-band."""
    if not settings.UTILITY_IN_BAND:
        raise PermissionError
    client.device(number, own=False).delete()
    return Answer(204, touched=("/edev",))


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
    made = not device.posted.filter(kind=DER_PARTS[part]).exists()
    services.report(device, DER_PARTS[part], content, request.seconds)
    href = f"/edev/{device.pk}/der/1/{part}"
    return created(client, href, [href]) if made else Answer(204, touched=(href,))


KEPT = {"lel": "LogEvent", "frq": "FlowReservationRequest", "frp": "FlowReservationResponse"}


@route("/edev/#/(lel|frq|frp)", "GET")
def kept(request: Request, client: Client, number: str, part: str) -> Answer:
    """LogEventList, FlowReservationRequestList, FlowReservationResponseList."""
    device = client.device(number)
    href = f"/edev/{device.pk}/{part}"
    rows = device.posted.filter(kind=KEPT[part])
    return listing(request, client, f"{KEPT[part]}List", href, rows, lambda row: row.content | {"href": f"{href}/{row.pk}"})


@route("/edev/#/(lel|frq|frp)/#", "GET")
def kept_one(request: Request, client: Client, number: str, part: str, which: str) -> Answer:
    """One LogEvent, FlowReservationRequest or FlowReservationResponse."""
    device = client.device(number)
    row = only(device.posted.filter(kind=KEPT[part], pk=int(which)))
    return shown(client, KEPT[part], row.content | {"href": f"/edev/{device.pk}/{part}/{row.pk}"})


@route("/edev/#/(lel|frq)", "POST")
def keep(request: Request, client: Client, number: str, part: str) -> Answer:
    """Take a LogEvent or a FlowReservationRequest."""
    device = client.device(number)
    _, content = xml.parse(request.body, KEPT[part])
    row = services.report(device, KEPT[part], content, request.seconds, keep=True)
    return created(client, f"/edev/{device.pk}/{part}/{row.pk}")
