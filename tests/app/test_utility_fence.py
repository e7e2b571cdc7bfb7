"""IEEE 2030.5: the old leader that goes on changes nothing, and a database that fails is silence, not the loop's end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError

from derms.clock import VirtualClock
from derms.errors import OutcomeUnknown, Refused, RemoteError
from derms.limits import Limit
from telemetry import utility_desk, utility_services
from telemetry.control.grant import Grant, Reason
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.utility_models import Control

NOW = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp())


def grant(epoch: int, sequence: int, import_w: int) -> Grant:
    return Grant("depot", Limit(import_w, 0), epoch, sequence, 0.0, 60.0, None, Reason("t", "e", 1.0, "s"))


@pytest.mark.django_db
def test_a_grant_below_one_that_was_served_is_refused_and_the_newer_one_stands() -> None:
    lfdi = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
    utility_services.register_device(lfdi, aggregator=None, now=NOW, site="depot")
    utility_services.lend(grant(4, 9, 500_000), now=NOW, pen=40732)
    utility_services.lend(grant(5, 1, 100_000), now=NOW + 1, pen=40732)
    for late in (grant(4, 10, 500_000), grant(5, 0, 500_000)):
        with pytest.raises(Refused, match="was served"):
            utility_services.lend(late, now=NOW + 2, pen=40732)
    live = Control.objects.filter(superseded=None)
    assert [(row.epoch, row.sequence) for row in live] == [(5, 1)]
    assert utility_services.lend(grant(5, 2, 200_000), now=NOW + 3, pen=40732)


@pytest.mark.django_db
def test_a_database_that_fails_is_an_unknown_outcome_and_the_other_sites_are_still_controlled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise DatabaseError("the server closed the connection")

    monkeypatch.setattr(utility_desk, "views", fails)
    monkeypatch.setattr(utility_services, "lend", fails)
    monkeypatch.setattr(utility_services, "serve_failsafe", fails)
    site = UtilitySite("depot", Limit(1_000, 0), VirtualClock(datetime(2026, 6, 1, tzinfo=UTC)), pen=1)
    with pytest.raises(RemoteError, match="does not answer"):
        async_to_sync(site.read)()
    with pytest.raises(OutcomeUnknown, match="does not answer"):
        async_to_sync(site.publish)(grant(1, 1, 500_000))
    with pytest.raises(RemoteError):
        async_to_sync(site.begin)()
