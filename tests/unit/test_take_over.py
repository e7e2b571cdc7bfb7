"""A new leader knows nothing of what the leader before it lent; parameters of two masters must not pass as one grant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from py1815.control import CommandStatus

from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Reason
from telemetry.control.site_lease import SiteLease, Verdict
from telemetry.engine import ControlEngine
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.codec import grant_outputs, stamp_to_raw
from telemetry.protocols.dnp3.outstation import Dnp3SiteServer
from telemetry.protocols.site_device import Measurements
from tests.unit.terms import terms
from tests.unit.test_engine import FAILSAFE, NAMEPLATE, FakeSolver, Leader, Recorder, World


def _second_engine(world: World, epoch: int) -> ControlEngine:
    leader = Leader()
    leader.value = epoch
    return ControlEngine(
        feeder="f", terms=[terms(name) for name in world.sites], ports=world.sites, solver=FakeSolver(4_000_000),
        recorder=Recorder(), leadership=leader, clock=world.clock,
    )  # fmt: skip


def test_invariant_6_a_new_leader_reserves_for_what_the_old_one_may_have_lent_until_that_is_certainly_over() -> None:
    world = World(("a", "b"), room_w=6_000_000)
    world.run(1500)
    assert world.sites["a"].limit() == NAMEPLATE
    world.sites["a"].cut = True
    world.engine = _second_engine(world, epoch=2)
    lent_until = world.clock.monotonic() + 60.0
    while world.clock.monotonic() < lent_until:
        world.run(10)  # its `check` asserts that the reservation covers what each site obeys
    world.run(60)
    assert world.engine.books["a"].may_be_doing(world.clock.monotonic()) == FAILSAFE


def test_a_grant_of_the_new_leader_in_force_ends_the_reservation_for_the_old_one_after_response_and_ramp() -> None:
    world = World(("a",))
    world.run(1500)
    world.engine = _second_engine(world, epoch=2)
    world.engine.solver.room_w = 1_000_000  # type: ignore[attr-defined]
    world.run(20)
    book = world.engine.books["a"]
    assert book.may_be_doing(world.clock.monotonic() + book.clear_s()) == Limit(1_000_000, 1_000_000)


@dataclass
class Device:
    """A site's controller behind an outstation that is never started."""

    clock: VirtualClock = field(default_factory=lambda: VirtualClock(datetime(2026, 1, 1, tzinfo=UTC), elapsed=1000.0))
    site: str = "a"
    nameplate: Limit = NAMEPLATE
    lease: SiteLease = field(default_factory=lambda: SiteLease(FAILSAFE, NAMEPLATE, longest_s=60))

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def measurements(self) -> Measurements:
        return Measurements(0.0, 0.0, 1.0, 50.0, 1e6, 1e6, 1e6)

    def limit_in_force(self) -> Limit:
        return self.lease.limit(self.monotonic())


def _grant(limit: Limit, epoch: int, sequence: int, stamp: float) -> Grant:
    return Grant("a", limit, epoch, sequence, 0.0, 60.0, stamp, Reason("thermal", "T1", 0.5, "s"))


@pytest.mark.parametrize("late", [p.AO_IMPORT_LIMIT, p.AO_EXPORT_LIMIT, p.AO_REVERSION_S, p.AO_EPOCH, p.AO_STAMP])
def test_a_late_parameter_of_another_masters_grant_never_passes_with_this_ones(late: int) -> None:
    device = Device()
    server = Dnp3SiteServer(device, "127.0.0.1", 0)
    stamp = float(stamp_to_raw(device.monotonic()))
    old = grant_outputs(_grant(NAMEPLATE, 1, 70, stamp - 100), NAMEPLATE) | {p.AO_REVERSION_S: 59}
    new = grant_outputs(_grant(Limit(700_000, 950_000), 2, 3, stamp), NAMEPLATE)
    for index, raw in new.items():
        server._stage(index)(raw)
    server._stage(late)(old[late])
    assert server._check_latch(1) is CommandStatus.AUTOMATION_INHIBIT
    server._latch(1)
    assert device.limit_in_force() == FAILSAFE
    server._stage(late)(new[late])
    server._latch(1)
    assert device.limit_in_force().within(Limit(700_000, 950_000))
    assert not device.lease.in_failsafe(device.monotonic())


def test_a_refused_grant_is_reserved_for_until_it_is_over_since_a_repeat_of_it_may_be_taken() -> None:
    world = World(("a",))
    world.run(300)
    book, depot = world.engine.books["a"], world.sites["a"]
    now, before = world.clock.monotonic(), depot.limit()
    grant = Grant("a", NAMEPLATE, 1, 9_000, now, 60.0, now, Reason("thermal", "T1", 0.5, "s"))
    book.sent(grant, now)
    book.acknowledged(Acknowledgement(grant, Outcome.REFUSED, before), now)
    assert book.in_force(now) == before
    assert book.may_be_doing(now) == NAMEPLATE
    assert depot.take(grant) is Verdict.ACCEPTED
    world.check()
    assert book.may_be_doing(now + 60.0 + book.clear_s()) == FAILSAFE


def test_a_repeated_epoch_of_a_restored_backup_does_not_end_the_reservation_for_grants_that_are_not_ours() -> None:
    world = World(("a",))
    world.run(1500)
    world.engine = _second_engine(world, epoch=1)  # the backup is older than the leader before: the number comes again
    world.run(10)
    reading = world.engine.books["a"].last_reading
    assert reading is not None
    assert reading.epoch == world.engine.epoch
    assert world.engine.books["a"].may_be_doing(world.clock.monotonic() + 30.0) == NAMEPLATE
