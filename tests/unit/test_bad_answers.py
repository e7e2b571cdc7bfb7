"""One site's nonsense, one lost row or one lie: the other sites' control goes on, and a lock stands."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import date

import pytest

from derms.errors import InputError, RemoteError
from derms.limits import Limit
from telemetry.control.compliance import Ladder, Stage
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Quality, Reading
from telemetry.control.orders import CAP, Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.telemetry_quality import SiteWatch
from telemetry.protocols.dnp3 import codec
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.codec import Value
from tests.unit.terms import terms
from tests.unit.test_dnp3_codec import analogs
from tests.unit.test_engine import FAILSAFE, World
from tests.unit.test_orders_in_engine import Shelf, room


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "point",
    [
        p.AI_EPOCH_IN_FORCE, p.AI_SEQUENCE_IN_FORCE, p.AI_IMPORT_LIMIT_IN_FORCE, p.AI_EXPORT_LIMIT_IN_FORCE,
        p.AI_GENERATION_RATING_W, p.AI_CHARGE_RATING_W, p.AI_POWER_W, p.AI_STAMP, p.AI_STATE_OF_CHARGE,
        p.AI_REACTIVE_VAR,
    ],
)  # fmt: skip
def test_a_float_that_is_no_number_is_a_silent_site_or_no_value_and_never_a_broken_decoder(point: int, raw: float) -> None:
    found = analogs(1000.0) | {point: Value(raw, 1)}
    try:
        reading = codec.reading("s", found, {}, 0.0)
    except RemoteError:
        return
    numbers = (reading.power_w, reading.reactive_var, reading.stamp, reading.state_of_charge_percent)
    assert all(math.isfinite(number) for number in numbers if number is not None)
    assert (reading.epoch, reading.sequence) == (None, None)


@pytest.mark.parametrize("error", [ValueError("NaN"), OverflowError("inf"), InputError("rating")])
def test_one_sites_nonsense_is_that_sites_silence_and_the_others_are_raised(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(("a", "b"), room_w=9_000_000)

    async def nonsense(*_: object) -> Reading:
        raise error

    monkeypatch.setattr(world.sites["a"], "read", nonsense)
    world.run(600)
    assert world.sites["b"].limit() != FAILSAFE
    assert world.engine.books["a"].last_reading is None


def test_an_answer_to_a_grant_that_cannot_be_read_is_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(("a",))

    async def nonsense(grant: Grant) -> Acknowledgement:
        raise OverflowError("cannot convert float infinity to integer")

    monkeypatch.setattr(world.sites["a"], "publish", nonsense)
    world.run(120)
    answers = [answer for record in world.recorder.records for answer in record.acknowledgements]
    assert {answer.outcome for answer in answers} == {Outcome.UNKNOWN}


def test_a_wire_that_was_let_go_between_two_looks_is_an_unknown_outcome_and_ends_nothing() -> None:
    world, desk = room("a", "b")
    world.run(600)
    del world.engine.ports["a"]
    desk.give(CAP, "", Limit(100_000, 100_000))
    answers = {answer.grant.site: answer.outcome for answer in asyncio.run(world.engine.tighten())}
    assert answers == {"a": Outcome.UNKNOWN, "b": Outcome.ACKNOWLEDGED}


@pytest.mark.parametrize("what", ["state_of_charge_percent", "energy_wh"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_state_of_charge_or_an_energy_that_is_no_number_is_bad(what: str, value: float) -> None:
    reading = replace(Reading("depot", 100.0, 500_000.0, 10.0, 1.01, stamp=5.0), **{what: value})  # type: ignore[arg-type]
    judged = SiteWatch(ControlSettings()).judge(reading, terms(), 100.5)
    assert judged is not None
    assert judged.quality is Quality.BAD


def test_a_lock_that_could_not_be_stored_outlives_a_new_epoch_of_the_same_engine() -> None:
    world, _ = room()
    world.run(300)
    now = world.clock.monotonic()
    world.engine.ladders["depot"] = Ladder(Stage.LOCKED, locked_at=now, last_reset=3)
    world.engine._memory = Shelf(depot=Ladder(Stage.WARNED, over_since=now - 40.0, last_reset=3))
    world.leader.value = 8
    world.run(30)
    assert world.engine.ladders["depot"].stage is Stage.LOCKED
    assert world.sites["depot"].limit() == FAILSAFE


def test_two_ladders_of_one_site_are_joined_to_the_stricter_unless_two_people_reset_it() -> None:
    locked, warned = Ladder(Stage.LOCKED, locked_at=100.0), Ladder(Stage.WARNED, over_since=90.0, excursions=[95.0])
    assert locked.joined(warned, 110.0, young=False).stage is Stage.LOCKED
    assert warned.joined(locked, 110.0, young=True).stage is Stage.LOCKED
    assert locked.joined(Ladder(last_reset=1), 110.0, young=True).stage is Stage.OBEYS, "another leader knows of the reset"
    assert Ladder(last_reset=1).joined(locked, 110.0, young=False).stage is Stage.OBEYS, "and so may this one"
    late = 100.0 + 4 * 3600.0
    assert locked.joined(Ladder(), late, young=False).stage is Stage.OBEYS, "its four hours went by under another leader"
    again = Ladder(excursions=[94.0, 500.0]).joined(warned, 110.0, young=True)
    assert (again.stage, again.excursions) == (Stage.OBEYS, [94.0, 500.0]), "one excursion counts once"
    assert warned.joined(Ladder(excursions=[40.0]), 110.0, young=True).excursions == [40.0, 95.0]


def test_while_a_site_reports_a_foreign_grant_nothing_is_raised_and_a_cap_still_goes_out() -> None:
    world, desk = room("a", "b", room_w=9_000_000)
    world.run(600)
    liar, now = world.sites["a"], world.clock.monotonic()
    liar.lease.offer(FAILSAFE, epoch=40, sequence=5, ttl_s=60, stamp=now, now=now)
    desk.give(CAP, "b", Limit(100_000, 100_000))
    before = world.engine.books["b"].in_force(now)
    world.run(10)
    assert world.engine.foreign_epoch == 40
    assert before != FAILSAFE
    assert world.sites["b"].limit() == Limit(100_000, 100_000)


def test_a_site_that_reports_one_epoch_after_another_is_not_believed_and_the_others_are_raised_again() -> None:
    world, _ = room("liar", "b")
    world.solver.room_w = 9_000_000
    for _ in range(90):
        liar, now = world.sites["liar"], world.clock.monotonic()
        liar.lease.offer(
            FAILSAFE, epoch=(world.leader.value or 0) + 1, sequence=5, ttl_s=60, stamp=now, now=now
        )  # fmt: skip
        world.run(10)
        if world.engine.foreign_epoch:
            world.leader.value = world.engine.foreign_epoch + 1
    assert world.leader.value is not None
    assert world.leader.value <= 8, "its lies do not use up the epochs"
    assert world.sites["b"].limit() != FAILSAFE
    assert world.sites["liar"].limit() == FAILSAFE


def test_a_slow_look_at_the_orders_begun_before_curtail_all_does_not_undo_it() -> None:
    world, desk = room()
    world.run(600)
    engine, old = world.engine, desk.now
    assert old is not None

    async def race() -> None:
        begun, let = asyncio.Event(), asyncio.Event()

        class Slow:
            first = True

            async def read(self) -> Orders | None:
                if not self.first:
                    return desk.now
                self.first = False
                begun.set()
                await let.wait()
                return old

        engine._order_source = Slow()
        slow = asyncio.create_task(engine._read_orders())
        await begun.wait()
        desk.give(CAP, "", Limit(0, 0))
        await engine.tighten()
        let.set()
        await slow

    asyncio.run(race())
    assert desk.now is not None
    assert engine.orders == desk.now


def test_an_agreement_that_has_ended_is_not_lent_any_more_even_by_an_engine_that_never_hears_of_it() -> None:
    world, _ = room()
    world.run(600)
    assert world.sites["depot"].limit() != FAILSAFE
    book = world.engine.books["depot"]
    book.terms = replace(book.terms, ends=date(2026, 2, 22))
    world.run(20)
    assert world.sites["depot"].limit() == FAILSAFE
