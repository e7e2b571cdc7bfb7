"""Requests of 2030.5 clients → answers. Identity and `now` are arguments; another's resource answers as a missing one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.db.models import Count, Max, Q

from derms.errors import Conflict, HeadroomError, InputError, NotFound
from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import codec, events, resources, xml
from telemetry.protocols.ieee2030_5.xml import PROFILES, Profile
from telemetry.utility_models import (
    Assignment,
    Control,
    ControlResponse,
    EndDevice,
    Posted,
    Program,
    UsagePoint,
    WireIdentity,
    WireRate,
    WireSubscription,
)

DER_PARTS = {"dercap": "DERCapability", "derg": "DERSettings", "ders": "DERStatus", "dera": "DERAvailability"}
LARGEST_PAGE = 255
GRANT_STALE_S = 40
"""Renewed every 20 s; two cycles of 10 s later a grant counts as old."""
RATES = {"DeviceCapability": 300, "EndDeviceList": 300, "FunctionSetAssignmentsList": 300, "DERProgramList": 60,
         "DERList": 300, "MirrorUsagePointList": 300, "MirrorUsagePoint": 60}  # fmt: skip


FAILURES: tuple[tuple[type[Exception], int, int], ...] = (
    (Conflict, 409, 1),
    (NotFound, 404, 1),
    (PermissionError, 403, 1),
    (InputError, 400, 1),
    (HeadroomError, 503, 2),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What came in; `now` is UTC and `lfdi` the verified certificate's."""

    method: str
    path: str
    lfdi: str
    now: datetime
    query: str = ""
    body: bytes = b""

    @property
    def seconds(self) -> int:
        """Return whole seconds UTC."""
        return int(self.now.timestamp())

    def page(self) -> tuple[int, int]:
        """Return (start, limit): the standard's defaults are 0 and 1 (2030.5 6.6)."""
        asked = parse_qs(self.query)
        start, limit = (asked.get(name, [default])[0] for name, default in (("s", "0"), ("l", "1")))
        if not (start.isascii() and start.isdigit() and limit.isascii() and limit.isdigit() and len(start + limit) < 12):
            raise InputError("s and l are whole numbers", where="query")
        return int(start), min(int(limit), LARGEST_PAGE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    touched: tuple[str, ...] = ()
    """Resources that changed: their subscribers are told."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the certificate, its role, and the devices it may see."""

    lfdi: str
    identity: WireIdentity | None
    profile: Profile

    @property
    def aggregates(self) -> bool:
        """Say whether the client is an aggregator."""
        return self.identity is not None and self.identity.role == WireIdentity.AGGREGATOR

    def seen(self) -> Q:
        """Return the filter of devices that this client may see."""
        return Q(aggregator=self.identity) if self.aggregates else Q(lfdi=self.lfdi, aggregator=None)

    def device(self, number: str, *, own: bool | None = None) -> EndDevice:
        """Return a device by number; another's is missing."""
        rows = EndDevice.objects.filter(self.seen(), pk=int(number))
        found = (rows if own is None else rows.filter(own=own)).first()
        if found is None:
            raise NotFound("no such device", where="edev")
        return found


Handler = Callable[..., Answer]
ROUTES: list[tuple[re.Pattern[str], dict[str, Handler]]] = []


def route(pattern: str, *methods: str) -> Callable[[Handler], Handler]:
    """Register a handler for a path; numbers in it become arguments."""
    shape = re.compile(pattern.replace("#", r"([0-9]{1,12})"))

    def register(handler: Handler) -> Handler:
        table = next((found for known, found in ROUTES if known.pattern == shape.pattern), None)
        if table is None:
            ROUTES.append((shape, table := {}))
        table.update(dict.fromkeys(methods, handler))
        return handler

    return register


def handle(request: Request) -> Answer:
    """Answer one request; every failure is a lawful Error document."""
    profile = next(item for item in PROFILES if request.path.startswith(item.prefix + "/") or not item.prefix)
    try:
        answer = _dispatch(request, admit(request.lfdi, profile))
        return Answer(answer.status, "", answer.headers, answer.touched) if request.method == "HEAD" else answer
    except (HeadroomError, PermissionError) as error:
        if isinstance(error, InputError) and error.where == "body":
            return failure(400, 0, profile)
        status, reason = next(found for kind, *found in FAILURES if isinstance(error, kind))
        return failure(status, reason, profile)


def _dispatch(request: Request, client: Client) -> Answer:
    path = request.path.removeprefix(client.profile.prefix)
    for shape, table in ROUTES:
        if found := shape.fullmatch(path):
            method = "GET" if request.method == "HEAD" else request.method
            if method in table:
                return table[method](request, client, *found.groups())
            allowed = sorted(table) + (["HEAD"] if "GET" in table else [])
            return Answer(405, headers={"Allow": ", ".join(allowed)})
    raise NotFound("no such resource", where="path")


def failure(status: int, reason: int, profile: Profile) -> Answer:
    """Return an Error document (2030.5 table 7: 0 format, 1 values, 2 resource limit)."""
    return Answer(status, xml.document("Error", {"reasonCode": reason}, profile))


def admit(lfdi: str, profile: Profile) -> Client:
    """Return the client behind a certificate; revoked ones, and unknown ones without in-band registration, are refused."""
    identity = WireIdentity.objects.filter(lfdi=lfdi).first()
    if identity is not None and not identity.granted:
        raise PermissionError
    if (
        identity is None
        and not settings.UTILITY_IN_BAND
        and not EndDevice.objects.filter(lfdi=lfdi, aggregator=None).exists()
    ):
        raise PermissionError
    return Client(lfdi, identity, profile)


def rate(resource: str) -> int:
    """Return a resource's poll or post rate in seconds."""
    row = WireRate.objects.filter(resource=resource).first()
    return row.seconds if row else RATES[resource]


def shown(client: Client, kind: str, value: dict[str, Any]) -> Answer:
    """Return a resource as 200."""
    return Answer(200, xml.document(kind, value, client.profile))


def listing(
    request: Request, client: Client, kind: str, href: str, rows: Any, render: Callable[[Any], dict[str, Any]], *,
    item: str = "", polled: bool = True, subscribable: bool = False,
) -> Answer:  # fmt: skip
    """Return one page of a list with its exact counts; past the end it is empty."""
    start, limit = request.page()
    page = list(rows[start : start + limit])
    value: dict[str, Any] = {
        "href": href, "all": rows.count() if not isinstance(rows, list) else len(rows), "results": len(page),
        item or kind.removesuffix("List"): [render(row) for row in page],
    }  # fmt: skip
    if polled:
        value["pollRate"] = rate(kind) if kind in RATES else 300
    if subscribable:
        value["subscribable"] = resources.SUBSCRIBABLE
    return shown(client, kind, value)


def created(client: Client, href: str, touched: Iterable[str] = ()) -> Answer:
    """Return 201 with its Location."""
    return Answer(201, headers={"Location": client.profile.prefix + href}, touched=tuple(touched))


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


@route("/edev/#/fsa", "GET")
def assignments(request: Request, client: Client, number: str) -> Answer:
    """FunctionSetAssignmentsList, in order of primacy."""
    device = client.device(number, own=False)
    rows = device.assignments.annotate(count=Count("programs"))
    return listing(
        request, client, "FunctionSetAssignmentsList", f"/edev/{device.pk}/fsa", rows,
        lambda row: resources.assignment(row, row.count, settings.UTILITY_PEN), subscribable=True,
    )  # fmt: skip


@route("/edev/#/fsa/#", "GET")
def assignment(request: Request, client: Client, number: str, which: str) -> Answer:
    """One FunctionSetAssignments."""
    row = _one(Assignment.objects.filter(device=client.device(number, own=False), pk=int(which)))
    return shown(client, "FunctionSetAssignments", resources.assignment(row, row.programs.count(), settings.UTILITY_PEN))


@route("/edev/#/derp", "GET")
@route("/edev/#/fsa/#/derp", "GET")
def programs(request: Request, client: Client, number: str, which: str = "") -> Answer:
    """DERProgramList of a device, or of one assignment, in order of primacy."""
    device = client.device(number, own=False)
    href = f"/edev/{device.pk}" + (f"/fsa/{which}" if which else "") + "/derp"
    rows = device.programs.all()
    if which:
        rows = _one(device.assignments.filter(pk=int(which))).programs.all()
    now = request.seconds
    live = Q(controls__end__gt=now)
    active = (
        live
        & Q(controls__start__lte=now, controls__cancelled=None)
        & (Q(controls__superseded=None) | Q(controls__superseded__gt=now))
    )
    rows = rows.annotate(live=Count("controls", filter=live), active=Count("controls", filter=active))
    return listing(
        request, client, "DERProgramList", href, rows,
        lambda row: resources.program(row, row.live, row.active, settings.UTILITY_PEN), subscribable=True,
    )  # fmt: skip


def _program(client: Client, number: str, which: str) -> Program:
    return _one(Program.objects.filter(device=client.device(number, own=False), pk=int(which)))


def _one(rows: Any) -> Any:
    found = rows.first()
    if found is None:
        raise NotFound("no such resource", where="path")
    return found


def _active(rows: Iterable[Control], now: int) -> list[Control]:
    return [row for row in rows if events.status(row.times, now)[0] == events.ACTIVE]


@route("/edev/#/derp/#", "GET")
def program(request: Request, client: Client, number: str, which: str) -> Answer:
    """One DERProgram."""
    row = _program(client, number, which)
    live = list(row.controls.filter(end__gt=request.seconds))
    value = resources.program(row, len(live), len(_active(live, request.seconds)), settings.UTILITY_PEN)
    return shown(client, "DERProgram", value)


@route("/edev/#/derp/#/dderc", "GET")
def default_control(request: Request, client: Client, number: str, which: str) -> Answer:
    """DefaultDERControl: the failsafe."""
    row = _program(client, number, which)
    row.default = _worded(client, row.device_id, row.default)
    return shown(client, "DefaultDERControl", resources.default_control(row, settings.UTILITY_PEN))


def _worded(client: Client, device: int, modes: dict[str, Any], rating: float | None = None) -> dict[str, Any]:
    """Return modes as this client's profile says them."""
    if client.profile.csipaus:
        return modes
    return resources.plain(modes, _rating(device) if rating is None else rating)


def _rating(device: int) -> float | None:
    row = Posted.objects.filter(device_id=device, kind="DERSettings").first()
    return codec.watts_of(row.content["setMaxW"]) if row else None


@route("/edev/#/derp/#/(derc|actderc)", "GET")
def controls(request: Request, client: Client, number: str, which: str, part: str) -> Answer:
    """DERControlList, and the list of the active ones."""
    row = _program(client, number, which)
    href = f"/edev/{row.device_id}/derp/{row.pk}/{part}"
    rows: Any = row.controls.filter(end__gt=request.seconds)
    newest = row.controls.exclude(epoch=None).aggregate(newest=Max("creation"))["newest"]
    if newest is not None and newest < request.seconds - GRANT_STALE_S:
        rows = rows.filter(epoch=None)  # the engine has stopped renewing: what it lent is not served as current
    if part == "actderc":
        rows = _active(rows, request.seconds)
    rating = None if client.profile.csipaus else _rating(row.device_id) or 0.0

    def render(item: Control) -> dict[str, Any]:
        item.modes = _worded(client, row.device_id, item.modes, rating)
        return resources.control(item, request.seconds)

    return listing(request, client, "DERControlList", href, rows, render, polled=False, subscribable=True)


@route("/edev/#/derp/#/derc/#", "GET")
def control(request: Request, client: Client, number: str, which: str, event: str) -> Answer:
    """One DERControl, completed ones too."""
    row = _one(_program(client, number, which).controls.filter(pk=int(event)))
    row.modes = _worded(client, row.device_id, row.modes)
    return shown(client, "DERControl", resources.control(row, request.seconds))


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
    row = _one(device.posted.filter(kind=DER_PARTS[part]))
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


@route("/edev/#/rsps", "GET")
def response_sets(request: Request, client: Client, number: str) -> Answer:
    """ResponseSetList: one set a device."""
    device = client.device(number, own=False)
    return listing(request, client, "ResponseSetList", f"/edev/{device.pk}/rsps", [device], _response_set)


def _response_set(device: EndDevice) -> dict[str, Any]:
    root = f"/edev/{device.pk}/rsps/1"
    count = ControlResponse.objects.filter(control__device=device).count()
    mrid = codec.mrid_of("rsps", device.pk, settings.UTILITY_PEN)
    return {"href": root, "mRID": mrid, "ResponseListLink": resources.link(f"{root}/rsp", count)}


@route("/edev/#/rsps/1", "GET")
def response_set(request: Request, client: Client, number: str) -> Answer:
    """The ResponseSet."""
    return shown(client, "ResponseSet", _response_set(client.device(number, own=False)))


def _response(row: ControlResponse) -> dict[str, Any]:
    device = row.control.device
    return {
        "href": f"/edev/{device.pk}/rsps/1/rsp/{row.pk}", "createdDateTime": row.created, "endDeviceLFDI": device.lfdi,
        "status": row.status, "subject": row.control.mrid,
    }  # fmt: skip


@route("/edev/#/rsps/1/rsp", "GET")
def responses(request: Request, client: Client, number: str) -> Answer:
    """ResponseList, newest first."""
    device = client.device(number, own=False)
    rows = ControlResponse.objects.filter(control__device=device).select_related("control__device")
    return listing(request, client, "ResponseList", f"/edev/{device.pk}/rsps/1/rsp", rows, _response, polled=False)


@route("/edev/#/rsps/1/rsp/#", "GET")
def response(request: Request, client: Client, number: str, which: str) -> Answer:
    """One Response."""
    device = client.device(number, own=False)
    return shown(client, "Response", _response(_one(ControlResponse.objects.filter(control__device=device, pk=int(which)))))


@route("/edev/#/rsps/1/rsp", "POST")
def respond(request: Request, client: Client, number: str) -> Answer:
    """Take an answer to a control."""
    device = client.device(number, own=False)
    _, content = xml.parse(request.body, "DERControlResponse", "Response")
    row = services.respond(device, content, request.seconds)
    return created(client, f"/edev/{device.pk}/rsps/1/rsp/{row.pk}")


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
    row = _one(device.posted.filter(kind=KEPT[part], pk=int(which)))
    return shown(client, KEPT[part], row.content | {"href": f"/edev/{device.pk}/{part}/{row.pk}"})


@route("/edev/#/(lel|frq)", "POST")
def keep(request: Request, client: Client, number: str, part: str) -> Answer:
    """Take a LogEvent or a FlowReservationRequest."""
    device = client.device(number)
    _, content = xml.parse(request.body, KEPT[part])
    row = services.report(device, KEPT[part], content, request.seconds, keep=True)
    return created(client, f"/edev/{device.pk}/{part}/{row.pk}")


@route("/mup", "GET")
def usage_points(request: Request, client: Client) -> Answer:
    """MirrorUsagePointList of this client."""
    rows = UsagePoint.objects.filter(device__in=EndDevice.objects.filter(client.seen())).prefetch_related("streams")
    return listing(request, client, "MirrorUsagePointList", "/mup", rows, resources.usage_point)


@route("/mup", "POST")
def mirror(request: Request, client: Client) -> Answer:
    """Add or replace a usage point by its mRID."""
    _, content = xml.parse(request.body, "MirrorUsagePoint")
    device = EndDevice.objects.filter(client.seen(), lfdi=content["deviceLFDI"].upper()).first()
    if device is None:
        raise PermissionError
    row = services.mirror(device, content, client.seen(), rate("MirrorUsagePoint"), request.seconds)
    return created(client, f"/mup/{row.pk}")


def _point(client: Client, which: str) -> UsagePoint:
    found: UsagePoint = _one(
        UsagePoint.objects.filter(device__in=EndDevice.objects.filter(client.seen()), pk=int(which)).prefetch_related(
            "streams"
        )
    )
    return found


@route("/mup/#", "GET")
def usage_point(request: Request, client: Client, which: str) -> Answer:
    """One MirrorUsagePoint."""
    return shown(client, "MirrorUsagePoint", resources.usage_point(_point(client, which)))


@route("/mup/#", "POST", "PUT")
def readings(request: Request, client: Client, which: str) -> Answer:
    """Take a reading or a list of readings."""
    row = _point(client, which)
    kind, content = xml.parse(request.body, "MirrorMeterReading", "MirrorMeterReadingList")
    items = [content] if kind == "MirrorMeterReading" else content.get("MirrorMeterReading", [])
    services.read_in(row, items, request.seconds)
    return created(client, f"/mup/{row.pk}")


@route("/mup/#", "DELETE")
def unmirror(request: Request, client: Client, which: str) -> Answer:
    """Remove a usage point."""
    _point(client, which).delete()
    return Answer(204)


@route("/edev/#/sub", "GET")
def subscriptions(request: Request, client: Client, number: str) -> Answer:
    """SubscriptionList of an aggregator's own device."""
    device = client.device(number, own=True)
    rows = device.subscriptions.all()
    return listing(request, client, "SubscriptionList", f"/edev/{device.pk}/sub", rows, resources.subscription)


@route("/edev/#/sub", "POST")
def subscribe(request: Request, client: Client, number: str) -> Answer:
    """Take a subscription, or update it; the address must be on the client's allow-list and TLS outside tests."""
    device = client.device(number, own=True)
    assert client.identity is not None
    _, content = xml.parse(request.body, "Subscription")
    resource = content["subscribedResource"]
    place = urlsplit(content["notificationURI"])
    if not resource.startswith(client.profile.prefix + "/") or content["encoding"] != 0 or content.get("Condition"):
        raise InputError("only whole resources of ours, as XML", where="subscribedResource")
    if (
        place.hostname not in client.identity.hosts
        or place.scheme not in settings.UTILITY_WEBHOOK_SCHEMES
        or place.username
    ):
        raise InputError("this address is not on the allow-list", where="notificationURI")
    resource = resource.removeprefix(client.profile.prefix)
    look = Request("GET", client.profile.prefix + resource, client.lfdi, request.now, "l=0")
    if (answer := handle(look)).status != 200 or 'subscribable="1"' not in answer.body:
        raise InputError("this resource cannot be subscribed to", where="subscribedResource")
    row, _ = WireSubscription.objects.update_or_create(
        owner=device, resource=resource, uri=content["notificationURI"], profile=client.profile.name,
        defaults={"limit": content["limit"]},
    )  # fmt: skip
    return created(client, f"/edev/{device.pk}/sub/{row.pk}")


@route("/edev/#/sub/#", "GET", "DELETE")
def subscription(request: Request, client: Client, number: str, which: str) -> Answer:
    """One Subscription, read or ended."""
    row = _one(client.device(number, own=True).subscriptions.filter(pk=int(which)))
    if request.method == "DELETE":
        row.delete()
        return Answer(204)
    return shown(client, "Subscription", resources.subscription(row))
