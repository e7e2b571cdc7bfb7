"""Jobs of the study queue: thin, idempotent, ids only."""

from __future__ import annotations

from interconnection.services import study_control, study_executor


def run(study_id: int) -> str:
    """Run one study, or hand its slices out; called by a django-q2 worker."""
    return str(study_executor.executor().start(study_id).status)


def work_on(study_id: int) -> str:
    """Take slices of a study under leases; called by django-q2 workers, on any machine."""
    return study_executor.work_on(study_id)


def climb(ladder_id: int) -> str:
    """Search one upgrade ladder; called by a django-q2 worker."""
    return study_control.climb(ladder_id).status
