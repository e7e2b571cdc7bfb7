"""Pre-switch simulation: what a switching order would do to the sites before anybody gives it; declaring what was done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from derms.access import access
from derms.errors import HeadroomError, InputError
from interconnection import roles, site_queries
from interconnection.roles import OPERATOR, UTILITY
from telemetry import certificate_services, queries, switching_services

MOST_NAMES = 40


@access(get=UTILITY)
def switching(request: HttpRequest, feeder: str) -> HttpResponse:
    """The form; with elements in the address, also the answer. It writes nothing: a GET that can be sent around."""
    description = site_queries.description(feeder)
    if description is None:
        raise Http404
    now = datetime.now(UTC)
    opened, closed = names(request.GET.get("opened", "")), names(request.GET.get("closed", ""))
    context: dict[str, Any] = {
        "feeder": feeder,
        "elements": [item[0] for item in description["elements"]],
        "opened": " ".join(opened),
        "closed": " ".join(closed),
        "state": certificate_services.switching_state(feeder),
        "may_order": roles.has(request.user, OPERATOR),
        "controlled": queries.board(feeder, now) is not None,
        "now": now,
    }
    status = 200
    if opened or closed:
        try:
            context["simulation"] = switching_services.simulate_switching(feeder, opened=opened, closed=closed, now=now)
        except HeadroomError as error:
            context["refused"], status = error, 422
    return render(request, "telemetry/switching.html", context, status=status)


@access(post=(OPERATOR,))
def declare(request: HttpRequest, feeder: str) -> HttpResponse:
    """Declare the switching state that holds. Not confirmed sends every site of the feeder to its failsafe."""
    form = request.POST
    version = site_queries.whole_version(feeder)
    try:
        if version is None:
            raise InputError(f"no feeder is named {feeder!r}", where="feeder")
        reason, name = form.get("reason", "").strip()[:300], form.get("name", "").strip()[:64]
        if len(reason) < 3 or not name:
            raise InputError("a state has a name and a reason", where="name", remedy="Give both.")
        row = certificate_services.declare_state(
            version, name, opened=names(form.get("opened", "")), closed=names(form.get("closed", "")),
            by=str(request.user), reason=reason, now=datetime.now(UTC), confirmed=form.get("confirmed") == "yes",
        )  # fmt: skip
        words = "from the next session of the engine on" if row.confirmed else "not confirmed: sites go to their failsafe"
        messages.success(request, f"{feeder} is in state {row.name}, {words}.")
    except HeadroomError as error:
        messages.error(request, f"Nothing was declared. {error.what}. {error.remedy}".strip())
    return redirect("switching", feeder)


def names(text: str) -> list[str]:
    """Return the element names of a text, split at blanks and commas, each once."""
    found = list(dict.fromkeys(text.lower().replace(",", " ").split()))
    return [name[:100] for name in found[:MOST_NAMES]]
