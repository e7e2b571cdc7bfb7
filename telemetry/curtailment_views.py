"""Curtailment against its estimate: what the grants withheld this year, the study's estimate, the agreement's cap."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from derms.access import access
from interconnection import reports
from interconnection.models import Agreement
from interconnection.roles import UTILITY
from telemetry.curtailment_queries import measured


@access(get=UTILITY)
def report(request: HttpRequest) -> HttpResponse:
    """Each agreement's measured hours beside estimate and cap, this year so far or another; `?csv` gives the rows."""
    now = datetime.now(UTC)
    first = Agreement.objects.order_by("accepted").values_list("accepted", flat=True).first()
    years = list(range(now.year, (first or now).year - 1, -1))
    year = next((item for item in years if str(item) == request.GET.get("year")), now.year)
    rows = reports.curtailment(measured(datetime(year, 1, 1, tzinfo=UTC), min(now, datetime(year + 1, 1, 1, tzinfo=UTC))))
    if "csv" in request.GET:
        headers = {"Content-Disposition": f'attachment; filename="curtailment-{year}.csv"'}
        return HttpResponse(reports.as_csv(rows), content_type="text/csv; charset=utf-8", headers=headers)
    context = {
        "rows": rows, "year": year, "years": years, "now": now, "over": sum(row.over_cap for row in rows),
        "heard": sum(row.measured_hours is not None for row in rows),
    }  # fmt: skip
    return render(request, "telemetry/curtailment.html", context)
