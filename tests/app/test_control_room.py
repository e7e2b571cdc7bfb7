"""The control room's rows: the epoch never falls, the old leader writes nothing, old data says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db.models.functions import Now

from derms.clock import VirtualClock
from derms.errors import InputError
from derms.limits import Limit
from interconnection.audit_models import AuditEntry
from interconnection.models import FeederVersion
from telemetry import certificate_services, lead_services, order_services, queries, services
from telemetry.consumers import BoardConsumer
from telemetry.control.compliance import Ladder, Stage
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Reason
from telemetry.control.ladder_keeper import LadderKeeper
from telemetry.control.orders import Orders
from telemetry.cycle_models import LadderRow
from telemetry.leadership import DatabaseMemory, DatabaseOrders
from telemetry.models import CycleRow, GrantRow, LeaderLease

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def grant(epoch: int, sequence: int = 1) -> Grant:
    return Grant("depot", Limit(1000, 0), epoch, sequence, 0.0, 60.0, 0.0, Reason("thermal", "line.a", 0.5, "s"))


def board(at: datetime) -> None:
    site = {
        "site": "depot",
        "protocol": "dnp3",
        "power_kw": 640.0,
        "import_limit_kw": 1200.0,
        "export_limit_kw": 90.0,
        "flexible_import_kw": 1500.0,
        "flexible_export_kw": 1500.0,
        "failsafe_import_kw": 474.0,
        "failsafe_export_kw": 86.0,
        "heard": True,
        "silent_s": 0,
        "in_failsafe": False,
        "stage": "obeys",
        "state_of_charge_percent": 50.0,
        "reason": "thermal at line.section_149_1, share 0.71",
    }
    shown = {
        "mode": "automatic",
        "problem": "",
        "head_kw": 2000.0,
        "loading_percent": 71.0,
        "snapshot": "1-1",
        "sites": [site],
    }
    shown |= {"element": "line.section_149_1", "v_min_pu": 0.98, "v_max_pu": 1.04, "load_scale": 1.0, "level": "head"}
    services.record_cycle("ieee123", at, "1-1", 1, shown)


def lapse(feeder: str = "f") -> None:
    """Let the lease be over by the database's clock."""
    LeaderLease.objects.filter(feeder=feeder).update(expires=Now() - timedelta(seconds=0.1))


def test_one_leads_at_a_time_and_each_leadership_has_a_higher_epoch(db: None) -> None:
    first = lead_services.take_lead("f", "a")
    assert first == 1
    assert lead_services.take_lead("f", "b") is None
    assert lead_services.keep_lead("f", "a", first)
    assert not lead_services.keep_lead("f", "b", first)
    lapse()
    assert lead_services.take_lead("f", "b") == 2


def test_a_leader_that_slept_cannot_go_on_under_its_old_epoch(db: None) -> None:
    assert lead_services.take_lead("f", "a") == 1
    lapse()
    assert not lead_services.keep_lead("f", "a", 1), "expired, even though nobody else took it"
    assert lead_services.take_lead("f", "a") == 2


def test_a_lease_that_ends_impossibly_late_is_free(db: None) -> None:
    """The database's clock jumped back: nobody may have to wait until it comes there again."""
    assert lead_services.take_lead("f", "a") == 1
    LeaderLease.objects.update(expires=Now() + timedelta(hours=1))
    assert lead_services.take_lead("f", "b") == 2


def test_after_a_restored_backup_the_epoch_jumps_above_what_sites_report(db: None) -> None:
    assert lead_services.take_lead("f", "a", floor=40) == 41
    assert lead_services.outrank("f", "a", 41, 70) == 71
    assert lead_services.outrank("f", "a", 41, 90) is None, "only who leads now"
    assert LeaderLease.objects.get().epoch == 71
    lapse()
    assert lead_services.take_lead("f", "b", floor=5) == 72, "never down"


def test_the_old_leaders_raise_is_not_audited_and_writes_nothing(db: None) -> None:
    lead_services.take_lead("f", "a")
    lapse()
    lead_services.take_lead("f", "b")
    before = AuditEntry.objects.count()
    assert not services.audit_grants("f", [grant(1)])
    assert (GrantRow.objects.count(), AuditEntry.objects.count()) == (0, before)
    assert services.audit_grants("f", [grant(2)])
    assert (GrantRow.objects.count(), AuditEntry.objects.count()) == (1, before + 1)


def test_the_old_leaders_cycle_does_not_cover_the_new_ones(db: None) -> None:
    lead_services.take_lead("f", "a")
    lapse()
    lead_services.take_lead("f", "b")
    locked = {"depot": Ladder(Stage.LOCKED, locked_at=0.0).to_dict(1.0)}
    assert not services.record_cycle("f", NOW, "1-9", 1, {}, ladders=locked)
    assert (CycleRow.objects.count(), LadderRow.objects.count()) == (0, 0)
    assert services.record_cycle("f", NOW, "2-1", 2, {}, document="{}", ladders=locked)
    assert LadderRow.objects.get().stage == "locked"
    assert [item.site for item in queries.trip_requests()] == ["depot"]


