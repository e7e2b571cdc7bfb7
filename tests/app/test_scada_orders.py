"""SCADA's slots and orders in the tables: a place is given once, a feeder's limit sums exactly, orders end one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from derms.clock import VirtualClock
from derms.errors import Conflict, InputError, NotFound
from telemetry import progress, scada_services
from telemetry.control.watch import Verdict
from telemetry.management.commands import scada
from telemetry.order_models import OperatorOrder
from telemetry.protocols.dnp3 import scada_points as p
from telemetry.scada_models import ScadaSlot
from telemetry.scada_services import DatabaseDesk, give_slots, share_out
from tests.app.scada_seed import seed

no_deadline = hypothesis_settings(deadline=None)  # no time in a test


@no_deadline
@given(st.integers(0, 10**9), st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(0, 10**8), min_size=1))
def test_a_feeders_limit_is_shared_to_the_watt_and_never_beyond_a_site(total: int, flexible: dict[str, int]) -> None:
    shares = share_out(total, flexible)
    assert shares.keys() == flexible.keys()
    assert sum(shares.values()) == min(total, sum(flexible.values()))
    assert all(0 <= shares[name] <= flexible[name] for name in flexible)


def test_a_slot_is_given_once_and_never_to_another(db: None) -> None:
    assert give_slots(p.SITE, ["b", "a"]) == {"a": 0, "b": 1}
    assert give_slots(p.SITE, ["c", "b"]) == {"b": 1, "c": 2}, "a is gone, its place stays its own"
    assert give_slots(p.FEEDER, ["a"]) == {"a": 0}, "feeders have places of their own"
    row = ScadaSlot.objects.get(name="b")
    row.slot = 9
    with pytest.raises(Conflict):
        row.save()
    with pytest.raises(Conflict):
        row.delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        ScadaSlot.objects.create(scope=p.SITE, name="d", slot=1)


def test_a_full_map_is_an_error_that_says_so(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "MOST_SITES", 2)
    with pytest.raises(InputError, match="the point map is full"):
        give_slots(p.SITE, ["a", "b", "c"])
    assert ScadaSlot.objects.count() == 0, "and nothing of it is stored"


@pytest.fixture
def desk(db: None) -> DatabaseDesk:
    seed()
    return DatabaseDesk(VirtualClock(datetime(2026, 6, 1, 12, tzinfo=UTC)), lambda: (True, 7))


def test_the_mirror_is_the_least_of_two_centres_and_each_side_ends_by_itself(desk: DatabaseDesk) -> None:
    desk.limit("one", p.FEEDER, "ieee13", "import", 1_000_000, 100.0)
    desk.limit("two", p.FEEDER, "ieee13", "import", 700_000, 50.0)
    desk.limit("one", p.FEEDER, "ieee13", "export", 300_000, 20.0)
    found = desk.house().feeder_limits["ieee13"]
    assert (found.import_kw, found.export_kw, found.left_s) == (700.0, 300.0, 20.0)
    clock = desk._clock
    assert isinstance(clock, VirtualClock)
    clock.advance(60.0)
    found = desk.house().feeder_limits["ieee13"]
    assert (found.import_kw, found.export_kw, found.left_s) == (1000.0, None, 40.0)
    desk.limit("two", p.FEEDER, "ieee13", "import", None, 0.0)
    assert desk.house().feeder_limits["ieee13"].import_kw == 1000.0, "the other centre's stands"
    desk.limit("one", p.FEEDER, "ieee13", "import", None, 0.0)
    assert "ieee13" not in desk.house().feeder_limits


def test_a_centres_newer_limit_replaces_its_own_also_when_it_is_looser(desk: DatabaseDesk) -> None:
    for watts in (400_000, 900_000):
        desk.limit("one", p.SITE, "depot-1", "import", watts, 60.0)
    assert desk.house().site_limits["depot-1"].import_kw == 900.0
    assert OperatorOrder.objects.filter(state="active").count() == 1


def test_curtail_all_is_every_feeder_once_and_its_giver_alone_ends_it(desk: DatabaseDesk) -> None:
    desk.curtail_all("one", True)
    desk.curtail_all("one", True)
    house = desk.house()
    assert house.curtail_all
    assert OperatorOrder.objects.filter(kind="failsafe", state="active").count() == 2
    assert house.held == {("one", "curtail_all", p.SYSTEM_NAME)}
    desk.curtail_all("two", False)
    assert desk.house().curtail_all
    desk.curtail_all("one", False)
    assert not desk.house().curtail_all


def test_an_unknown_site_or_side_is_refused_and_stores_nothing(desk: DatabaseDesk) -> None:
    with pytest.raises(NotFound):
        desk.limit("one", p.SITE, "nowhere", "import", 1, 60.0)
    with pytest.raises(InputError):
        desk.limit("one", p.SITE, "depot-1", "sideways", 1, 60.0)
    assert OperatorOrder.objects.count() == 0


def test_the_heartbeat_is_the_watchdogs_count(desk: DatabaseDesk) -> None:
    assert (desk.house().controlling, desk.house().heartbeat) == (True, 7)
    assert scada_services.DatabaseDesk(desk._clock, lambda: (False, 8)).house().controlling is False


@pytest.mark.parametrize(
    ("state", "beats"), [("controlling", True), ("degraded", True), ("not controlling", False), ("idle", False)]
)
def test_the_heartbeat_goes_on_while_limits_are_under_control_whatever_else_is_dead(
    state: str, beats: bool, settings: Any, tmp_path: Path
) -> None:
    settings.STATE_DIR = tmp_path
    assert scada._watchdog() == (False, 0), "no watchdog, no heartbeat"
    progress.publish(Verdict(state, "", ()), 41)
    assert scada._watchdog() == (beats, 41)
