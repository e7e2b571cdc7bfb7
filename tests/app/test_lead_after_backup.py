"""A process that led leads again only under a number that it never used, whatever an old backup says."""

from __future__ import annotations

import pytest
from django.db.models.functions import Now

from derms.clock import SystemClock
from telemetry.leadership import DatabaseLeadership
from telemetry.models import LeaderLease


@pytest.mark.django_db
def test_invariant_2_the_epoch_rises_although_the_lease_row_was_restored() -> None:
    lead = DatabaseLeadership("f", SystemClock())
    lead.renew()
    first = lead.epoch()
    assert first is not None
    LeaderLease.objects.filter(feeder="f").update(epoch=first - 1, holder="", expires=Now())
    lead.renew()
    second = lead.epoch()
    assert second is not None
    assert second > first
