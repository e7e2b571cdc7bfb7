"""A study in hand: cancel it, let it go on, copy it with a change, climb its upgrade ladder."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from derms.errors import Conflict, HeadroomError, InputError
from derms.grid.criteria import CriteriaSettings
from derms.grid.curtailment import HOURS as YEAR_HOURS
from derms.grid.study_request import StudyRequest
from derms.sandbox.confine import Bounds
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import Application, Event, Study
from interconnection.services.existing_sites import ahead_of, in_force
from interconnection.services.studies import application_need, build_request, order_study, study_hours
from interconnection.study_models import StudyLadder
from interconnection.upgrades import priced

LADDER_S = 36_000
REPORT_EVERY = 288


@dataclass(frozen=True, slots=True)
class Settings:
    """How a study takes the site's inverter, the feeder's regulators and the criteria; see `StudyRequest`."""

    criteria: CriteriaSettings = field(default_factory=CriteriaSettings)
    inverter: str = "unity"
    power_factor: float = 1.0
    volt_watt: bool = False
    regulators: str = "frozen"

    def on(self, request: StudyRequest) -> StudyRequest:
        """Return the request taken so; raises InputError for a combination that is not studied."""
        return replace(request, **{item.name: getattr(self, item.name) for item in fields(self)})


@dataclass(frozen=True, slots=True)
class Change:
    """What a copy of a study does otherwise; None keeps what the study has."""

    bus: str | None = None
    import_w: int | None = None
    export_w: int | None = None
    hours: int | None = None
    settings: Settings | None = None


def order(
    application: Application, hours: int, *, actor: str, inverter: str = "unity", settings: Settings | None = None,
    curtailment: bool = False,
) -> Study:  # fmt: skip
    """Order a study of an application on its feeder's newest model; the queue's row is in the same transaction.

    `hours`: how many, spread evenly over the year; `settings`: instead of `inverter` alone; `curtailment`: with what
    the limits withhold from the fleet's need over load years, where the application states a need and the year is whole.
    """
    version = application.feeder.versions.first()
    assert version is not None, "a feeder is stored together with its first version"
    request = build_request(
        version, application.bus, application.phase_numbers, application.import_w, application.export_w,
        hours=hours, inverter=inverter, existing=ahead_of(application, version),
        need=application_need(application) if curtailment and hours == YEAR_HOURS else None,
    )  # fmt: skip
    if settings is not None:
        if request.need is not None and settings.regulators != "frozen":
            raise InputError(
                "curtailment over load years is studied with regulators frozen", where="curtailment",
                remedy="Leave one of the two out.",
            )  # fmt: skip
        request = settings.on(request)
    with transaction.atomic():
        study = order_study(version, request, actor=actor, application=application)
        async_task("interconnection.tasks.run", study.pk)
    return study


def cancel(study: Study, *, actor: str) -> None:
    """Stop a study that waits or runs; its worker notices within a second, and finished slices stay."""
    if not Study.objects.filter(pk=study.pk, status__in=(Study.QUEUED, Study.RUNNING)).update(
        status=Study.CANCELLED, finished=timezone.now()
    ):
        raise Conflict("the study neither waits nor runs", where="study", remedy="Look at it again.")
    _note(study, actor, "cancel_study")


def go_on(study: Study, *, actor: str) -> None:
    """Queue a cancelled or failed study again: slices that are done are not run a second time."""
    with transaction.atomic():
        if not Study.objects.filter(pk=study.pk, status__in=(Study.CANCELLED, Study.FAILED)).update(
            status=Study.QUEUED, error="", finished=None
        ):
            raise Conflict("only a cancelled or failed study can go on", where="study", remedy="Look at it again.")
        _note(study, actor, "resume_study")
        transaction.on_commit(lambda: async_task("interconnection.tasks.run", study.pk))


def clone(study: Study, change: Change, *, actor: str) -> Study:
    """Order a copy of a study with something changed, on the feeder's newest model and beside who is there now; raises
    InputError."""
    old = StudyRequest.from_dict(study.request)
    version = study.version.feeder.versions.first()
    assert version is not None
    bus = (change.bus or old.bus).lower()
    known = {entry[0]: entry[1] for entry in version.description["buses"]}
    if bus not in known or set(old.phases) - set(known[bus]):
        raise InputError(
            f"feeder {version.feeder.name} has no bus {bus!r} with these phases", where="bus",
            remedy="The map shows the buses' names.",
        )  # fmt: skip
    hours = study_hours(change.hours, version.description["hours"]) if change.hours else old.hours
    held = (change.settings or old).regulators
    application = study.application
    request = replace(
        old, bus=bus, hours=hours,
        existing=in_force(version.feeder, version) if application is None else ahead_of(application, version),
        need=old.need if len(hours) == YEAR_HOURS and held == "frozen" else None,
        import_w=old.import_w if change.import_w is None else change.import_w,
        export_w=old.export_w if change.export_w is None else change.export_w,
    )  # fmt: skip
    if change.settings is not None:
        request = change.settings.on(request)
    with transaction.atomic():
        copy = order_study(version, request, actor=actor)
        Study.objects.filter(pk=copy.pk).update(application=study.application)
        _note(study, actor, "clone_study", copy=copy.pk)
        transaction.on_commit(lambda: async_task("interconnection.tasks.run", copy.pk))
    return copy


def order_ladder(study: Study, side: str, *, actor: str) -> StudyLadder:
    """Queue the search for what would make one side of a finished study firm; a second order finds the first."""
    if study.status != Study.DONE:
        raise Conflict("the study is not done", where="study", remedy="Wait for it, or let it go on.")
    if side not in ("import", "export") or not study.request[f"{side}_w"]:
        raise InputError("the ladder climbs a side that is asked for", where="side", remedy="import or export")
    with transaction.atomic():
        ladder, new = StudyLadder.objects.get_or_create(study=study, side=side)
        if not new and ladder.status == StudyLadder.FAILED:
            StudyLadder.objects.filter(pk=ladder.pk).update(status=StudyLadder.QUEUED, error="", done=0)
            new = True
        if new:
            _note(study, actor, "order_ladder", side=side)
            transaction.on_commit(lambda: async_task("interconnection.tasks.climb", ladder.pk))
    return ladder


def climb(ladder_id: int) -> StudyLadder:
    """Search a queued ladder in a confined child; a second worker leaves it alone."""
    rows = StudyLadder.objects.filter(pk=ladder_id)
    taken = rows.filter(status=StudyLadder.QUEUED).update(status=StudyLadder.RUNNING)
    ladder = rows.select_related("study__version").get()
    if not taken:
        return ladder
    request = StudyRequest.from_dict(ladder.study.request)
    sided = replace(request, import_w=0) if ladder.side == "export" else replace(request, export_w=0)

    def report(done: int, total: int) -> None:
        rows.update(done=done, total=total)

    try:
        with FeederProcess(ladder.study.version.text, bounds=Bounds(cpu_s=LADDER_S)) as feeder:
            found = feeder.call(
                "ladder", {"request": sided.to_dict(), "side": ladder.side}, timeout_s=LADDER_S,
                progress=report,
            )  # fmt: skip
    except HeadroomError as error:
        rows.update(status=StudyLadder.FAILED, error=str(error))
        raise
    rows.update(status=StudyLadder.DONE, result=priced(found))
    ladder.refresh_from_db()
    return ladder


def _note(study: Study, actor: str, action: str, **after: Any) -> None:
    if study.application is not None:
        Event.objects.create(application=study.application, actor=actor, action=action, after={"study": study.pk, **after})
