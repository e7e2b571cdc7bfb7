"""Assignments, programs, controls, curves, and what clients answer to controls."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from derms.errors import NotFound
from telemetry import hot_statements as hot
from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import codec, fragments, resources, xml
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
    Control,
    ControlResponse,
    Curve,
    EndDevice,
    Program,
    Tariff,
)


@route("/edev/#/fsa", "GET")
def assignments(request: Request, client: Client, number: str) -> Answer:
    """FunctionSetAssignmentsList, in order of primacy."""
    device = client.device(number, own=False)
    rows = _counted_assignments(device.assignments.all()).order_by("primacy", "id")
    return listing(
        request, client, "FunctionSetAssignmentsList", f"/edev/{device.pk}/fsa", rows, _assignment, subscribable=True
    )


def _counted_assignments(rows: QuerySet[Assignment]) -> QuerySet[Assignment]:
    tariffs = counted(Tariff.assignments.through, "assignment")
    return rows.annotate(count=counted(Program, "assignment"), tariff_count=tariffs)


def _assignment(row: Any) -> dict[str, Any]:
    return resources.assignment(row, row.count, row.tariff_count, settings.UTILITY_PEN)


@route("/edev/#/fsa/#", "GET")
def assignment(request: Request, client: Client, number: str, which: str) -> Answer:
    """One FunctionSetAssignments."""
    rows = Assignment.objects.filter(client.seen(through="device__"), device_id=int(number), device__own=False)
    return shown(client, "FunctionSetAssignments", _assignment(only(_counted_assignments(rows).filter(pk=int(which)))))


@route("/edev/#/derp", "GET")
@route("/edev/#/fsa/#/derp", "GET")
def programs(request: Request, client: Client, number: str, which: str = "") -> Answer:
    """DERProgramList of a device, or of one assignment, in order of primacy."""
    device = client.device(number, own=False)
    href = f"/edev/{device.pk}" + (f"/fsa/{which}" if which else "") + "/derp"
    rows = device.programs.all()
    if which:
        rows = only(device.assignments.filter(pk=int(which))).programs.all()
    held = _in_order(_counted_programs(rows, device, request.seconds))
    return listing(request, client, "DERProgramList", href, held, _shown_program, subscribable=True)


def _in_order(rows: QuerySet[Program]) -> list[Program]:
    """Return programs by primacy, then by mRID downwards: the order of the list. A device has a score of them at most."""
    pen = settings.UTILITY_PEN
    newest = sorted(rows, key=lambda row: codec.mrid_of("derp", row.pk, pen), reverse=True)
    return sorted(newest, key=lambda row: row.primacy)


@route("/edev/#/der/1/derp", "GET")
def associated(request: Request, client: Client, number: str) -> Answer:
    """AssociatedDERProgramList: one DER a device, so all its programs."""
    device = client.device(number, own=False)
    held = _in_order(_counted_programs(device.programs.all(), device, request.seconds))
    return listing(request, client, "DERProgramList", f"/edev/{device.pk}/der/1/derp", held, _shown_program)


def _counted_programs(rows: QuerySet[Program], device: EndDevice, now: int) -> QuerySet[Program]:
    live = _unexpired(device, now)
    active = live & Q(start__lte=now, cancelled=None) & (Q(superseded=None) | Q(superseded__gt=now))
    return rows.annotate(
        live=counted(Control, "program", live), active=counted(Control, "program", active), bends=counted(Curve, "program")
    )


def _unexpired(device: EndDevice, now: int) -> Q:
    """Return the filter of controls until their original end; what the engine does not vouch for is not served."""
    return Q(end__gt=now, epoch=None) if device.lent_until < now else Q(end__gt=now)


def _shown_program(row: Any) -> dict[str, Any]:
    return resources.program(row, row.live, row.active, row.bends, settings.UTILITY_PEN)


def _program(client: Client, number: str, which: str) -> Program:
    """Return a program of a device that the client may see, with its device: one statement."""
    seen = client.seen(through="device__")
    rows = Program.objects.filter(seen, device_id=int(number), device__own=False, pk=int(which))
    found: Program = only(rows.select_related("device"))
    return found


@route("/edev/#/derp/#", "GET")
def program(request: Request, client: Client, number: str, which: str) -> Answer:
    """One DERProgram."""
    held = _program(client, number, which)
    rows = _counted_programs(Program.objects.filter(pk=held.pk), held.device, request.seconds)
    return shown(client, "DERProgram", _shown_program(only(rows)))


@route("/edev/#/derp/#/dderc", "GET")
def default_control(request: Request, client: Client, number: str, which: str) -> Answer:
    """DefaultDERControl: the failsafe."""
    row = _program(client, number, which)
    if not client.profile.csipaus:
        row.default = resources.plain(row.default, row.device.rating_w)
    return shown(client, "DefaultDERControl", resources.default_control(row, settings.UTILITY_PEN))


@route("/edev/#/derp/#/(derc|actderc)", "GET")
def controls(request: Request, client: Client, number: str, which: str, part: str) -> Answer:
    """DERControlList, and the list of the active ones. Two statements: the program and its controls (days, not years)."""
    page, now, (who, name) = request.page(), request.seconds, client.who()
    found = hot.rows(hot.PROGRAM.format(who=who), [int(which), int(number), name])
    if not found:
        raise NotFound("no such resource", where="path")
    program_id, device_id, lent_until, rating_w = found[0]
    held = hot.rows(hot.CONTROLS, [program_id, now, lent_until, now])  # what nobody vouches for is not served
    if page.after:
        held = [row for row in held if max(row[4], row[5] or 0, row[6] or 0) >= page.after]
    if part == "actderc":
        held = [row for row in held if row[2] <= now and row[5] is None and (row[6] is None or row[6] > now)]
    profile = client.profile
    root = f"{profile.prefix}/edev/{device_id}"
    words = None if profile.csipaus else partial(resources.plain, rating_w=rating_w)
    items = [
        fragments.control(row, f"{root}/derp/{program_id}/derc", f"{root}/rsps/1/rsp", now, profile, words)
        for row in held[page.start : page.start + page.limit]
    ]
    href = f"{root}/derp/{program_id}/{part}"
    return Answer(200, fragments.control_list("DERControlList", href, items, len(held), profile))


@route("/edev/#/derp/#/derc/#", "GET")
def control(request: Request, client: Client, number: str, which: str, event: str) -> Answer:
    """One DERControl, completed ones too."""
    held = _program(client, number, which)
    row = only(held.controls.filter(pk=int(event)))
    if row.epoch is not None and row.end > request.seconds > held.device.lent_until:
        raise NotFound("nobody vouches for this control any more", where="path")
    if not client.profile.csipaus:
        row.modes = resources.plain(row.modes, held.device.rating_w)
    return shown(client, "DERControl", resources.control(row, request.seconds))


@route("/edev/#/derp/#/dc", "GET")
def curves(request: Request, client: Client, number: str, which: str) -> Answer:
    """DERCurveList of a program, the newest first."""
    row = _program(client, number, which)
    href = f"/edev/{row.device_id}/derp/{row.pk}/dc"
    render = partial(resources.curve, device=row.device_id)
    return listing(request, client, "DERCurveList", href, row.curves.all(), render, polled=False, changed=("creation",))


@route("/edev/#/derp/#/dc/#", "GET")
def curve(request: Request, client: Client, number: str, which: str, bend: str) -> Answer:
    """One DERCurve."""
    row = _program(client, number, which)
    return shown(client, "DERCurve", resources.curve(only(row.curves.filter(pk=int(bend))), device=row.device_id))


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
    href = f"/edev/{device.pk}/rsps/1/rsp"
    return listing(request, client, "ResponseList", href, rows, _response, polled=False, changed=("created",))


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
