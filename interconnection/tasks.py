"""Jobs of the study queue: thin, idempotent, ids only."""

from __future__ import annotations

from interconnection.services import studies, study_control


def run(study_id: int) -> str:
    """Run one study; called by a django-q2 worker."""
    return studies.perform(study_id).status


def climb(ladder_id: int) -> str:
    """Search one upgrade ladder; called by a django-q2 worker."""
    return study_control.climb(ladder_id).status
