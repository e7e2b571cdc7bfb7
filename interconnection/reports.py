"""Reports of the planning desk: queue times, capacity unlocked, cost avoided, curtailment against its estimate. Reads only.

Times come from the events that were written with each change; figures of agreements from the signed documents and their
studies. What was really curtailed is measured in the control room and handed in: nothing here reads its tables.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from interconnection import states
from interconnection.csv_table import table
from interconnection.models import Agreement, Application, ClockRun, Event

STEPS = (
    ("completeness", "submit", "complete"),
    ("screens", "complete", "screen"),
    ("study_and_offer", "complete", "offer"),
    ("acceptance", "offer", "accept"),
    ("connection", "accept", "permit"),
    ("submission_to_offer", "submit", "offer"),
    ("submission_to_operation", "submit", "permit"),
)
"""Each measured step: its name, the action that begins it (the first time), the action that ends it (the first after)."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long a step took over all applications that finished it: days, calendar; None where nobody did."""

    step: str
    count: int
    median_days: float | None
    p90_days: float | None
    longest_days: float | None
    waiting: int


def queue_times(since: date | None = None, until: date | None = None) -> list[StepTime]:
    """Return the time of each step for applications created within the days (inclusive)."""
    rows = Event.objects.filter(application__isnull=False, action__in={name for step in STEPS for name in step[1:]})
    if since is not None:
        rows = rows.filter(application__created__date__gte=since)
    if until is not None:
        rows = rows.filter(application__created__date__lte=until)
    events: dict[int, list[tuple[str, datetime]]] = {}
    for number, action, at in rows.order_by("id").values_list("application_id", "action", "at"):
        events.setdefault(number, []).append((action, at))
    return [_step(name, begins, ends, events.values()) for name, begins, ends in STEPS]


def _step(name: str, begins: str, ends: str, events: Iterable[Sequence[tuple[str, datetime]]]) -> StepTime:
    days, waiting = [], 0
    for life in events:
        start = next((at for action, at in life if action == begins), None)
        if start is None:
            continue
        end = next((at for action, at in life if action == ends and at >= start), None)
        if end is None:
            waiting += 1
        else:
            days.append((end - start).total_seconds() / 86400.0)
    if not days:
        return StepTime(name, 0, None, None, None, waiting)
    return StepTime(
        name, len(days), round(statistics.median(days), 3), round(_percentile(days, 0.9), 3), round(max(days), 3), waiting
    )


def _percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the others lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Unlocked:
    """What one agreement unlocked beyond firm, and the upgrade that it avoided."""

    reference: str
    site: str
    feeder: str
    firm_import_kw: float
    flexible_import_kw: float
    firm_export_kw: float
    flexible_export_kw: float
    unlocked_import_kw: float
    unlocked_export_kw: float
    avoided_usd: int
    sooner_months: int
    cost_origin: str
    accepted: datetime


def unlocked(since: date | None = None, until: date | None = None) -> list[Unlocked]:
    """Return one row for each agreement that holds and was accepted within the days (inclusive)."""
    rows = Agreement.objects.filter(offer__application__state__in=states.COMMITTED).select_related(
        "offer__study", "offer__application__feeder"
    )
    if since is not None:
        rows = rows.filter(accepted__date__gte=since)
    if until is not None:
        rows = rows.filter(accepted__date__lte=until)
    return [_unlocked(row) for row in rows.order_by("accepted", "pk")]


def _unlocked(row: Agreement) -> Unlocked:
    offer, application = row.offer, row.offer.application
    answer = json.loads(offer.study.result) if offer.study.result else {}
    avoided: list[dict[str, Any]] = answer.get("upgrade_avoided", [])
    return Unlocked(
        application.reference, row.site, application.feeder.name, offer.firm_import_w / 1000,
        offer.flexible_import_w / 1000, offer.firm_export_w / 1000, offer.flexible_export_w / 1000,
        (offer.flexible_import_w - offer.firm_import_w) / 1000, (offer.flexible_export_w - offer.firm_export_w) / 1000,
        sum(item["usd"] for item in avoided), max((item["months"] for item in avoided), default=0),
        avoided[0]["origin"] if avoided else "", row.accepted,
    )  # fmt: skip


