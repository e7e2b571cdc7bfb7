"""Orders: one person lowers at once, two different people raise, nothing is edited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derms.errors import Conflict, InputError
from derms.limits import Limit
from interconnection import audit
from interconnection.audit_models import AuditEntry
from telemetry import order_queries, order_services
from telemetry.order_models import OperatorOrder

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = NOW + timedelta(hours=1)
SOON = NOW + timedelta(seconds=60)


def cap(limit_w: int = 500_000, by: str = "ann", **more: object) -> OperatorOrder:
    facts = {"reason": "feeder work", "now": NOW, "expires": HOUR} | more
    return order_services.cap_site("f", "depot", Limit(limit_w, limit_w), by=by, **facts)  # type: ignore[arg-type]


def kinds(now: datetime = SOON) -> list[str]:
    return [item.kind for item in order_queries.snapshot("f", now).items]


def test_one_person_lowers_at_once_and_the_order_ends_by_itself(db: None) -> None:
    cap()
    assert kinds() == ["cap"]
    assert kinds(HOUR) == [], "times decide, whether or not anybody tidies up"
    assert order_services.expire(HOUR) == 1
    assert audit.verify().entries == 2


def test_a_raise_takes_two_different_people_within_a_quarter_of_an_hour(db: None) -> None:
    facts = {"by": "Ann", "reason": "test", "now": NOW, "expires": HOUR}
    order = order_services.propose_raise("f", "depot", Limit(9, 9), **facts)  # type: ignore[arg-type]
    assert kinds() == []
    for same in ("Ann", "ann ", "ANN"):
        with pytest.raises(Conflict, match="two different people"):
            order_services.approve(order.pk, by=same, now=NOW)
    with pytest.raises(Conflict, match="older"):
        order_services.approve(order.pk, by="ben", now=NOW + timedelta(seconds=901))
    order_services.approve(order.pk, by="ben", now=SOON)
    assert kinds() == ["raise"]
    assert order_services.release(order.pk, by="cat", reason="done", now=SOON).state == "released", "one lowers"


def test_the_database_too_refuses_a_raise_by_one_person(db: None) -> None:
    facts = {"feeder": "f", "site": "a", "kind": "raise", "import_w": 1, "export_w": 1, "reason": "x", "by": "ann"}
    times = {"created": NOW, "starts": NOW, "expires": HOUR}
    with pytest.raises(DatabaseError):
        OperatorOrder.objects.create(**facts, **times, second="")


def test_releasing_a_cap_early_takes_two(db: None) -> None:
    order = cap()
    assert order_services.release(order.pk, by="ann", reason="over", now=NOW).state == "active"
    with pytest.raises(Conflict, match="two different people"):
        order_services.approve_release(order.pk, by="ANN", now=NOW)
    assert kinds() == ["cap"]
    assert order_services.approve_release(order.pk, by="ben", now=NOW).state == "released"
    with pytest.raises(Conflict):
        order_services.approve_release(order.pk, by="ben", now=NOW)


def test_a_looser_cap_does_not_replace_a_tighter_one(db: None) -> None:
    tight, loose = cap(400_000), cap(900_000)
    assert len(kinds()) == 2
    tighter = cap(100_000)
    assert OperatorOrder.objects.get(pk=tight.pk).superseded_by == tighter
    assert OperatorOrder.objects.get(pk=loose.pk).state == "superseded"
    short = cap(50_000, expires=NOW + timedelta(minutes=1))
    assert OperatorOrder.objects.get(pk=tighter.pk).state == "active", "the shorter one must not take it away"
    assert short.state == "active"


def test_scada_may_loosen_its_own_cap_and_nobody_elses(db: None) -> None:
    person = cap(400_000)
    first = cap(300_000, by="scada:1", source="scada")
    second = cap(800_000, by="scada:1", source="scada")
    assert OperatorOrder.objects.get(pk=first.pk).superseded_by == second
    assert OperatorOrder.objects.get(pk=person.pk).state == "active"
    assert order_services.release(second.pk, by="scada:1", reason="over", now=NOW).state == "released"
    assert order_services.release(person.pk, by="scada:1", reason="over", now=NOW).state == "active"


@pytest.mark.parametrize("fault", ["reason", "by", "expires"])
def test_an_order_says_who_why_and_how_long(db: None, fault: str) -> None:
    with pytest.raises(InputError, match=r".") as caught:
        cap(**({"expires": NOW} if fault == "expires" else {fault: " "}))  # type: ignore[arg-type]
    assert caught.value.where == fault
    assert OperatorOrder.objects.count() == 0


def test_without_the_audit_log_lowering_works_and_raising_does_not(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = order_services.propose_reset("f", "depot", by="ann", reason="mended", now=NOW)

    def full(rows: object) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(AuditEntry.objects, "bulk_create", full)
    with pytest.raises(DatabaseError):
        order_services.approve(waiting.pk, by="ben", now=NOW)
    assert OperatorOrder.objects.get(pk=waiting.pk).state == "proposed"
    cap()
    order_services.failsafe_now("f", by="ann", reason="storm", now=NOW)
    order_services.set_mode("f", "disabled", by="ann", reason="storm", now=NOW)
    assert kinds() == ["cap", "failsafe"]
    assert order_queries.mode("f") == "disabled"
    with pytest.raises(DatabaseError):
        order_services.set_mode("f", "automatic", by="ann", reason="over", now=NOW)
    assert order_queries.mode("f") == "disabled"


WHO = st.sampled_from(["ann", "Ann", "ann ", "ben"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["propose", "approve", "release", "approve_release", "cap"]), WHO), max_size=12
    )
)
def test_no_sequence_lets_one_person_raise(db: None, steps: list[tuple[str, str]]) -> None:
    """4-eyes as a property: whatever one person tries, a raise in force or a released cap bears two names."""
    OperatorOrder.objects.all()._raw_delete(OperatorOrder.objects.db)
    for step, who in steps:
        newest = OperatorOrder.objects.first()
        try:
            if step == "propose":
                order_services.propose_raise("f", "a", Limit(1, 1), by=who, reason="r", now=NOW, expires=HOUR)
            elif step == "cap":
                cap(by=who)
            elif newest is not None and step == "release":
                order_services.release(newest.pk, by=who, reason="r", now=NOW)
            elif newest is not None:
                getattr(order_services, step)(newest.pk, by=who, now=NOW)
        except Conflict:
            continue
    for row in OperatorOrder.objects.all():
        if row.kind == "raise" and row.state == "active":
            assert row.by.strip().casefold() != row.second.strip().casefold()
        if row.kind == "cap" and row.state == "released":
            assert row.release_by.strip().casefold() != row.ended_by.strip().casefold()
