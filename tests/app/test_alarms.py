"""The alarm list in the database: two writers, suppression by design, the shelf, the journal, the flood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from derms.clock import VirtualClock
from derms.errors import Conflict, InputError
from interconnection import audit
from interconnection.audit_models import AuditEntry
from telemetry import alarm_queries, alarm_services, services
from telemetry.alarm_models import AlarmEvent, AlarmRow
from telemetry.alarm_queries import Filter
from telemetry.alarm_sources import Sources
from telemetry.control.alarm_rules import Look, feeder_looks
from tests.unit.test_alarm import board

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def silent(name: str, holds: bool = True, feeder: str = "f") -> Look:
    return Look("site_silent", name, holds, "silent for 40 s" if holds else "heard again", feeder)


def raise_(*names: str) -> None:
    for second in (0, 10):
        alarm_services.report([silent(name) for name in names], at(second))


def state(subject: str, kind: str = "site_silent") -> str:
    return AlarmRow.objects.get(kind=kind, subject=subject).state


@pytest.mark.django_db
def test_a_raised_alarm_is_acknowledged_once_and_the_journal_says_by_whom() -> None:
    raise_("a")
    row = AlarmRow.objects.get()
    assert (row.state, row.raised) == ("unacknowledged", at(10))
    assert alarm_services.acknowledge([row.pk], actor="op", now=at(12)) == 1
    assert alarm_services.acknowledge([row.pk], actor="other", now=at(13)) == 0
    facts = list(AlarmEvent.objects.order_by("id").values_list("move", "before", "after", "actor"))
    assert facts == [
        ("raised", "normal", "unacknowledged", "system"), ("acknowledge", "unacknowledged", "acknowledged", "op"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_what_people_do_with_alarms_is_in_the_audit_chain_and_what_the_system_does_is_not() -> None:
    raise_("a", "b")
    first, second = AlarmRow.objects.order_by("subject")
    assert not AuditEntry.objects.filter(action="alarm").exists()
    alarm_services.acknowledge([first.pk], actor="op", now=at(12))
    alarm_services.shelve(second.pk, minutes=5, reason="known, crew on site", actor="op", now=at(13))
    entries = AuditEntry.objects.filter(action="alarm").order_by("sequence")
    assert [(item.actor, item.subject) for item in entries] == [
        ("op", "alarm site_silent a"),
        ("op", "alarm site_silent b"),
    ]
    assert "known, crew on site" in str(entries[1].after)
    assert audit.verify().holds


@pytest.mark.django_db
def test_the_journal_is_append_only() -> None:
    raise_("a")
    event = AlarmEvent.objects.get()
    event.actor = "nobody"
    with pytest.raises(Conflict):
        event.save()
    with pytest.raises(Conflict):
        event.delete()


@pytest.mark.django_db
def test_on_postgresql_the_database_itself_keeps_the_journal() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the trigger is PostgreSQL's: run with DATABASE_URL")
    raise_("a")
    for change in (lambda rows: rows.update(actor="nobody"), lambda rows: rows._raw_delete("default")):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            change(AlarmEvent.objects.all())


@pytest.mark.django_db
def test_of_two_annunciators_one_writes() -> None:
    raise_("a")
    mine, theirs = AlarmRow.objects.get(), AlarmRow.objects.get()
    for row, wins in ((mine, 1), (theirs, 0)):
        after = alarm_services.life.acknowledge(row.alarm, at(20))
        events = alarm_services._write(row, after, [alarm_services.Move.ACKNOWLEDGE], actor="x", now=at(20))
        assert len(events) == wins
    assert AlarmEvent.objects.filter(move="acknowledge").count() == 1


@pytest.mark.django_db
def test_a_quiet_condition_writes_nothing(django_assert_num_queries: Any) -> None:
    alarm_services.report([silent("a", holds=False)], at(0))
    raise_("b")
    with django_assert_num_queries(1):
        assert alarm_services.report([silent("a", holds=False), silent("b")], at(20)) == []


@pytest.mark.django_db
def test_isa_18_2_a_greater_alarm_suppresses_what_it_explains_and_gives_it_back() -> None:
    raise_("a")
    gone = feeder_looks("f", None, 25.0, {})
    alarm_services.report(gone, at(30))
    assert state("a") == "suppressed"
    assert state("f", "not_controlling") == "unacknowledged"
    with pytest.raises(Conflict):
        alarm_services.bring_back(AlarmRow.objects.get(subject="a").pk, actor="op", now=at(31))
    back = [look for look in gone if look.kind == "not_controlling"]
    still = [Look("not_controlling", "f", False, "again", "f"), silent("a")]
    assert len(back) == 1
    alarm_services.report(still, at(60))
    assert state("a") == "unacknowledged"
    alarm_services.report(gone, at(90))
    alarm_services.report([Look("not_controlling", "f", False, "again", "f"), silent("a", holds=False)], at(120))
    assert state("a") == "normal", "it was over when it came back: no new announcement"


@pytest.mark.django_db
def test_a_storm_behind_one_cause_is_one_alarm() -> None:
    looks = [Look("not_controlling", "f", True, "dead", "f"), *(silent(f"s{n}") for n in range(30))]
    for second in (0, 10):
        alarm_services.report(looks, at(second))
    assert alarm_queries.counts()["standing"] == 1
    assert alarm_queries.counts()["hidden"] == {"suppressed": 30}
    assert not alarm_queries.flood(at(11))["flood"]


@pytest.mark.django_db
def test_one_sites_alarm_never_hides_another_sites() -> None:
    looks = [Look("site_locked", "a", True, "above", "f"), *(Look("site_above_limit", n, True, "above", "f") for n in "ab")]
    alarm_services.report(looks, at(0))
    assert state("a", "site_above_limit") == "suppressed"
    assert state("b", "site_above_limit") == "unacknowledged"


@pytest.mark.django_db
def test_shelving_takes_a_reason_and_ends_by_itself() -> None:
    raise_("a")
    pk = AlarmRow.objects.get().pk
    with pytest.raises(InputError):
        alarm_services.shelve(pk, minutes=30, reason=" ", actor="op", now=at(20))
    with pytest.raises(InputError):
        alarm_services.shelve(pk, minutes=10_000, reason="radio is being mended", actor="op", now=at(20))
    alarm_services.shelve(pk, minutes=30, reason="radio is being mended", actor="op", now=at(20))
    assert alarm_queries.listed(Filter(), at(21)) == []
    assert alarm_queries.listed(Filter(view="shelved"), at(21))[0]["reason"] == "radio is being mended"
    alarm_services.report([silent("a")], at(20 + 1799))
    assert state("a") == "shelved"
    alarm_services.report([silent("a")], at(20 + 1800))
    assert state("a") == "unacknowledged"


@pytest.mark.django_db
def test_a_critical_alarm_is_neither_shelved_nor_taken_out_of_service() -> None:
    alarm_services.report([Look("site_locked", "a", True, "above", "f")], at(0))
    pk = AlarmRow.objects.get().pk
    with pytest.raises(Conflict):
        alarm_services.shelve(pk, minutes=5, reason="not now", actor="op", now=at(1))
    with pytest.raises(Conflict):
        alarm_services.remove(pk, reason="not now", actor="op", now=at(1))


@pytest.mark.django_db
def test_out_of_service_until_somebody_restores_it() -> None:
    raise_("a")
    pk = AlarmRow.objects.get().pk
    alarm_services.remove(pk, reason="meter is exchanged", actor="op", now=at(20))
    alarm_services.report([silent("a")], at(100_000))
    assert state("a") == "out_of_service"
    alarm_services.bring_back(pk, actor="op", now=at(100_001))
    assert state("a") == "unacknowledged"


@pytest.mark.django_db
def test_eleven_alarms_in_ten_minutes_are_grouped_with_the_first_named() -> None:
    raise_("first")
    alarm_services.report([silent(f"s{n}") for n in range(11)], at(11))
    alarm_services.report([silent(f"s{n}") for n in range(11)], at(21))
    flood = alarm_queries.flood(at(60))
    assert flood["flood"]
    assert flood["count"] == 12
    assert flood["first"][3] == "first"
    assert [(group["kind"], group["count"]) for group in flood["groups"]] == [("site_silent", 12)]


@pytest.mark.django_db
def test_what_is_no_longer_there_clears() -> None:
    raise_("a")
    alarm_services.report([], at(20))
    assert state("a") == "unacknowledged", "not looked at: nothing changes"
    for second in (30, 61):
        alarm_services.report([], at(second), covered={("site_silent", "f")})
    assert state("a") == "returned"


@pytest.mark.django_db
def test_the_sources_see_a_recorded_cycle_grow_old(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    clock = VirtualClock(T0)
    monkeypatch.setattr(Sources, "_expected", _only_f)
    sources = Sources(clock)
    services.record_cycle("f", T0, "1-1", 1, board(site={"stage": "locked"}))
    alarm_services.report(*_looked(sources), now=clock.now(), covered=set())
    assert state("depot", "site_locked") == "unacknowledged"
    assert state("watchdog", "process_dead") == "unacknowledged", "no verdict was ever written here"
    clock.advance(21)
    alarm_services.report(*_looked(sources), now=clock.now(), covered=set())
    assert state("f", "not_controlling") == "unacknowledged"
    assert state("depot", "site_locked") == "suppressed"


def _looked(sources: Sources) -> tuple[list[Look]]:
    return (sources.look()[0],)


def _only_f(sources: Sources) -> frozenset[str]:
    from telemetry import queries

    sources._boards = queries.newest_boards(sources._boards, {"f"})
    return frozenset({"f"})


@pytest.mark.django_db
def test_the_annunciators_own_step_tells_a_broken_audit_log(settings: Any, tmp_path: Path) -> None:
    from telemetry.management.commands.annunciator import Annunciator

    settings.STATE_DIR = tmp_path
    clock = VirtualClock(T0)
    work = Annunciator(clock)
    assert work.step()
    assert not AlarmRow.objects.filter(kind="audit_failing").exists()
    (tmp_path / "audit_missed.jsonl").write_text("{}\n")
    clock.advance(61)
    assert work.step()
    assert state("audit", "audit_failing") == "unacknowledged"
    assert any((tmp_path / "progress").iterdir()), "its counter moved"
