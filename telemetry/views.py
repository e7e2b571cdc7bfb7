"""Pages of the control room: feeders, one feeder, one site. Alarms, orders, devices and audit stand in files of their own.

Each page is drawn whole by the server. `watch.js` asks for the same page's parts anew (`?part=`) when there is news.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from derms.access import access
from interconnection import roles, site_queries
from interconnection.roles import OPERATOR, UTILITY
from telemetry import alarm_queries, board_queries
from telemetry.alarm_queries import Filter


def part_of(request: HttpRequest, whole: str, part: str, context: dict[str, Any]) -> HttpResponse:
    """Return the whole page, or only its changing part when the page asks for it."""
    context["may_order"] = roles.has(request.user, OPERATOR)
    context["may_approve"] = roles.has(request.user, *APPROVING)
    return render(request, part if request.GET.get("part") else whole, context)


APPROVING = (OPERATOR, roles.APPROVER)


@access(get=UTILITY)
def operations(request: HttpRequest) -> HttpResponse:
    """All feeders: mode, loading, alarms, and the sites that need a look."""
    now = datetime.now(UTC)
    feeders = board_queries.feeders(now)
    context = {
        "feeders": feeders,
        "all_well": bool(feeders) and not any(item["abnormal"] or item["stale"] for item in feeders),
        "no_word": not feeders or any(item["stale"] for item in feeders),
        "alarms": alarm_queries.listed(Filter(view="unacknowledged"), now)[:6],
        "now": now,
    }
    return part_of(request, "telemetry/operations.html", "telemetry/_operations.html", context)


@access(get=UTILITY)
def feeder(request: HttpRequest, feeder: str) -> HttpResponse:
    """One feeder: limits, headroom, map, sites, orders."""
    now = datetime.now(UTC)
    found = board_queries.feeder(feeder, now, request.GET.get("text", "")[:64])
    if found is None:
        if site_queries.description(feeder) is None:
            raise Http404
        return render(request, "telemetry/feeder_idle.html", {"feeder": feeder})
    return part_of(request, "telemetry/feeder.html", "telemetry/_feeder.html", found | {"feeder": feeder, "now": now})


@access(get=UTILITY)
def site(request: HttpRequest, feeder: str, name: str) -> HttpResponse:
    """One site's faceplate."""
    now = datetime.now(UTC)
    found = board_queries.site(feeder, name, now)
    if found is None:
        raise Http404
    return part_of(request, "telemetry/site.html", "telemetry/_site.html", found | {"feeder": feeder, "now": now})
