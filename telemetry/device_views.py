"""IEEE 2030.5 devices and what their subscribers were told. Operators look and resend; engineers register and revoke."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from derms.access import access
from derms.errors import HeadroomError, NotFound
from interconnection import roles
from interconnection.roles import ENGINEER, OPERATOR, UTILITY
from telemetry import services, utility_queries, utility_services
from telemetry.utility_models import WireIdentity

WIRE, LISTENER_PORT = "ieee2030_5", 8443


@access(get=UTILITY, post=(ENGINEER,))
def devices(request: HttpRequest) -> HttpResponse:
    """All devices and aggregators; engineers register another one here."""
    if request.method == "POST":
        return _register(request)
    now = datetime.now(UTC)
    rows = utility_queries.device_list(now)
    context = {
        "rows": rows, "now": now, "may_register": roles.has(request.user, ENGINEER),
        "aggregators": [row for row in rows if row.role == "aggregator"],
        "ending": [row for row in rows if row.expiry_step is not None],
    }  # fmt: skip
    return render(request, "telemetry/devices.html", context)


@access(get=UTILITY)
def device(request: HttpRequest, number: int) -> HttpResponse:
    """One device: identity, certificate, programs, controls, answers, readings."""
    try:
        found = utility_queries.device_detail(number, datetime.now(UTC))
    except NotFound as error:
        raise Http404 from error
    context = {
        "found": found, "row": found.row, "now": datetime.now(UTC), "may_register": roles.has(request.user, ENGINEER),
        "told": utility_queries.subscription_log(20, device=number),
    }  # fmt: skip
    return render(request, "telemetry/device.html", context)


@access(post=(ENGINEER,))
def allow(request: HttpRequest, number: int) -> HttpResponse:
    """Revoke a device's certificate, or let it in again."""
    granted = request.POST.get("granted") == "yes"

    def act() -> str:
        row = utility_queries.device_detail(number, datetime.now(UTC), most=1).row
        utility_services.allow(row.lfdi, granted=granted)
        return "May come in again." if granted else "Revoked: open connections are cut within a minute."

    return _do(request, act, reverse("device", args=[number]))


@access(get=UTILITY)
def subscriptions(request: HttpRequest) -> HttpResponse:
    """What subscribers were told, newest first."""
    waiting = request.GET.get("view") == "waiting"
    log = utility_queries.subscription_log(waiting=waiting)
    context = {"log": log, "waiting": waiting, "may_resend": roles.has(request.user, OPERATOR, ENGINEER)}
    return render(request, "telemetry/subscriptions.html", context)


@access(post=(OPERATOR, ENGINEER))
def resend(request: HttpRequest, number: int) -> HttpResponse:
    """Tell a subscriber again, with the resource as it is now."""

    def act() -> str:
        row = utility_services.resend(number, datetime.now(UTC))
        return f"Notification {row.pk} is queued."

    return _do(request, act, reverse("subscriptions"))


def _register(request: HttpRequest) -> HttpResponse:
    form = request.POST

    def act() -> str:
        aggregator = form.get("role") == WireIdentity.AGGREGATOR
        row = utility_services.enrol(
            form.get("identity", "")[:20_000].strip(),
            now=int(time.time()),
            role=WireIdentity.AGGREGATOR if aggregator else WireIdentity.DEVICE,
            name=form.get("name", "")[:64],
            site=form.get("site", "")[:64],
            through=form.get("through", ""),
            groups=utility_services.TOPOLOGY if form.get("topology") else (),
            hosts=[host.strip() for host in form.get("hosts", "").split(",") if host.strip()],
        )
        if row.site:
            services.place_site(row.site, WIRE, "listener", LISTENER_PORT)
        return f"Registered {row.lfdi}" + ("." if aggregator else f"; its PIN is {row.pin}.")

    return _do(request, act, reverse("devices"))


def _do(request: HttpRequest, act: Callable[[], str], back: str) -> HttpResponse:
    try:
        messages.success(request, act())
    except HeadroomError as error:
        messages.error(request, f"Nothing was changed. {error.what}. {error.remedy}".strip())
    return redirect(back)
