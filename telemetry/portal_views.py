"""A developer's own sites: the limit in force with its reason, what was signed, and the feed of limits."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from derms.access import SIGNED_IN, access
from interconnection import states
from interconnection.views.common import or_404, page_of
from telemetry import api
from telemetry.models import GrantRow


@access(get=SIGNED_IN)
def my_sites(request: HttpRequest) -> HttpResponse:
    """Sites with an agreement that the user may see, each with the limit in force now."""
    now = timezone.now()
    held = api.agreements(request.user).exclude(offer__application__state__in=states.FINAL)
    page = page_of(held.order_by("-accepted", "-id"), request)
    rows = list(zip(page, api.all_in_force(list(page), now), strict=True))
    return render(request, "telemetry/my_sites.html", {"page": page, "rows": rows, "now": now})


@access(get=SIGNED_IN)
def my_site(request: HttpRequest, site: str) -> HttpResponse:
    """One site: what was signed, the limit in force, the last limits that were sent and why."""
    row = or_404(api.agreement, request.user, site)
    grants = GrantRow.objects.filter(site=site).order_by("-id")[:60]
    context = {"agreement": row, "terms": row.terms, "now_in_force": api.in_force(row, timezone.now()), "grants": grants,
               "application": row.offer.application}  # fmt: skip
    return render(request, "telemetry/my_site.html", context)
