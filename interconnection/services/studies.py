"""Studies: asked for, run in confined children, kept with their inputs' hash."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

from django.db import transaction
from django.utils import timezone

from derms.errors import Conflict, HeadroomError, InputError
from derms.grid.criteria import CriteriaSettings
from derms.grid.curtailment import Need
from derms.grid.existing import ExistingSite
from derms.grid.study_request import ENGINE_VERSION, StudyRequest, inputs_sha256
from derms.grid.study_result import Slice, StudyResult
from derms.sandbox.study_pool import run_study
from interconnection.charts.svg import MONTH_DAYS
from interconnection.models import Application, FeederVersion, Offer, Study
from interconnection.services import constraints
from interconnection.services.applications import move
from interconnection.services.audit import record
from interconnection.study_models import StudySlice
from interconnection.upgrades import upgrade_avoided

QUICK_HOURS, YEAR_HOURS = 288, 8760
REPORT_EVERY_S = 0.5


def study_hours(count: int, available: int) -> tuple[int, ...]:
    """Return the hours to study: all, a quick look's for each month and hour of day, or `count` spread over the year."""
    if not 1 <= count <= 8760:
        raise InputError(f"{count} hours are outside 1..8760", where="hours")
    if available < count:
        raise InputError(
            f"the feeder's load shapes have {available} hours, {count} are asked for",
            where="hours",
            remedy=f"Ask for at most {available}, or give the loads yearly shapes.",
        )
    if available == YEAR_HOURS and count in (QUICK_HOURS, 2 * QUICK_HOURS):
        return _month_by_hour(count // QUICK_HOURS)
    return tuple(sorted({index * available // count for index in range(count)}))


def _month_by_hour(days_each: int) -> tuple[int, ...]:
    """Return `days_each` hours of every month and hour of day, each hour of day on another day of its month.

    So few hours see nearly as many days of the year as there are hours, and the 12 × 24 map has a value everywhere.
    """
    found: set[int] = set()
    start = 0
    for days in MONTH_DAYS:
        for of_day in range(24):
            for turn in range(days_each):
                day = (of_day * days // 24 + turn * days // days_each) % days
                found.add((start + day) * 24 + of_day)
        start += days
    return tuple(sorted(found))


def build_request(
    version: FeederVersion, bus: str, phases: tuple[int, ...], import_w: int, export_w: int, *, hours: int,
    criteria: CriteriaSettings | None = None, inverter: str = "unity", engine: str = "arrays",
    regulators: str = "frozen", volt_watt: bool = False, load_scale: float = 1.0, need: Need | None = None,
    existing: tuple[ExistingSite, ...] = (),
) -> StudyRequest:  # fmt: skip
    """Return a study request on a stored feeder; `existing`: who is there already (see `existing_sites`)."""
    return StudyRequest(
        bus.lower(), phases, import_w, export_w, study_hours(hours, version.description["hours"]),
        criteria or CriteriaSettings(), engine=engine, inverter=inverter, regulators=regulators, volt_watt=volt_watt,
        load_scale=load_scale, need=need, existing=existing,
    )  # fmt: skip


def application_need(application: Application) -> Need | None:
    """Return the weekly need that an application states: its schedule, or its daily energy spread over 17 to 5 h."""
    table = (application.schedule or {}).get("need_w")
    leaves = (application.schedule or {}).get("departure_soc") or []
    departures = tuple((day, hour) for day, row in enumerate(leaves) for hour, soc in enumerate(row) if soc is not None)
    if table and any(map(any, table)):
        return Need(tuple(tuple(int(value) for value in row) for row in table), departures=departures)
    if not application.need_wh_per_day:
        return None
    each = min(application.need_wh_per_day // 12, application.import_w)
    night = tuple(each if hour >= 17 or hour < 5 else 0 for hour in range(24))
    return Need((night,) * 7, departures=departures or tuple((day, 6) for day in range(7))) if each else None


def order_study(
    version: FeederVersion, request: StudyRequest, *, actor: str, application: Application | None = None
) -> Study:
    """Store a study to be run; an application moves to state 'study', and an offer that is open or waits is superseded."""
    with transaction.atomic():
        study = Study.objects.create(
            application=application,
            version=version,
            request=request.to_dict(),
            inputs_sha256=inputs_sha256(version.sha256, request),
            engine=ENGINE_VERSION,
            total_hours=len(request.hours),
        )
        if application is not None:
            # What was offered rests on an older study: it is closed before a newer one can be.
            application.offers.filter(status__in=(Offer.PREPARED, Offer.OPEN)).update(status=Offer.SUPERSEDED)
            move(application, "study", actor=actor, study=study.pk)
    return study


def perform(study_id: int, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> Study:
    """Run a queued study; a second worker that gets the same job finds it taken and leaves it alone."""
    kept = {row.first_hour: Slice.from_dict(row.data) for row in StudySlice.objects.filter(study=study_id)}
    started = timezone.now()
    taken = Study.objects.filter(pk=study_id, status__in=(Study.QUEUED, Study.FAILED)).update(
        status=Study.RUNNING, started=started, error="", done_hours=sum(len(part.hours) for part in kept.values())
    )
    study = Study.objects.select_related("version", "application").get(pk=study_id)
    if not taken:
        return study
    request = StudyRequest.from_dict(study.request)
    try:
        result = _run(study, request, progress, workers, kept)
    except HeadroomError as error:
        # A study that was cancelled, or cancelled and queued again meanwhile, is no longer this run's to end.
        mine = Study.objects.filter(pk=study_id, status=Study.RUNNING, started=started)
        status = Study.CANCELLED if isinstance(error, Conflict) else Study.FAILED
        mine.update(status=status, error=str(error), finished=timezone.now())
        raise
    return finish(study, result)


def finish(study: Study, result: StudyResult) -> Study:
    """Store a study's answer and let go of its slices."""
    answer = document(study, result)
    with transaction.atomic():
        Study.objects.filter(pk=study.pk).update(
            status=Study.DONE,
            result=json.dumps(answer, sort_keys=True, separators=(",", ":")),
            done_hours=len(result.request.hours),
            finished=timezone.now(),
        )
        constraints.store(study, answer)
        if study.application is not None:
            record("study_done", actor="engine", application=study.application, after={"study": study.pk})
    StudySlice.objects.filter(study=study).delete()  # the answer holds them now
    study.refresh_from_db()
    return study


def document(study: Study, result: StudyResult) -> dict[str, Any]:
    """Return the study's answer as plain data: the same inputs give the same document."""
    request = result.request
    answer: dict[str, Any] = {
        "feeder": study.version.feeder.name,
        "model_sha256": study.version.sha256,
        "bus": request.bus,
        "phases": list(request.phases),
        "import_kw": request.import_w / 1000,
        "export_kw": request.export_w / 1000,
        **result.summary(),
        "rule": request.criteria.rule,
        "hourly": result.hourly(),
        "violations": result.violations,
        "findings": list(result.findings),
    }
    if study.application is not None and study.application.need_wh_per_day:
        answer["fleet"] = fleet_need(answer["hourly"]["import_kw"], study.application.need_wh_per_day / 1000)
    answer["upgrade_avoided"] = upgrade_avoided(answer)
    return answer


def fleet_need(hourly_kw: list[float], need_kwh_a_day: float) -> dict[str, Any]:
    """Return on how many days the flexible limits and the firm limit give the fleet its energy from 17 to 5 h."""
    nights = len(hourly_kw) // 24 - 1
    if nights < 1:
        return {"need_kwh_per_day": need_kwh_a_day, "nights": 0}
    flexible = [sum(hourly_kw[day * 24 + 17 : day * 24 + 29]) for day in range(nights)]
    firm = min(hourly_kw) * 12
    return {
        "need_kwh_per_day": need_kwh_a_day,
        "nights": nights,
        "worst_night_flexible_kwh": round(min(flexible), 1),
        "worst_night_firm_kwh": round(firm, 1),
        "nights_met_flexible": sum(1 for night in flexible if night >= need_kwh_a_day),
        "nights_met_firm": nights if firm >= need_kwh_a_day else 0,
    }


def _run(
    study: Study, request: StudyRequest, progress: Callable[[int, int], None] | None, workers: int | None,
    kept: dict[int, Slice],
) -> StudyResult:  # fmt: skip
    """Run the study in a thread; this thread alone talks to the database: progress and slices out, cancellation in."""
    stop, state = threading.Event(), {"done": study.done_hours}
    finished: SimpleQueue[tuple[int, Slice]] = SimpleQueue()

    def report(done: int, total: int) -> None:
        state["done"] = done
        if progress is not None:
            progress(done, total)

    rows = Study.objects.filter(pk=study.pk, status=Study.RUNNING, started=study.started)  # this run, and no later one
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(
            run_study,
            study.version.text,
            study.version.sha256,
            request,
            workers=workers,
            progress=report,
            cancelled=stop.is_set,
            kept=kept,
            on_slice=lambda first, part: finished.put((first, part)),
        )
        while not wait([future], timeout=REPORT_EVERY_S).done:
            if not rows.exists():
                stop.set()
            rows.update(done_hours=state["done"])
            _keep(study, finished)
        _keep(study, finished)
        return future.result()


def _keep(study: Study, finished: SimpleQueue[tuple[int, Slice]]) -> None:
    """Write the slices that the workers have handed over."""
    while not finished.empty():
        first, part = finished.get()
        StudySlice.objects.update_or_create(
            study=study, first_hour=first, defaults={"hours": len(part.hours), "data": part.to_dict()}
        )
