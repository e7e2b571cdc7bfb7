"""Who runs a study: this process alone (the default), or any number of queue workers, slice by slice under leases.

`HEADROOM_STUDY_EXECUTOR=slices` lets `tasks.run` put one job a slice on the queue. Each job takes free slices until none is
left: it leases one in the database, renews the lease while its confined child computes, stores the slice, takes the next.
A worker that is killed renews nothing: its lease runs out and another takes the slice. A slice depends on its hours only,
so doing one twice changes nothing; the answer's bytes are those of one process. The database's clock counts.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Sum
from django.db.models.functions import Now
from django.utils import timezone
from django_q.tasks import async_task

from derms.errors import Conflict, HeadroomError, LocalError
from derms.grid.capacity import slices
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import Slice
from derms.sandbox.feeder_process import FeederProcess
from derms.sandbox.study_pool import SLICE_S, run_study
from interconnection.models import Study
from interconnection.services import studies
from interconnection.study_models import StudyLease, StudySlice

MERGE = -1
MOST_JOBS = 64
MOST_ATTEMPTS = 4
"""A slice whose worker died this often is not tried again: something in it kills workers."""


class StudyExecutor(Protocol):
    """Runs a stored study to its end, or sees to it that others do."""

    def start(self, study_id: int) -> Study:
        """Run, or hand out, a queued study; return it as it is then."""
        ...


class InProcess:
    """All slices in this process's own confined children."""

    def start(self, study_id: int) -> Study:
        """Run the study here."""
        return studies.perform(study_id)


class OverWorkers:
    """One job a slice on the queue, for workers on any machine that sees the database."""

    def start(self, study_id: int) -> Study:
        """Hand the study out; a study that is not queued or failed is left alone."""
        taken = Study.objects.filter(pk=study_id, status__in=(Study.QUEUED, Study.FAILED)).update(
            status=Study.RUNNING, started=timezone.now(), error=""
        )
        study = Study.objects.get(pk=study_id)
        if taken:
            StudyLease.objects.filter(study=study).delete()
            for _ in range(min(MOST_JOBS, len(slices(StudyRequest.from_dict(study.request).hours)))):
                async_task("interconnection.tasks.work_on", study_id)
        return study


def executor() -> StudyExecutor:
    """Return the executor that the settings name."""
    return OverWorkers() if settings.STUDY_EXECUTOR == "slices" else InProcess()


def work_on(study_id: int) -> str:
    """Take slices of a running study until all are done, put them together if nobody else does; return its status.

    Slices that others hold are waited for: should their worker die, they come free here.
    """
    holder = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    study = Study.objects.select_related("version", "application").get(pk=study_id)
    request = StudyRequest.from_dict(study.request)
    feeder: FeederProcess | None = None
    try:
        while _status(study_id) == Study.RUNNING:
            done = set(StudySlice.objects.filter(study=study_id).values_list("first_hour", flat=True))
            waiting = [hours for hours in slices(request.hours) if hours[0] not in done]
            if not waiting:
                if _lease(study_id, MERGE, holder):
                    _put_together(study, request, holder)
                    break
                time.sleep(settings.STUDY_LEASE_S / 10)
                continue
            # The child first: its start takes seconds, in which a lease would run for nothing.
            feeder = feeder or FeederProcess(study.version.text)
            mine = next((hours for hours in waiting if _lease(study_id, hours[0], holder)), None)
            if mine is None:
                time.sleep(settings.STUDY_LEASE_S / 10)
                continue
            if not _one_slice(study, request, mine, feeder, holder):
                feeder = None
    except HeadroomError as error:
        Study.objects.filter(pk=study_id, status=Study.RUNNING).update(
            status=Study.FAILED, error=str(error), finished=timezone.now()
        )
    finally:
        if feeder is not None:
            feeder.close()
    return _status(study_id)


def _one_slice(study: Study, request: StudyRequest, hours: tuple[int, ...], feeder: FeederProcess, holder: str) -> bool:
    """Compute and store one leased slice; False when the child died or was stopped: the lease is let go."""
    arguments = {"request": request.to_dict(), "hours": list(hours)}
    try:
        raw = _while_leased(
            study.pk, hours[0], holder, lambda: feeder.call("study_hours", arguments, timeout_s=SLICE_S), feeder.close
        )
    except (LocalError, Conflict):
        feeder.close()
        StudyLease.objects.filter(study=study, first_hour=hours[0], holder=holder).update(until=Now())
        return False
    part = Slice.from_dict(raw)
    with transaction.atomic():
        StudySlice.objects.update_or_create(
            study=study, first_hour=hours[0], defaults={"hours": len(part.hours), "data": part.to_dict()}
        )
        StudyLease.objects.filter(study=study, first_hour=hours[0], holder=holder).delete()
    count = StudySlice.objects.filter(study=study).aggregate(n=Sum("hours"))["n"] or 0
    Study.objects.filter(pk=study.pk, status=Study.RUNNING).update(done_hours=min(int(count), study.total_hours))
    return True


def _put_together(study: Study, request: StudyRequest, holder: str) -> None:
    """Merge all slices, look at the binding hours, store the answer."""
    kept = {row.first_hour: Slice.from_dict(row.data) for row in StudySlice.objects.filter(study=study)}
    result = _while_leased(
        study.pk, MERGE, holder,
        lambda: run_study(
            study.version.text, study.version.sha256, request, kept=kept,
            cancelled=lambda: False,
        ),
        lambda: None,
    )  # fmt: skip
    if _status(study.pk) == Study.RUNNING:
        studies.finish(study, result)
    StudyLease.objects.filter(study=study).delete()


def _while_leased(study_id: int, first: int, holder: str, work: Callable[[], Any], stop: Callable[[], None]) -> Any:
    """Return what `work` gives, the lease renewed meanwhile; Conflict where the lease is lost or the study is over."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not wait([future], timeout=settings.STUDY_LEASE_S / 5).done:
            if _status(study_id) != Study.RUNNING or not _renew(study_id, first, holder):
                stop()
                wait([future], timeout=SLICE_S)
                raise Conflict("the slice is somebody else's now, or the study is over", where="study")
        return future.result()


def _lease(study_id: int, first: int, holder: str) -> bool:
    """Take a slice that is free, or whose lease has run out."""
    try:
        with transaction.atomic():
            StudyLease.objects.create(study_id=study_id, first_hour=first, holder=holder, until=_soon())
        return True
    except IntegrityError:
        rows = StudyLease.objects.filter(study_id=study_id, first_hour=first, until__lt=Now())
        if rows.filter(attempts__gte=MOST_ATTEMPTS).exists():
            raise LocalError(
                f"slice {first} was given up {MOST_ATTEMPTS} times", where="study",
                remedy="Its worker dies each time: look at the worker's memory and log.",
            ) from None  # fmt: skip
        return bool(rows.update(holder=holder, until=_soon(), attempts=F("attempts") + 1))


def _renew(study_id: int, first: int, holder: str) -> bool:
    return bool(StudyLease.objects.filter(study_id=study_id, first_hour=first, holder=holder).update(until=_soon()))


def _soon() -> Any:
    return ExpressionWrapper(Now() + timedelta(seconds=settings.STUDY_LEASE_S), output_field=DateTimeField())


def _status(study_id: int) -> str:
    return str(Study.objects.filter(pk=study_id).values_list("status", flat=True).get())
