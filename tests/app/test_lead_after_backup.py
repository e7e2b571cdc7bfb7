"""A process that led leads again only under a number that it never used, whatever an old backup says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import DatabaseError, connection, connections
from django.db.models.functions import Now

from derms.clock import SystemClock
from telemetry.database import fresh
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


@pytest.mark.django_db(transaction=True)
def test_a_thread_whose_connection_broke_once_asks_again_on_a_new_one() -> None:
    def breaks() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if connection.vendor == "postgresql":
            connection.connection.pgconn.finish()  # as when the server was restarted
        else:
            connection.errors_occurred = True

    def asks() -> bool:
        return LeaderLease.objects.filter(feeder="f").exists()

    with ThreadPoolExecutor(1) as one_thread:
        one_thread.submit(breaks).result(30)
        with suppress(DatabaseError):
            one_thread.submit(asks).result(30)
        assert one_thread.submit(fresh(asks)).result(30) is False
        one_thread.submit(connections.close_all).result(30)
