"""Assignments, programs, controls, and what clients answer to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet

from derms.errors import NotFound
from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import codec, events, resources, xml
from telemetry.protocols.ieee2030_5.web import (
    Answer,
    Client,
    Request,
    created,
    listing,
    only,
    route,
    shown,
)
from telemetry.utility_models import (
    Assignment,
    Control,
    ControlResponse,
    EndDevice,
    Posted,
    Program,
)


@route("/edev/#/fsa", "GET")
def assignments(request: Request, client: Client, number: str) -> Answer:
    """FunctionSetAssignmentsList, in order of primacy."""
    device = client.device(number, own=False)
    rows = device.assignments.annotate(count=Count("programs")).order_by("primacy", "id")
    return listing(
        request, client, "FunctionSetAssignmentsList", f"/edev/{device.pk}/fsa", rows,
        lambda row: resources.assignment(row, row.count, settings.UTILITY_PEN), subscribable=True,
    )  # fmt: skip


@route("/edev/#/fsa/#", "GET")
def assignment(request: Request, client: Client, number: str, which: str) -> Answer:
    """One FunctionSetAssignments."""
    row = only(Assignment.objects.filter(device=client.device(number, own=False), pk=int(which)))
    return shown(client, "FunctionSetAssignments", resources.assignment(row, row.programs.count(), settings.UTILITY_PEN))


@route("/edev/#/derp", "GET")
@route("/edev/#/fsa/#/derp", "GET")
def programs(request: Request, client: Client, number: str, which: str = "") -> Answer:
    """DERProgramList of a device, or of one assignment, in order of primacy."""
    device = client.device(number, own=False)
    href = f"/edev/{device.pk}" + (f"/fsa/{which}" if which else "") + "/derp"
    rows = device.programs.all()
    if which:
        rows = only(device.assignments.filter(pk=int(which))).programs.all()
    now = request.seconds
    live = Q(controls__end__gt=now)
    if device.lent_until < now:
        live &= Q(controls__epoch=None)
    active = (
        live
        & Q(controls__start__lte=now, controls__cancelled=None)
        & (Q(controls__superseded=None) | Q(controls__superseded__gt=now))
    )
    rows = rows.annotate(live=Count("controls", filter=live), active=Count("controls", filter=active))
    rows = rows.order_by("primacy", "id")  # grouping drops the order of the table
    return listing(
        request, client, "DERProgramList", href, rows,
        lambda row: resources.program(row, row.live, row.active, settings.UTILITY_PEN), subscribable=True,
    )  # fmt: skip


def _program(client: Client, number: str, which: str) -> Program:
    """Return a program of a device that the client may see: one statement."""
    seen = client.seen(through="device__")
    rows = Program.objects.filter(seen, device_id=int(number), device__own=False, pk=int(which))
    found: Program = only(rows.select_related("device"))
    return found


def _live(row: Program, now: int) -> QuerySet[Control]:
    """Return a program's controls until their original end; what the engine does not vouch for any more is not served."""
    rows = row.controls.filter(end__gt=now)
    return rows.filter(epoch=None) if row.device.lent_until < now else rows


def _active(rows: Iterable[Control], now: int) -> list[Control]:
    return [row for row in rows if events.status(row.times, now)[0] == events.ACTIVE]


@route("/edev/#/derp/#", "GET")
def program(request: Request, client: Client, number: str, which: str) -> Answer:
    """One DERProgram."""
    row = _program(client, number, which)
    live = list(_live(row, request.seconds))
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
    rows = list(_live(row, request.seconds))  # one statement; a program holds days, not years
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
    held = _program(client, number, which)
    row = only(held.controls.filter(pk=int(event)))
    if row.epoch is not None and row.end > request.seconds > held.device.lent_until:
        raise NotFound("nobody vouches for this control any more", where="path")
    row.modes = _worded(client, row.device_id, row.modes)
    return shown(client, "DERControl", resources.control(row, request.seconds))


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
    return shown(client, "Response", _response(only(ControlResponse.objects.filter(control__device=device, pk=int(which)))))


@route("/edev/#/rsps/1/rsp", "POST")
def respond(request: Request, client: Client, number: str) -> Answer:
    """Take an answer to a control."""
    device = client.device(number, own=False)
    _, content = xml.parse(request.body, "DERControlResponse", "Response")
    row = services.respond(device, content, request.seconds)
    return created(client, f"/edev/{device.pk}/rsps/1/rsp/{row.pk}")