def totals(rows: Sequence[Unlocked]) -> dict[str, float]:
    """Return the sums of a report's rows: MW unlocked each way, dollars avoided, agreements."""
    return {
        "agreements": len(rows), "import_mw": round(sum(row.unlocked_import_kw for row in rows) / 1000, 3),
        "export_mw": round(sum(row.unlocked_export_kw for row in rows) / 1000, 3),
        "avoided_usd": sum(row.avoided_usd for row in rows),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """What the control room measured of one site: hours with less than the flexible limit, of how many hours."""

    limited_hours: float
    of_hours: float
    energy_percent: float


@dataclass(frozen=True, slots=True)
class AgainstEstimate:
    """A site's curtailment this year against the study's estimate and the agreement's cap."""

    site: str
    reference: str
    measured_hours: float | None
    estimate_hours: float
    cap_hours: int
    share_of_year: float
    cap_used_percent: float | None
    over_cap: bool
    remedy: str

    @property
    def difference_hours(self) -> float | None:
        """Return measured less estimate; None where nothing was measured."""
        return None if self.measured_hours is None else round(self.measured_hours - self.estimate_hours, 2)

    @property
    def share_percent(self) -> float:
        """Return the part of the year that was measured, percent."""
        return 100.0 * self.share_of_year


def curtailment(measured: Mapping[str, Measured]) -> list[AgainstEstimate]:
    """Return each agreement's measured curtailment against estimate and cap; worst first.

    The estimate is scaled to the part of a year that was measured; the cap is the whole year's.
    """
    found = []
    rows = Agreement.objects.filter(offer__application__state__in=states.COMMITTED).select_related("offer__application")
    for row in rows:
        terms, seen = row.terms, measured.get(row.site)
        share = 0.0 if seen is None else min(1.0, seen.of_hours / 8760.0)
        cap = terms.curtailment.cap_hours
        used = None if seen is None or cap == 0 else round(100.0 * seen.limited_hours / cap, 1)
        over = seen is not None and seen.limited_hours > cap
        remedy = terms.conditions.remedy if terms.conditions is not None else "review"
        found.append(
            AgainstEstimate(
                row.site, row.offer.application.reference, None if seen is None else round(seen.limited_hours, 2),
                round(terms.curtailment.expected_hours * share, 1), cap, round(share, 4), used, over,
                remedy if over else "",
            )
        )  # fmt: skip
    return sorted(found, key=lambda item: (not item.over_cap, -(item.cap_used_percent or 0.0), item.site))


@dataclass(frozen=True, slots=True)
class ClockReport:
    """How one clock was kept: runs that ended in time, late ones, running ones past their day."""

    clock: str
    title: str
    in_time: int
    late: int
    overdue: int


def clocks(today: date) -> list[ClockReport]:
    """Return how each clock was kept, over all applications."""
    found: dict[str, list[Any]] = {}
    for clock, title, stopped, late, due in ClockRun.objects.order_by("clock", "id").values_list(
        "clock", "title", "stopped", "late", "due"
    ):
        row = found.setdefault(clock, [title, 0, 0, 0])
        row[1] += stopped is not None and not late
        row[2] += stopped is not None and bool(late)
        row[3] += stopped is None and due is not None and due < today
    return [ClockReport(clock, *row) for clock, row in found.items()]


def pipeline() -> dict[str, dict[str, float]]:
    """Return for each state how many applications and MW stand in it."""
    found: dict[str, dict[str, float]] = {
        state: {"count": 0, "import_mw": 0.0, "export_mw": 0.0} for state in states.STATES
    }
    for state, imports, exports in Application.objects.order_by().values_list("state", "import_w", "export_w"):
        row = found[state]
        row["count"] += 1
        row["import_mw"] += imports / 1e6
        row["export_mw"] += exports / 1e6
    return {
        state: {name: round(value, 3) if name != "count" else value for name, value in row.items()}
        for state, row in found.items()
    }


def as_csv(rows: Sequence[Any]) -> str:
    """Return a report's rows (all of one of the classes above) as CSV; nothing for no rows."""
    if not rows:
        return ""
    columns = tuple(type(rows[0]).__dataclass_fields__)
    return table(columns, [[getattr(row, name) for name in columns] for row in rows])
