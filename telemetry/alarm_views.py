"""The alarm list after ISA-18.2: who sees it, acknowledges, shelves; its journal. Actions answer with the list itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from derms.access import access
from derms.errors import HeadroomError
from interconnection import roles
from interconnection.roles import OPERATOR, UTILITY
from telemetry import alarm_queries, alarm_services
from telemetry.alarm_queries import VIEWS, Filter
from telemetry.control.alarm import Priority
from telemetry.control.alarm_table import TABLE

MINUTES = (15, 30, 60, 120, 240, 480)
PAGE = 100


@access(get=UTILITY)
def alarms(request: HttpRequest) -> HttpResponse:
    """The list, in one of its views."""
    return render(request, "telemetry/_alarms.html" if _part(request) else "telemetry/alarms.html", _context(request))


@access(post=(OPERATOR,))
def acknowledge(request: HttpRequest) -> HttpResponse:
    """Acknowledge one alarm or several."""
    numbers = [int(text) for text in request.POST.getlist("alarm") if text.isdecimal() and len(text) < 19]
    done = alarm_services.acknowledge(numbers, actor=str(request.user), now=datetime.now(UTC))
    if done != len(numbers) or not numbers:
        messages.warning(request, f"{done} of {len(numbers)} acknowledged; the others changed meanwhile.")
    return _answer(request)


@access(post=(OPERATOR,))
def shelve(request: HttpRequest, number: int) -> HttpResponse:
    """Shelve, with a reason and an end."""
    minutes = request.POST.get("minutes", "")
    return _do(request, lambda now: alarm_services.shelve(
        number, minutes=float(minutes) if minutes.isdecimal() and len(minutes) < 7 else 0.0,
        reason=request.POST.get("reason", ""), actor=str(request.user), now=now,
    ))  # fmt: skip


@access(post=(OPERATOR,))
def remove(request: HttpRequest, number: int) -> HttpResponse:
    """Take out of service, with a reason."""
    reason = request.POST.get("reason", "")
    return _do(request, lambda now: alarm_services.remove(number, reason=reason, actor=str(request.user), now=now))


@access(post=(OPERATOR,))
def bring_back(request: HttpRequest, number: int) -> HttpResponse:
    """Unshelve or restore."""
    return _do(request, lambda now: alarm_services.bring_back(number, actor=str(request.user), now=now))


@access(get=UTILITY)
def journal(request: HttpRequest) -> HttpResponse:
    """Every move of every alarm, newest first."""
    wanted = {name: request.GET.get(name, "")[:64] for name in ("kind", "feeder", "text")}
    page = Paginator(alarm_queries.journal(**wanted), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "wanted": wanted, "kinds": sorted((entry.title, entry.kind) for entry in TABLE)}
    return render(request, "telemetry/alarm_journal.html", context)


def _context(request: HttpRequest) -> dict[str, Any]:
    now = datetime.now(UTC)
    chosen = request.GET if request.method in ("GET", "HEAD") else request.POST
    view, priority = chosen.get("view", "announced"), chosen.get("priority", "")
    wanted = Filter(
        feeder=chosen.get("feeder", "")[:64],
        priority=int(priority) if priority in {str(int(level)) for level in Priority} else 0,
        view=view if view in VIEWS else "announced",
        text=chosen.get("text", "")[:64],
    )
    counts = alarm_queries.counts()
    hidden = counts["hidden"]
    views = [
        ("announced", "Standing", counts["standing"]), ("unacknowledged", "Unacknowledged", counts["unacknowledged"]),
        ("shelved", "Shelved", hidden.get("shelved", 0)), ("suppressed", "Suppressed", hidden.get("suppressed", 0)),
        ("out_of_service", "Out of service", hidden.get("out_of_service", 0)),
    ]  # fmt: skip
    return {
        "alarms": alarm_queries.listed(wanted, now), "wanted": wanted, "views": views, "counts": counts,
        "priorities": list(Priority), "flood": alarm_queries.flood(now), "minutes": MINUTES, "now": now,
        "may_order": roles.has(request.user, OPERATOR), "feeders": sorted(filter(None, counts["feeders"])),
    }  # fmt: skip


def _do(request: HttpRequest, what: Any) -> HttpResponse:
    try:
        what(datetime.now(UTC))
    except HeadroomError as error:
        messages.error(request, f"{error.what}. {error.remedy}".strip())
    return _answer(request)


def _answer(request: HttpRequest) -> HttpResponse:
    """Answer htmx with the list, a plain form with the way back."""
    if getattr(request, "htmx", False):
        return render(request, "telemetry/_alarms.html", _context(request))
    back = request.POST.get("back", "")
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else reverse("alarms"))


def _part(request: HttpRequest) -> bool:
    return bool(request.GET.get("part"))
