"""Pages of the control room."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from derms.access import access
from interconnection.charts import Series, day_plot
from interconnection.roles import UTILITY
from telemetry import queries


@access(get=UTILITY)
def operations(request: HttpRequest) -> HttpResponse:
    """The live board: first paint by the server, then by WebSocket."""
    boards = queries.boards(datetime.now(UTC))
    return render(request, "telemetry/operations.html", {"boards": boards, "controlling": controlling(boards)})


def controlling(boards: list[dict[str, Any]]) -> bool:
    """Say whether any engine showed progress within the last 30 s."""
    return any(not board["stale"] for board in boards)


@access(get=UTILITY)
def site(request: HttpRequest, feeder: str, name: str) -> HttpResponse:
    """One site: its trend and what was sent to it."""
    rows = queries.trend(feeder, name)
    if not rows:
        raise Http404
    first = rows[0][0]
    hours = [(at - first).total_seconds() / 3600 for at, _ in rows]
    stretch = 24 / max(hours[-1], 0.01)
    power = Series(
        "power", "one", [(h * stretch, item["power_kw"] or 0.0) for h, (_, item) in zip(hours, rows, strict=True)]
    )
    limit = Series(
        "import limit", "two", [(h * stretch, item["import_limit_kw"]) for h, (_, item) in zip(hours, rows, strict=True)]
    )
    minutes = hours[-1] * 60
    context = {
        "feeder": feeder,
        "site": rows[-1][1],
        "chart": day_plot([power, limit], f"power and limit over the last {minutes:.0f} minutes", "kW", clock=False),
        "minutes": minutes,
        "grants": queries.grants(name),
    }
    return render(request, "telemetry/site.html", context)
