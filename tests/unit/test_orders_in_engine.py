"""Modes and orders in the loop: an order only tightens and is obeyed at once, over the product's own leases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.limits import Limit
from telemetry.control import orders
from telemetry.control.compliance import Ladder, Stage
from telemetry.control.cycle_document import decide_again
from telemetry.control.grant import Grant
from telemetry.control.orders import Ceiling, Order, Orders, ceiling
from telemetry.control.site_book import SiteBook
from telemetry.control.state import HeadReading
from tests.unit.test_engine import FAILSAFE, NAMEPLATE, World

LIMITS = st.builds(Limit, st.integers(0, 4_000_000), st.integers(0, 4_000_000))


class Desk:
    """Orders as the operator left them; None: the database does not answer."""

    def __init__(self) -> None:
        self.now: Orders | None = Orders()

    async def read(self) -> Orders | None:
        return self.now

    def give(self, kind: str, site: str = "depot", limit: Limit | None = None, number: int = 1) -> None:
        held = self.now or Orders()
        self.now = replace(held, items=(*held.items, Order(number, kind, site, limit, "ann")))


def room(*names: str, **more: object) -> tuple[World, Desk]:
    world, desk = World(names or ("depot",)), Desk()
    world.engine._order_source = desk
    world.engine._documents = True
    for name, value in more.items():
        setattr(world.engine, name, value)
    return world, desk


@settings(max_examples=300, deadline=None)
@given(
    target=LIMITS, failsafe=LIMITS, in_force=LIMITS, mode=st.sampled_from(orders.MODES), known=st.booleans(),
    items=st.lists(st.tuples(st.sampled_from(orders.KINDS), st.sampled_from(["", "a", "b"]), LIMITS), max_size=5),
)  # fmt: skip
def test_no_orders_lift_a_site_above_the_envelope_and_each_one_is_obeyed(
    target: Limit, failsafe: Limit, in_force: Limit, mode: str, known: bool, items: list[tuple[str, str, Limit]]
) -> None:
    given_orders = Orders(mode, tuple(Order(n, *item) for n, item in enumerate(items)), known)
    found: Ceiling | None = ceiling(given_orders, "a", target=target, failsafe=failsafe, in_force=in_force)
    left = found.limit if found is not None else target
    assert left.within(target)
    for kind, site, limit in items:
        if site != "b":
            assert kind != "cap" or left.within(limit)
            assert kind not in ("failsafe", "trip") or left.within(failsafe)
            assert kind != "hold" or left.within(in_force)
    if mode == "manual" and not any(kind == "raise" and site != "b" for kind, site, _ in items):
        assert left.within(failsafe), "without two people's word nothing is above the failsafe"


def test_a_cap_is_obeyed_at_once_and_says_who_ordered_it() -> None:
    world, desk = room()
    world.run(1200)
    desk.give("cap", limit=Limit(800_000, 100_000))
    world.run(10)
    assert world.sites["depot"].limit() == Limit(800_000, 100_000), "also below the failsafe: an emergency"
    reason = world.recorder.records[-1].grants[-1].reason
    assert (reason.criterion, reason.element) == ("cap", "order 1 by ann")
    desk.now = Orders()
    world.run(20)
    assert world.sites["depot"].limit().export_w >= FAILSAFE.export_w
    assert world.sites["depot"].limit().import_w <= 800_000 + 0.1 * 3_000_000 * 30 / 60


def test_curtail_all_does_not_wait_for_a_cycle() -> None:
    world, desk = room("a", "b")
    world.run(1200)
    desk.give("cap", site="", limit=Limit(0, 0))
    asked = len(world.solver.asked)
    answers = asyncio.run(world.engine.tighten())
    assert [answer.in_force for answer in answers] == [Limit(0, 0)] * 2
    assert all(site.limit() == Limit(0, 0) for site in world.sites.values())
    assert len(world.solver.asked) == asked
    world.check()


def test_tighten_never_raises() -> None:
    world, desk = room()
    world.run(1200)
    desk.give("cap", limit=Limit(700_000, 900_000))
    world.run(10)
    desk.now = Orders()
    assert asyncio.run(world.engine.tighten()) == []
    assert world.sites["depot"].limit() == Limit(700_000, 900_000)


def test_hold_lets_nothing_rise_and_lets_the_envelope_tighten() -> None:
    world, desk = room()
    world.run(300)
    desk.give("hold")
    before = world.sites["depot"].limit()
    world.run(300)
    assert world.sites["depot"].limit() == before
    world.solver.room_w = 700_000
    world.run(10)
    assert world.sites["depot"].limit() == Limit(700_000, 900_000)


@pytest.mark.parametrize("kind", ["failsafe", "trip"])
def test_failsafe_now(kind: str) -> None:
    world, desk = room()
    world.run(1200)
    desk.give(kind, site="" if kind == "failsafe" else "depot")
    world.run(10)
    assert world.sites["depot"].limit() == FAILSAFE


def test_manual_gives_what_two_people_agreed_met_with_the_envelope() -> None:
    world, desk = room()
    desk.now = Orders("manual")
    world.run(600)
    assert world.sites["depot"].limit() == FAILSAFE
    desk.give("raise", limit=Limit(2_000_000, 2_000_000))
    world.run(1200)
    assert world.sites["depot"].limit() == Limit(2_000_000, 2_000_000)
    world.solver.room_w = 1_000_000
    world.run(10)
    assert world.sites["depot"].limit() == Limit(1_000_000, 1_000_000)


@pytest.mark.parametrize("mode", ["disabled", "shadow"])
def test_disabled_and_shadow_send_nothing_and_the_leases_end(mode: str) -> None:
    world, desk = room()
    world.run(1200)
    desk.now = Orders(mode)
    sent = len(world.sites["depot"].acted_on)
    world.run(70)
    assert len(world.sites["depot"].acted_on) == sent
    assert world.sites["depot"].limit() == FAILSAFE


def test_shadow_computes_and_scores_and_sends_nothing() -> None:
    world, desk = room()
    desk.now = Orders("shadow")
    world.sites["depot"].power_w = 500_000.0
    world.run(1200)
    assert world.sites["depot"].acted_on == []
    shadow = world.recorder.records[-1].shadow["depot"]
    assert (shadow.limit, shadow.beyond_w) == (NAMEPLATE, 0.0)
    world.solver.room_w = 650_000
    world.sites["depot"].power_w = 900_000.0
    world.run(10)
    shadow = world.recorder.records[-1].shadow["depot"]
    assert (shadow.limit.import_w, shadow.beyond_w) == (650_000, 250_000.0)
    assert world.engine.ladders["depot"].stage is Stage.OBEYS, "nobody breaks a limit that was not sent"
    desk.now = Orders()
    world.run(10)
    raised = world.sites["depot"].limit().import_w - FAILSAFE.import_w
    assert 0 <= raised <= 0.10 * 3_000_000 * 12 / 60, "from shadow to automatic without a step"


def test_orders_that_cannot_be_read_stand_and_nothing_is_raised() -> None:
    world, desk = room()
    world.run(300)
    before = world.sites["depot"].limit()
    desk.now = None
    world.run(100)
    assert world.sites["depot"].limit() == before, "nothing is raised"
    desk.now = Orders()
    desk.give("cap", limit=Limit(800_000, 900_000))
    world.run(10)
    desk.now = None
    world.run(200)
    assert world.sites["depot"].limit() == Limit(800_000, 900_000), "what was ordered stands"


def test_a_locked_site_is_released_by_two_people_once() -> None:
    world, desk = room()
    world.run(300)
    ladder = world.engine.ladders["depot"]
    ladder.stage, ladder.locked_at = Stage.LOCKED, world.clock.monotonic()
    desk.give("reset", number=7)
    world.run(10)
    assert ladder.stage is Stage.OBEYS
    ladder.stage, ladder.locked_at = Stage.LOCKED, world.clock.monotonic()
    world.run(10)
    assert ladder.stage is Stage.LOCKED, "the same order does not release it twice"
    again = Ladder.from_dict(json.loads(json.dumps(ladder.to_dict(world.clock.monotonic()))), 50.0, 3.0)
    assert (again.stage, again.last_reset) == (Stage.LOCKED, 7)
    assert again.update(0.0, 50.0 + 4 * 3600 - 13.5) is Stage.LOCKED
    assert again.update(0.0, 50.0 + 4 * 3600 - 13.0) is Stage.OBEYS, "four hours, counted over both engines: 10 s and 3 s"


def test_a_grant_that_nobody_here_lent_stops_publishing_until_the_lead_is_above_it() -> None:
    """An old backup of the database was restored: the sites know a higher epoch than the lease row."""
    world, _ = room()
    world.run(300)
    depot = world.sites["depot"]
    now = world.clock.monotonic()
    depot.lease.offer(Limit(1_000_000, 1_000_000), epoch=40, sequence=5, ttl_s=60, stamp=now, now=now)
    sent = len(depot.acted_on)
    world.run(10)
    assert world.engine.foreign_epoch == 40
    assert len(depot.acted_on) == sent
    assert world.recorder.records[-1].grants == (), "not even what the site would refuse"
    assert world.recorder.records[-1].withheld == ("depot",)
    world.leader.value = 41
    world.run(20)
    assert world.engine.foreign_epoch == 0
    assert depot.acted_on[-1][0] == 41


def test_a_site_that_reports_an_absurd_epoch_is_not_believed() -> None:
    world, _ = room()
    world.run(300)
    depot, now = world.sites["depot"], world.clock.monotonic()
    depot.lease.offer(FAILSAFE, epoch=2**40, sequence=5, ttl_s=60, stamp=now, now=now)
    world.run(10)
    assert world.engine.foreign_epoch == 0


@pytest.mark.parametrize(("offset", "stops"), [(1.5, False), (5.0, True), (-7.0, True)])
def test_a_clock_that_is_5_s_off_sends_every_site_to_its_failsafe(offset: float, stops: bool) -> None:
    world, _ = room()
    world.run(1200)
    world.engine._clock_offset = lambda: offset
    world.run(10)
    assert (world.sites["depot"].limit() == FAILSAFE) is stops
    assert world.recorder.records[-1].clock_offset_s == offset


def test_one_bad_head_value_costs_margin_and_raises_and_not_the_lease() -> None:
    world, _ = room()
    world.run(300)
    before, honest = world.sites["depot"].limit(), world.head
    world.head = lambda: HeadReading(world.clock.monotonic(), float("nan"))  # type: ignore[method-assign]
    world.run(10)
    assert world.sites["depot"].limit() == before
    assert "bad" in world.recorder.records[-1].problem
    world.head = honest  # type: ignore[method-assign]
    world.run(20)
    assert world.sites["depot"].limit() == before, "three clean ones first"
    world.run(60)
    assert before.within(world.sites["depot"].limit())
    assert world.sites["depot"].limit() != before


def test_evidence_of_a_breach_holds_limit_grant_read_back_and_both_sides_of_the_event() -> None:
    world, _ = room()
    world.run(1200)
    world.solver.room_w = 1_000_000
    world.run(60)
    world.sites["depot"].power_w = 2_000_000.0
    for _ in range(40):
        world.run(10)
    bundles = [bundle for record in world.recorder.records for bundle in record.evidence]
    assert [bundle.stage for bundle in bundles] == ["warned", "locked"]
    facts = bundles[0].facts
    assert (len(facts["before"]), len(facts["after"])) == (30, 30)
    assert facts["before"][-1]["excess_w"] == 1_000_000.0
    assert facts["before"][-1]["read_back"] == [1_000_000, 1_000_000]
    assert facts["lent"]["import_w"] == 1_000_000
    assert facts["lent"]["reason"][:2] == ["thermal", "line.head"]
    assert facts["before"][0]["power_w"] == 0.0
    json.dumps(facts, allow_nan=False)


def test_every_cycles_document_decides_the_same_again() -> None:
    world, desk = room("a", "b")
    for step in range(60):
        if step == 20:
            world.solver.room_w = 900_000
        if step == 30:
            desk.give("cap", site="a", limit=Limit(500_000, 100_000))
        if step == 40:
            world.sites["b"].cut = True
        world.run(10)
    assert len(world.recorder.records) == 60
    for record in world.recorder.records:
        assert decide_again(record.document) == json.loads(record.document)["decisions"]


@pytest.mark.parametrize("kind", ["cap", "hold"])
def test_an_order_that_comes_while_the_audit_log_is_written_holds_the_raise_back(kind: str) -> None:
    world, desk = room()
    world.run(300)
    before, audit = world.sites["depot"].limit(), world.recorder.audit

    async def slow(grants: Sequence[Grant]) -> bool:
        desk.give(kind, limit=before if kind == "cap" else None)
        assert await world.engine.tighten() == [], "nothing is above it yet"
        return await audit(grants)

    world.recorder.audit = slow  # type: ignore[method-assign]
    world.run(10)
    assert world.sites["depot"].limit() == before
    assert world.recorder.records[-1].withheld == ("depot",)


class Shelf:
    """What earlier leaders kept."""

    def __init__(self, **ladders: Ladder) -> None:
        self.ladders = ladders

    async def recall(self, now: float) -> dict[str, Ladder]:
        return self.ladders


def test_a_new_leader_goes_on_from_the_ladders_that_the_old_one_kept() -> None:
    world, _ = room()
    world.run(300)
    world.engine._memory = Shelf(depot=Ladder(Stage.LOCKED, locked_at=world.clock.monotonic()))
    world.leader.value = 2
    world.run(20)
    assert world.engine.ladders["depot"].stage is Stage.LOCKED
    assert world.sites["depot"].limit() == FAILSAFE


def test_a_new_leader_renews_what_the_old_one_lent_without_a_step() -> None:
    world, _ = room()
    world.run(1200)
    second = World(beside=world)
    second.leader.value = 2
    for _ in range(12):
        second.run(10)
        assert world.sites["depot"].limit() == NAMEPLATE
    assert world.sites["depot"].acted_on[-1][0] == 2, "under its own epoch"


def test_a_switching_state_that_is_not_confirmed_sends_the_feeder_to_failsafe() -> None:
    world, desk = room("a", "b")
    world.run(1200)
    desk.now = Orders(topology="the switching state is not known: 52-1 opened")
    world.run(10)
    assert all(site.limit() == FAILSAFE for site in world.sites.values())
    assert "52-1" in world.recorder.records[-1].grants[0].reason.element


def test_at_each_step_of_the_ladder_the_limit_is_sent_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = room()
    world.run(1200)
    monkeypatch.setattr(SiteBook, "renew_s", 1e9)  # no renewal comes by itself
    world.solver.room_w = 1_000_000
    world.run(10)
    world.sites["depot"].power_w = 2_950_000.0
    sent = []
    for _ in range(5):
        world.run(10)
        record = world.recorder.records[-1]
        sent.append((record.stages["depot"], [grant.limit for grant in record.grants]))
    warned = next(grants for stage, grants in sent if stage is Stage.WARNED)
    assert warned == [Limit(1_000_000, 1_000_000)]
    assert sum(bool(grants) for _, grants in sent) == 1
