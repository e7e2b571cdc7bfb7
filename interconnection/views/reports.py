"""Reports and the baseline ledger: what the desk did in a time, and what the feeders break before anybody new connects."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from derms.access import SIGNED_IN, access
from interconnection import ledger as ledgers
from interconnection import packs, queries, roles, rule_packs
from interconnection import reports as desk_reports
from interconnection.csv_table import table
from interconnection.services.clocks import local_day
from interconnection.views.common import or_404, page_of

READERS = (roles.ENGINEER, roles.APPROVER, roles.OPERATOR, roles.AUDITOR)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


@access(get=READERS)
def reports(request: HttpRequest) -> HttpResponse:
    """Queue times, capacity unlocked and cost avoided, clocks kept, the pipeline; between two days."""
    since, until = _day(request.GET.get("since")), _day(request.GET.get("until"))
    rows = desk_reports.unlocked(since, until)
    context = {
        "since": since, "until": until, "times": desk_reports.queue_times(since, until), "rows": rows[-200:][::-1],
        "totals": desk_reports.totals(rows), "clocks": desk_reports.clocks(local_day(timezone.now())),
        "pipeline": desk_reports.pipeline(),
    }  # fmt: skip
    return render(request, "interconnection/reports.html", context)


@access(get=READERS)
def reports_csv(request: HttpRequest) -> HttpResponse:
    """The agreements of the report as CSV."""
    rows = desk_reports.unlocked(_day(request.GET.get("since")), _day(request.GET.get("until")))
    names = tuple(desk_reports.Unlocked.__dataclass_fields__)
    text = table(names, [tuple(getattr(row, name) for name in names) for row in rows])
    return _csv(text, "unlocked.csv")


@access(get=READERS)
def baseline_ledger(request: HttpRequest) -> HttpResponse:
    """What every feeder breaks already, and which ratings nobody gave; worst first."""
    feeders = list(queries.feeders())
    name = request.GET.get("feeder", "")
    chosen = [row for row in feeders if row.name == name] if name else feeders
    entries: list[ledgers.Entry] = [entry for feeder in chosen for entry in ledgers.ledger(feeder)]
    kind = request.GET.get("kind", "")
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.kind] = counts.get(entry.kind, 0) + 1
    shown = [entry for entry in entries if not kind or entry.kind == kind]
    context: dict[str, Any] = {
        "feeders": feeders, "name": name, "kind": kind, "counts": sorted(counts.items()), "all": len(entries),
        "page": page_of(shown, request),
    }  # fmt: skip
    return render(request, "interconnection/ledger.html", context)


@access(get=READERS)
def ledger_csv(request: HttpRequest, name: str) -> HttpResponse:
    """One feeder's ledger as CSV."""
    return _csv(ledgers.as_csv(ledgers.ledger(or_404(queries.feeder, name))), f"ledger-{name}.csv")


@access(get=SIGNED_IN)
def rule_pack_list(request: HttpRequest) -> HttpResponse:
    """The rule packs with their screens and clocks, and what differs between two of them, side by side."""
    found = {item.key: item for item in packs.stored()}
    named = [request.GET.get(name, "") for name in ("one", "two")]
    one, two = (found.get(name) for name in named)
    context: dict[str, Any] = {
        "packs": list(found.values()), "shown": one or next(iter(found.values()), None), "one": one, "two": two,
        "choices": [("one", "First", named[0]), ("two", "Second", named[1])],
    }  # fmt: skip
    if one is not None and two is not None:
        context["changes"] = [
            (item.field.split(".", 1)[0], item.field, item.before, item.after)
            for item in rule_packs.compare(one.pack.name, two.pack.name, one.folders, two.folders)
        ]
    return render(request, "interconnection/rule_packs.html", context)


def _csv(text: str, name: str) -> HttpResponse:
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