def test_an_outcome_is_noted_once_per_grant(db: None) -> None:
    lead_services.take_lead("f", "a")
    services.audit_grants("f", [grant(1)])
    unknown = Acknowledgement(grant(1), Outcome.UNKNOWN, None)
    services.record_outcomes("f", [unknown, Acknowledgement(grant(1, 2), Outcome.ACKNOWLEDGED, None)])
    assert list(GrantRow.objects.order_by("sequence").values_list("outcome", flat=True)) == ["unknown", "acknowledged"]


def test_a_board_older_than_30_seconds_says_so(db: None) -> None:
    board(NOW)
    fresh, stale = queries.boards(NOW + timedelta(seconds=30))[0], queries.boards(NOW + timedelta(seconds=31))[0]
    assert (fresh["stale"], stale["stale"]) == (False, True)


@pytest.mark.django_db(transaction=True)
async def test_the_board_comes_over_websocket_to_operators_and_to_nobody_else() -> None:
    from tests.app.conftest import person

    operator, stranger = await sync_to_async(person)("op", "operator"), await sync_to_async(person)("who")
    await sync_to_async(board)(datetime.now(UTC))
    for user, welcome in ((operator, True), (stranger, False)):
        scope = {"type": "websocket", "path": "/ws/board/", "headers": [], "subprotocols": [], "user": user}
        socket = ApplicationCommunicator(BoardConsumer.as_asgi(), scope)
        await socket.send_input({"type": "websocket.connect"})
        answer = await socket.receive_output(timeout=5)
        assert (answer["type"] == "websocket.accept") is welcome
        if welcome:
            message = json.loads((await socket.receive_output(timeout=5))["text"])
            assert [(item["feeder"], item["snapshot"]) for item in message["feeders"]] == [("ieee123", "1-1")]
            assert message["control"]["state"] == "not controlling", "no watchdog runs here, and the page must say so"
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait(timeout=5)


@pytest.mark.django_db(transaction=True)
async def test_the_engine_reads_orders_switching_and_ladders_from_the_database(version: FeederVersion) -> None:
    clock = VirtualClock(NOW)
    orders, memory = DatabaseOrders("ieee13", clock), DatabaseMemory("ieee13")
    assert await orders.read() == Orders()
    assert not await orders.changed()
    give = sync_to_async(order_services.failsafe_now)
    await give("ieee13", "depot", by="ann", reason="storm", now=NOW)
    assert await orders.changed()
    assert not await orders.changed()
    found = await orders.read()
    assert found is not None
    assert [(item.kind, item.site, item.by) for item in found.items] == [("failsafe", "depot", "ann")]
    declare = sync_to_async(certificate_services.declare_state)
    facts: dict[str, Any] = {"opened": ["line.switch_671_692"], "closed": [], "by": "ann", "reason": "52-1 opened"}
    await declare(version, "east off", confirmed=False, now=NOW, **facts)
    found = await orders.read()
    assert found is not None and "not known: 52-1 opened" in found.topology
    await declare(version, "east off", now=NOW, **facts)
    found = await orders.read()
    assert found is not None and "its model is not loaded yet" in found.topology
    assert (await DatabaseOrders("ieee13", clock, compiled_state="east off").read()).topology == ""  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no element"):
        await declare(version, "x", now=NOW, **(facts | {"opened": ["line.nowhere"]}))
    locked = Ladder(Stage.LOCKED, locked_at=100.0).to_dict(400.0)
    await sync_to_async(services.keep_ladder)("ieee13", "depot", locked, NOW)
    await sync_to_async(LadderRow.objects.update)(at=Now() - timedelta(seconds=50))
    recalled = await memory.recall(1000.0)
    assert recalled is not None
    assert recalled["depot"].stage is Stage.LOCKED
    assert recalled["depot"].locked_at == pytest.approx(650.0, abs=5.0), "locked for 300 s when it was stored, 50 s ago"


def test_a_ladder_that_could_not_be_stored_is_stored_with_the_next_cycle() -> None:
    keeper, ladders = LadderKeeper(), {"depot": Ladder(), "yard": Ladder(Stage.LOCKED, locked_at=5.0)}
    assert set(keeper.moved(ladders, 10.0, 1)) == {"yard"}, "a site at rest is what a new leader assumes"
    assert keeper.moved(ladders, 20.0, 1) == {}
    assert set(keeper.moved(ladders, 21.0, 3)) == {"yard"}, "another led meanwhile: what came late was not written"
    keeper.lost(["yard"])
    assert keeper.moved(ladders, 30.0, 3)["yard"]["stage"] == "locked"
