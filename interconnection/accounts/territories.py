"""Which feeders a person of the utility looks after."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, Q

from interconnection.accounts.models import Territory
from interconnection.models import Feeder


def in_territory(user: Any, path: str) -> Q:
    """Return the condition on `path` (a feeder) that a person's territories set; without a territory, all feeders."""
    own = Territory.objects.filter(members=user.pk)
    return ~Q(Exists(own)) | Q(**{f"{path}__in": Feeder.objects.filter(territories__in=own)})
