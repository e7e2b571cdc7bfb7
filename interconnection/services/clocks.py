"""Clocks: started and stopped by actions, paused with a cause, never forgotten: `applications.move` calls `follow`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from derms.errors import Conflict, InputError
from interconnection import business_days, roles, rule_packs, states
from interconnection.models import Application, ClockPause, ClockRun, InformationRequest
from interconnection.packs import folders
from interconnection.services.audit import record


def local_day(moment: datetime) -> date:
    """Return the day of a moment where the utility's desk is."""
    return moment.astimezone(ZoneInfo(settings.DISPLAY_TIME_ZONE)).date()


def follow(application: Application, action: str, target: str, *, now: datetime) -> None:
    """Stop the clocks that an action ends and start those that it starts; the end of a case stops all."""
    running = application.clocks.filter(stopped__isnull=True)
    pack = rule_packs.pack(application.rule_pack, folders())
    ended = [clock.id for clock in pack.clocks if action in clock.ends]
    over = target in states.FINAL
    for run in running:
        if over or run.clock in ended:
            _stop(run, now)
    for clock in pack.clocks:
        if clock.starts == action and not over:
            run, new = ClockRun.objects.get_or_create(
                application=application, clock=clock.id, stopped=None,
                defaults={"title": clock.title, "days": clock.days, "kind": clock.kind, "owner": clock.owner,
                          "started": now},
            )  # fmt: skip
            if new:
                _set_due(run, now)


def pause(run: ClockRun, *, cause: str, by: str, now: datetime | None = None) -> ClockRun:
    """Pause a running clock; raises InputError without a cause, Conflict when it is paused or over."""
    moment = now or timezone.now()
    if not cause.strip():
        raise InputError("a pause needs a cause", where="cause", remedy="Say what is waited for: it stands in the record.")
    if run.stopped is not None:
        raise Conflict("this clock is over", where="clock")
    try:
        with transaction.atomic():
            ClockPause.objects.create(run=run, cause=cause[:200], by=by, began=moment)
            _set_due(run, moment)
            record("pause", actor=by, application=run.application, after={"clock": run.clock, "cause": cause})
    except IntegrityError as error:
        raise Conflict("this clock is paused already", where="clock") from error
    return run


def resume(run: ClockRun, *, by: str, now: datetime | None = None) -> ClockRun:
    """Let a paused clock go on; raises Conflict when it is not paused."""
    moment = now or timezone.now()
    with transaction.atomic():
        if not run.pauses.filter(ended__isnull=True).update(ended=moment):
            raise Conflict("this clock is not paused", where="clock")
        _set_due(run, moment)
        record("resume_clock", actor=by, application=run.application, after={"clock": run.clock, "due": str(run.due)})
    return run


def ask(
    application: Application, question: str, *, by: Any, about: Sequence[str] = (), now: datetime | None = None
) -> InformationRequest:
    """Ask the applicant for something; the utility's running clocks pause until it is answered."""
    moment = now or timezone.now()
    if not roles.has(by, roles.ENGINEER, roles.APPROVER):
        raise Conflict("your role does not ask for information", where="role", remedy="An engineer asks.")
    if not question.strip() or len(question) > 4000:
        raise InputError("the question is empty or longer than 4000 characters", where="question")
    if application.state in (states.DRAFT, *states.FINAL):
        raise Conflict(f"nothing is asked in state '{application.state}'", where="state")
    with transaction.atomic():
        asked = InformationRequest.objects.create(
            application=application, question=question.strip(), fields=list(about), asked_by=by, asked=moment
        )
        for run in application.clocks.filter(stopped__isnull=True, owner="utility"):
            if not run.pauses.filter(ended__isnull=True).exists():
                pause(run, cause=f"information asked for (question {asked.pk})", by=str(by), now=moment)
        record("ask", actor=str(by), application=application, after={"question": question, "about": list(about)})
    return asked


def answer(asked: InformationRequest, text: str, *, by: Any, now: datetime | None = None) -> InformationRequest:
    """Answer a question; when none is open any more, the clocks that waited for it go on."""
    moment = now or timezone.now()
    application = asked.application
    if application.applicant_id != by.pk and not roles.has(by, roles.ENGINEER):
        raise Conflict("only the applicant or an engineer answers", where="role")
    if not text.strip() or len(text) > 10_000:
        raise InputError("the answer is empty or longer than 10000 characters", where="answer")
    with transaction.atomic():
        changed = InformationRequest.objects.filter(pk=asked.pk, answered__isnull=True).update(
            answer=text.strip(), answered_by=by, answered=moment
        )
        if not changed:
            raise Conflict("this question is answered already", where="answer")
        record("answer", actor=str(by), application=application, after={"question": asked.pk, "answer": text})
        if not application.information_requests.filter(answered__isnull=True).exists():
            for run in application.clocks.filter(stopped__isnull=True):
                if run.pauses.filter(ended__isnull=True, cause__startswith="information asked for").exists():
                    resume(run, by=str(by), now=moment)
    asked.refresh_from_db()
    return asked


def standing(run: ClockRun, *, now: datetime | None = None) -> business_days.Standing:
    """Return how a clock stands: due, days used and left, paused, late."""
    pack = rule_packs.pack(run.application.rule_pack, folders())
    pauses = [
        (local_day(item.began), local_day(item.ended) if item.ended is not None else None) for item in run.pauses.all()
    ]
    return business_days.standing(
        local_day(run.started), run.days, pauses, business_days.holidays_of(pack.calendar), kind=run.kind,
        today=local_day(run.stopped or now or timezone.now()),
    )  # fmt: skip


def overdue(*, now: datetime | None = None) -> QuerySet[ClockRun]:
    """Return the running clocks whose day is past, the latest first."""
    today = local_day(now or timezone.now())
    return (
        ClockRun.objects.filter(stopped__isnull=True, due__lt=today).select_related("application__feeder").order_by("due")
    )


def _set_due(run: ClockRun, now: datetime) -> None:
    run.due = standing(run, now=now).due
    ClockRun.objects.filter(pk=run.pk).update(due=run.due)


def _stop(run: ClockRun, now: datetime) -> None:
    run.pauses.filter(ended__isnull=True).update(ended=now)
    _set_due(run, now)
    late = run.due is not None and local_day(now) > run.due
    ClockRun.objects.filter(pk=run.pk, stopped__isnull=True).update(stopped=now, late=late)
