"""Orders of operators: one person lowers at once, two raise. Every form comes back to its page with what became of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from derms.access import access
from derms.errors import HeadroomError, InputError
from derms.limits import Limit
from derms.units import kilowatts_to_watts
from interconnection.roles import APPROVER, OPERATOR, UTILITY
from telemetry import order_queries, order_services
from telemetry.control import orders
from telemetry.order_models import OperatorOrder
from telemetry.views import part_of

APPROVING = (OPERATOR, APPROVER)
LONGEST_MINUTES = 7 * 24 * 60


@access(get=UTILITY)
def order_list(request: HttpRequest) -> HttpResponse:
    """What waits for a second person, what is in force, and what was."""
    now = datetime.now(UTC)
    context = {"waiting": order_queries.waiting(), "rows": OperatorOrder.objects.all()[:200], "now": now}
    return part_of(request, "telemetry/orders.html", "telemetry/_orders.html", context)


@access(post=(OPERATOR,))
def give(request: HttpRequest, feeder: str) -> HttpResponse:
    """Give an order on a site, or on the whole feeder where the form names none."""
    form, by = request.POST, str(request.user)
    site, kind, reason = form.get("site", "")[:64], form.get("kind", ""), form.get("reason", "")[:300]

    def act(now: datetime) -> str:
        facts: dict[str, Any] = {"by": by, "reason": reason, "now": now}
        if kind in (orders.CAP, orders.RAISE):
            limit = Limit(_watts(form.get("import_kw", ""), "import_kw"), _watts(form.get("export_kw", ""), "export_kw"))
            give_it = order_services.cap_site if kind == orders.CAP else order_services.propose_raise
            order = give_it(feeder, site, limit, expires=now + _minutes(form.get("minutes", "")), **facts)
        elif kind == orders.HOLD:
            order = order_services.hold(feeder, site, expires=now + _minutes(form.get("minutes", "")), **facts)
        elif kind == orders.FAILSAFE:
            order = order_services.failsafe_now(feeder, site, **facts)
        elif kind == orders.TRIP:
            order = order_services.request_trip(feeder, site, **facts)
        elif kind == orders.RESET:
            order = order_services.propose_reset(feeder, site, **facts)
        else:
            raise InputError(f"there is no order {kind!r}", where="kind", remedy="One of " + ", ".join(orders.KINDS) + ".")
        if order.state == OperatorOrder.PROPOSED:
            return f"Order {order.pk} is proposed: another person must approve it within 15 minutes."
        return f"Order {order.pk} is in force: {order.kind} on {site or 'every site of ' + feeder}."

    return _do(request, act)


@access(post=(OPERATOR,))
def set_mode(request: HttpRequest, feeder: str) -> HttpResponse:
    """Set the feeder's mode."""
    mode, reason = request.POST.get("mode", ""), request.POST.get("reason", "")[:300]

    def act(now: datetime) -> str:
        order_services.set_mode(feeder, mode, by=str(request.user), reason=reason, now=now)
        return f"{feeder} is {mode} from the next cycle on."

    return _do(request, act)


@access(post=APPROVING)
def approve(request: HttpRequest, number: int) -> HttpResponse:
    """Approve a proposal, or the proposed end of an order, as the second person."""

    def act(now: datetime) -> str:
        waits = OperatorOrder.objects.filter(pk=number, state=OperatorOrder.PROPOSED).exists()
        do = order_services.approve if waits else order_services.approve_release
        do(number, by=str(request.user), now=now)
        return f"Order {number} is {'in force' if waits else 'released'}."

    return _do(request, act)


@access(post=APPROVING)
def reject(request: HttpRequest, number: int) -> HttpResponse:
    """Refuse a proposal."""

    def act(now: datetime) -> str:
        order_services.reject(number, by=str(request.user), now=now)
        return f"Order {number} is rejected."

    return _do(request, act)


@access(post=(OPERATOR,))
def release(request: HttpRequest, number: int) -> HttpResponse:
    """End an order: at once where that lowers, else as a proposal for a second person."""
    reason = request.POST.get("reason", "")[:300]

    def act(now: datetime) -> str:
        order = order_services.release(number, by=str(request.user), reason=reason, now=now)
        if order.state == OperatorOrder.ACTIVE:
            return f"The release of order {number} is proposed: another person must approve it within 15 minutes."
        return f"Order {number} is released."

    return _do(request, act)


def _do(request: HttpRequest, act: Callable[[datetime], str]) -> HttpResponse:
    try:
        messages.success(request, act(datetime.now(UTC)))
    except HeadroomError as error:
        messages.error(request, f"Nothing was ordered. {error.what}. {error.remedy}".strip())
    back = request.POST.get("back", "")
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else "orders")


def _watts(text: str, where: str) -> int:
    """Return watts from a form's kilowatts: digits with at most one point, nothing else that float() would take."""
    if not (text.isascii() and text.replace(".", "", 1).isdecimal()):
        raise InputError(f"{text!r} is no number of kilowatts", where=where, remedy="Give a magnitude such as 250 or 86.5.")
    return kilowatts_to_watts(float(text), where=where)


def _minutes(text: str) -> timedelta:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:7]) <= LONGEST_MINUTES):
        raise InputError("an order needs an end", where="minutes", remedy=f"Give 1 to {LONGEST_MINUTES} minutes.")
    return timedelta(minutes=int(text))
