"""Jobs of the study queue: thin, idempotent, ids only."""

from __future__ import annotations

from derms.errors import HeadroomError
from interconnection.models import Application
from interconnection.services import screening, study_control, study_executor
from interconnection.services.audit import record


def run(study_id: int) -> str:
    """Run one study, or hand its slices out; called by a django-q2 worker."""
    return str(study_executor.executor().start(study_id).status)


def screen(application_id: int, actor: str) -> str:
    """Run an application's screens; a refusal or a failure is the job's answer, and stands in the application's history.

    Called by a django-q2 worker.
    """
    application = Application.objects.get(pk=application_id)
    try:
        return f"{len(screening.screen(application, actor=actor).results)} screens"
    except HeadroomError as refusal:
        record("screen_failed", actor=actor, application=application, after={"reason": str(refusal)[:500]})
        return str(refusal)


def work_on(study_id: int) -> str:
    """Take slices of a study under leases; called by django-q2 workers, on any machine."""
    return study_executor.work_on(study_id)


def climb(ladder_id: int) -> str:
    """Search one upgrade ladder; called by a django-q2 worker."""
    return study_control.climb(ladder_id).status
