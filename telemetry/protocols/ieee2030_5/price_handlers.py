"""Pricing (2030.5 10.4; CSIP-AUS v1.3 annex): tariff profiles, rate components, time intervals and their blocks."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from derms.errors import NotFound
from telemetry.protocols.ieee2030_5 import resources
from telemetry.protocols.ieee2030_5.web import (
    Answer,
    Client,
    Request,
    counted,
    listing,
    only,
    route,
    shown,
)
from telemetry.utility_models import PriceInterval, RateComponent, Tariff


def _seen(client: Client, number: str, assignment: str = "") -> QuerySet[Tariff]:
    """Return the tariffs of a device that the client may see."""
    seen = client.seen(through="assignments__device__") & Q(assignments__device_id=int(number))
    if assignment:
        seen &= Q(assignments__id=int(assignment))
    rows: QuerySet[Tariff] = Tariff.objects.filter(seen).distinct()
    return rows


def _components(client: Client, number: str, which: str) -> QuerySet[RateComponent]:
    return RateComponent.objects.filter(tariff__in=_seen(client, number).filter(pk=int(which)))


def _intervals(rows: QuerySet[PriceInterval], now: int, *, active: bool = False) -> QuerySet[PriceInterval]:
    """Return price intervals until their original end, as the list of any events (2030.5 10.2)."""
    rows = rows.filter(end__gt=now)
    if active:
        rows = rows.filter(Q(superseded=None) | Q(superseded__gt=now), start__lte=now, cancelled=None)
    return rows


@route("/edev/#/tp", "GET")
@route("/edev/#/fsa/#/tp", "GET")
def tariffs(request: Request, client: Client, number: str, which: str = "") -> Answer:
    """TariffProfileList of a device, or of one assignment, by primacy."""
    device = client.device(number, own=False)
    href = f"/edev/{device.pk}" + (f"/fsa/{which}" if which else "") + "/tp"
    rows = _counted(_seen(client, number, which), request.seconds).order_by("primacy", "id")
    render = partial(resources.tariff, device=device.pk, pen=settings.UTILITY_PEN)
    return listing(request, client, "TariffProfileList", href, rows, render, subscribable=True)


def _counted(rows: QuerySet[Tariff], now: int) -> QuerySet[Tariff]:
    live = counted(PriceInterval, "component__tariff", Q(end__gt=now))
    return rows.annotate(parts=counted(RateComponent, "tariff"), live=live)


@route("/edev/#/tp/#", "GET")
def tariff(request: Request, client: Client, number: str, which: str) -> Answer:
    """One TariffProfile."""
    row = only(_counted(_seen(client, number), request.seconds).filter(pk=int(which)))
    return shown(client, "TariffProfile", resources.tariff(row, device=int(number), pen=settings.UTILITY_PEN))


@route("/edev/#/tp/#/ctti", "GET")
def combined(request: Request, client: Client, number: str, which: str) -> Answer:
    """CombinedTimeTariffIntervalList (CSIP-AUS v1.3): the intervals of all components of a tariff."""
    row = only(_seen(client, number).filter(pk=int(which)))
    rows = _intervals(PriceInterval.objects.filter(component__tariff=row), request.seconds)
    return _shown_intervals(request, client, f"/edev/{int(number)}/tp/{row.pk}/ctti", rows, int(number))


@route("/edev/#/tp/#/rc", "GET")
def components(request: Request, client: Client, number: str, which: str) -> Answer:
    """RateComponentList."""
    row = only(_seen(client, number).filter(pk=int(which)))
    rows = _counted_components(row.components.all(), request.seconds).order_by("id")
    render = partial(resources.rate_component, device=int(number), pen=settings.UTILITY_PEN)
    return listing(request, client, "RateComponentList", f"/edev/{int(number)}/tp/{row.pk}/rc", rows, render, polled=False)


def _counted_components(rows: QuerySet[RateComponent], now: int) -> QuerySet[RateComponent]:
    live = Q(end__gt=now)
    active = live & Q(start__lte=now, cancelled=None) & (Q(superseded=None) | Q(superseded__gt=now))
    return rows.annotate(live=counted(PriceInterval, "component", live), active=counted(PriceInterval, "component", active))


@route("/edev/#/tp/#/rc/#", "GET")
def component(request: Request, client: Client, number: str, which: str, part: str) -> Answer:
    """One RateComponent."""
    row = only(_counted_components(_components(client, number, which).filter(pk=int(part)), request.seconds))
    value = resources.rate_component(row, device=int(number), pen=settings.UTILITY_PEN)
    return shown(client, "RateComponent", value)


@route("/edev/#/tp/#/rc/#/rt", "GET")
def reading_type(request: Request, client: Client, number: str, which: str, part: str) -> Answer:
    """The ReadingType that a component prices."""
    row = only(_components(client, number, which).filter(pk=int(part)))
    href = f"/edev/{int(number)}/tp/{row.tariff_id}/rc/{row.pk}/rt"
    value = {"href": href, "commodity": 1, "flowDirection": row.flow_direction, "powerOfTenMultiplier": 3, "uom": row.uom}
    return shown(client, "ReadingType", value)


@route("/edev/#/tp/#/rc/#/(tti|acttti)", "GET")
def intervals(request: Request, client: Client, number: str, which: str, part: str, kind: str) -> Answer:
    """TimeTariffIntervalList, and the list of the active ones."""
    row = only(_components(client, number, which).filter(pk=int(part)))
    rows = _intervals(row.intervals.all(), request.seconds, active=kind == "acttti")
    href = f"/edev/{int(number)}/tp/{row.tariff_id}/rc/{row.pk}/{kind}"
    return _shown_intervals(request, client, href, rows, int(number))


def _shown_intervals(request: Request, client: Client, href: str, rows: QuerySet[PriceInterval], device: int) -> Answer:
    held = rows.select_related("component").order_by("start", "-creation", "-mrid")

    def render(row: Any) -> dict[str, Any]:
        return resources.price_interval(row, request.seconds, device=device)

    changed = ("creation", "cancelled", "superseded")
    return listing(
        request, client, "TimeTariffIntervalList", href, held, render, polled=False, subscribable=True, changed=changed
    )


def _interval(client: Client, number: str, which: str, part: str, event: str) -> PriceInterval:
    held = PriceInterval.objects.filter(component__in=_components(client, number, which).filter(pk=int(part)))
    found: PriceInterval = only(held.filter(pk=int(event)).select_related("component"))
    return found


@route("/edev/#/tp/#/rc/#/tti/#", "GET")
def interval(request: Request, client: Client, number: str, which: str, part: str, event: str) -> Answer:
    """One TimeTariffInterval."""
    row = _interval(client, number, which, part, event)
    return shown(client, "TimeTariffInterval", resources.price_interval(row, request.seconds, device=int(number)))


@route("/edev/#/tp/#/rc/#/tti/#/cti", "GET")
def blocks(request: Request, client: Client, number: str, which: str, part: str, event: str) -> Answer:
    """ConsumptionTariffIntervalList: the price of each block, from the first on."""
    row = _interval(client, number, which, part, event)
    found = resources.price_blocks(row, device=int(number))
    href = f"{resources.price_href(row, device=int(number))}/cti"
    return listing(request, client, "ConsumptionTariffIntervalList", href, found, lambda item: item, polled=False)


@route("/edev/#/tp/#/rc/#/tti/#/cti/#", "GET")
def block(request: Request, client: Client, number: str, which: str, part: str, event: str, step: str) -> Answer:
    """One ConsumptionTariffInterval."""
    found = resources.price_blocks(_interval(client, number, which, part, event), device=int(number))
    value = next((item for item in found if item["href"].endswith(f"/cti/{int(step)}")), None)
    if value is None:
        raise NotFound("no such resource", where="path")
    return shown(client, "ConsumptionTariffInterval", value)
