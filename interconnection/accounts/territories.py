"""Which feeders a person of the utility looks after."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from interconnection.accounts.models import Territory
from interconnection.models import Feeder


def in_territory(user: Any, path: str) -> Q:
    """Return the condition on `path` (a feeder) that a person's territories set; without a territory, all feeders."""
    numbers = list(Territory.objects.filter(members=user.pk).values_list("pk", flat=True))
    return Q(**{f"{path}__in": Feeder.objects.filter(territories__in=numbers)}) if numbers else Q()
