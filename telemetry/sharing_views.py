"""The sharing rule of a feeder: what is in force, what the agreements promise, what each rule would give now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from derms.access import access
from derms.errors import HeadroomError
from derms.grid.sharing_rules import RULES
from interconnection import roles, site_queries
from interconnection.roles import APPROVER, OPERATOR, UTILITY
from telemetry import sharing_services
from telemetry.sharing_models import SharingChoice

WORDS = {
    "equal": "equal: all rise together, in watts", "pro_rata_capacity": "pro rata by capacity",
    "pro_rata_need": "pro rata by need", "last_in_first_off": "last in, first off",
    "maximum_total": "the largest total", "alpha_fair": "alpha-fair, between equal and the largest total",
}  # fmt: skip
APPROVING = (OPERATOR, APPROVER)


@access(get=UTILITY)
def sharing(request: HttpRequest, feeder: str) -> HttpResponse:
    """The page; `?preview` asks the newest cycle again under each rule. It writes nothing."""
    description = site_queries.description(feeder)
    if description is None:
        raise Http404
    now = datetime.now(UTC)
    rows = SharingChoice.objects.filter(feeder=feeder)
    promised = sharing_services.promises(feeder, now)
    context: dict[str, Any] = {
        "feeder": feeder, "now": now, "words": WORDS, "rules": [(rule, WORDS[rule]) for rule in RULES],
        "default": sharing_services.in_force(feeder)[""], "promised": promised,
        "broken": sum(not item.kept for item in promised),
        "active": rows.filter(state=SharingChoice.ACTIVE).order_by("element"),
        "waiting": rows.filter(state=SharingChoice.PROPOSED), "past": rows[:50],
        "elements": [item[0] for item in description["elements"]],
        "may_propose": roles.has(request.user, OPERATOR), "may_approve": roles.has(request.user, *APPROVING),
    }  # fmt: skip
    status = 200
    if "preview" in request.GET:
        try:
            context["preview"] = sharing_services.preview(feeder)
        except HeadroomError as error:
            context["refused"], status = error, 422
    return render(request, "telemetry/sharing.html", context, status=status)


@access(post=(OPERATOR,))
def propose(request: HttpRequest, feeder: str) -> HttpResponse:
    """Propose a rule; a second person approves it."""
    form = request.POST
    try:
        row = sharing_services.propose(
            feeder, form.get("element", "")[:128], form.get("rule", ""), by=str(request.user),
            reason=form.get("reason", "")[:300], now=datetime.now(UTC),
        )  # fmt: skip
        messages.success(request, f"Proposal {row.pk}: another person must approve it within 15 minutes.")
    except HeadroomError as error:
        messages.error(request, f"Nothing was proposed. {error.what}. {error.remedy}".strip())
    return redirect("sharing", feeder)


@access(post=APPROVING)
def decide(request: HttpRequest, feeder: str, number: int) -> HttpResponse:
    """Approve a proposal as the second person, or refuse it."""
    facts: dict[str, Any] = {"by": str(request.user), "now": datetime.now(UTC)}
    try:
        if request.POST.get("reject"):
            sharing_services.reject(number, **facts)
            messages.success(request, f"Proposal {number} is refused.")
        else:
            row = sharing_services.approve(number, **facts)
            messages.success(
                request, f"{row.feeder}, {row.element or 'all others'}: {WORDS[row.rule]}, from the next cycle on."
            )
    except HeadroomError as error:
        messages.error(request, f"Nothing was changed. {error.what}. {error.remedy}".strip())
    return redirect("sharing", feeder)
