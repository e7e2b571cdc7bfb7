"""Evidence of a breach: what was lent, what the device said and did; as a page and as the very bytes that were hashed."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from derms.access import access
from interconnection.roles import UTILITY
from telemetry import queries
from telemetry.pictures import Line, trend


@access(get=UTILITY)
def bundles(request: HttpRequest) -> HttpResponse:
    """The newest bundles of all feeders."""
    return render(request, "telemetry/evidence_list.html", {"rows": queries.all_evidence()})


@access(get=UTILITY)
def bundle(request: HttpRequest, number: int) -> HttpResponse:
    """One bundle; `?download` gives its bytes, whose SHA-256 is the one shown and logged."""
    row = queries.evidence_bundle(number)
    if row is None:
        raise Http404
    if "download" in request.GET:
        name = f"evidence-{row.site}-{row.snapshot}.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(row.facts, content_type="application/json", headers=headers)
    facts = json.loads(row.facts)
    context = {
        "row": row, "facts": facts, "chart": chart(row.at, facts), "samples": facts["before"] + facts["after"],
        "intact": hashlib.sha256(row.facts.encode()).hexdigest() == row.sha256,
    }  # fmt: skip
    return render(request, "telemetry/evidence.html", context)


def chart(at: Any, facts: dict[str, Any]) -> str:
    """Return power, what the device said that it obeys, and what it was lent, around the event."""
    samples = facts["before"] + facts["after"]
    moments = [at + timedelta(seconds=item["s"]) for item in samples]
    if len(samples) < 2:
        return ""

    def kw(name: str, place: int | None = None) -> list[float | None]:
        values = [item.get(name) for item in samples]
        return [None if v is None else (v if place is None else v[place]) / 1000 for v in values]

    lines = [
        Line("power", "one", list(zip(moments, kw("power_w"), strict=True))),
        Line("says import", "two", list(zip(moments, kw("read_back", 0), strict=True)), step=True),
    ]
    exported = [None if value is None else -value for value in kw("read_back", 1)]
    lines.append(Line("says export", "three", list(zip(moments, exported, strict=True)), step=True))
    if facts["lent"]:
        lent = facts["lent"]["import_w"] / 1000
        lines.append(Line("was lent", "four", [(moments[0], lent), (moments[-1], lent)]))
    return trend(lines, moments[0], moments[-1], "before and after the event", size=(900, 300))
