"""DNP3 over real sockets: our master (yadnp3, own process) and independent masters against our outstation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from derms.clock import VirtualClock
from derms.errors import RemoteError
from derms.limits import Limit
from telemetry.control.grant import Grant, Outcome, Quality, Reason
from telemetry.protocols.dnp3.dialect import OURS, Dialect
from telemetry.protocols.dnp3.master import Dnp3Master, Dnp3Site
from telemetry.protocols.dnp3.outstation import Dnp3SiteServer, serve_dnp3
from telemetry.protocols.dnp3.probe import probe
from tests.wire.device import Device

pytestmark = pytest.mark.wire
WHY = Reason("thermal", "line.head", 0.5, "1-1")


class Bench:
    """A site with its outstation, and our master's port to it."""

    def __init__(self, device: Device, server: Dnp3SiteServer, master: Dnp3Master, port: Dnp3Site) -> None:
        self.device, self.server, self.master, self.port = device, server, master, port

    def grant(self, limit: Limit, sequence: int, stamp: float | None, *, epoch: int = 1, ttl_s: float = 60) -> Grant:
        return Grant("depot", limit, epoch, sequence, 0.0, ttl_s, stamp, WHY)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    device = Device()
    server = await serve_dnp3(device)
    master = Dnp3Master(timeout_s=2.0)
    await master.start()
    port = await master.site("depot", "127.0.0.1", server.port, VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    await first_answer(port)
    yield Bench(device, server, master, port)
    await master.close()
    await server.close()


async def first_answer(port: Dnp3Site) -> None:
    """The channel opens, and opens again, in the background: a poll may come too early."""
    for _ in range(100):
        try:
            await port.read()
            return
        except RemoteError:
            await asyncio.sleep(0.1)
    raise AssertionError("the outstation never answered")


async def test_a_poll_gives_import_positive_power_and_the_failsafe_in_force(bench: Bench) -> None:
    reading = await bench.port.read()
    assert reading.power_w == 250_000
    assert reading.limit_in_force == Limit(600_000, 900_000)
    assert reading.in_failsafe is True
    assert reading.available_import_w == 2_000_000
    assert reading.state_of_charge_percent == 55.5
    assert reading.energy_wh == pytest.approx(1e6, rel=1e-5)
    assert reading.quality is Quality.GOOD
    assert reading.epoch is None


async def test_a_grant_is_taken_read_back_and_never_looser(bench: Bench) -> None:
    stamp = (await bench.port.read()).stamp
    answer = await bench.port.publish(bench.grant(Limit(1_234_567, 2_345_678), 1, stamp))
    assert answer.outcome is Outcome.ACKNOWLEDGED, answer.detail
    assert bench.device.limit_in_force() == Limit(1_233_000, 2_343_000)
    assert answer.in_force == Limit(1_233_000, 2_343_000)
    bench.device.now += 60
    bench.server.refresh()
    assert (await bench.port.read()).in_failsafe is True


async def test_a_replayed_grant_and_an_old_epoch_are_refused_by_the_site(bench: Bench) -> None:
    stamp = (await bench.port.read()).stamp
    await bench.port.publish(bench.grant(Limit(1_998_000, 0), 5, stamp, epoch=3))
    for epoch, sequence in [(3, 5), (3, 4), (2, 99)]:
        answer = await bench.port.publish(bench.grant(Limit(3_000_000, 0), sequence, stamp, epoch=epoch))
        same = (epoch, sequence) == (3, 5)
        assert answer.outcome is (Outcome.ACKNOWLEDGED if same else Outcome.REFUSED)
        assert bench.device.limit_in_force() == Limit(1_998_000, 0)


async def test_a_late_grant_answers_an_old_stamp_and_is_dead_on_arrival(bench: Bench) -> None:
    stamp = (await bench.port.read()).stamp
    bench.device.now += 61
    bench.server.refresh()
    answer = await bench.port.publish(bench.grant(Limit(2_000_000, 0), 1, stamp))
    assert answer.outcome is Outcome.REFUSED
    assert bench.device.limit_in_force() == bench.device.lease.failsafe


async def test_a_point_out_of_range_is_refused_at_select_and_nothing_changes(bench: Bench) -> None:
    answer = await bench.master.ask({"do": "operate", "site": "depot", "points": [["AO", 87, 1001]]})
    assert not answer["ok"]
    assert "OUT_OF_RANGE" in answer["why"]
    unknown = await bench.master.ask({"do": "operate", "site": "depot", "points": [["AO", 4711, 1]]})
    assert not unknown["ok"]
    assert "NOT_SUPPORTED" in unknown["why"]
    assert bench.device.limit_in_force() == bench.device.lease.failsafe


async def test_the_latch_without_its_parameters_is_refused(bench: Bench) -> None:
    answer = await bench.master.ask({"do": "operate", "site": "depot", "points": [["BO", 17, 1]]})
    assert not answer["ok"]
    assert bench.device.lease.in_failsafe(bench.device.now)


async def test_a_site_that_goes_away_is_silent_and_comes_back(bench: Bench) -> None:
    port_number = bench.server.port
    await bench.server.close()
    with pytest.raises(RemoteError):
        await bench.port.read()
    stamp_before = bench.device.now
    again = await serve_dnp3(bench.device, port=port_number)
    try:
        await first_answer(bench.port)
        reading = await bench.port.read()
        assert reading.stamp is not None
        assert reading.stamp >= stamp_before
    finally:
        await again.close()


async def test_killing_the_master_process_is_an_unknown_outcome_not_a_crash(bench: Bench) -> None:
    import os
    import signal

    os.kill(bench.master.pid, signal.SIGKILL)
    with pytest.raises(RemoteError):
        for _ in range(5):
            await bench.port.read()
    assert await comes_back(bench.port), "the process is started again, with its associations"


async def comes_back(port: Dnp3Site) -> bool:
    for _ in range(150):
        try:
            await port.read()
            return True
        except RemoteError:
            await asyncio.sleep(0.1)
    return False


async def test_a_grant_of_the_failsafe_is_one_control_and_nothing_made_before_it_is_taken(bench: Bench) -> None:
    bench.port._failsafe = bench.device.lease.failsafe
    stamp = (await bench.port.read()).stamp
    await bench.port.publish(bench.grant(Limit(1_500_000, 1_500_000), 1, stamp))
    before = bench.port.messages()
    bench.device.now += 1
    answer = await bench.port.publish(bench.grant(bench.device.lease.failsafe, 2, stamp))
    assert answer.outcome is Outcome.ACKNOWLEDGED, answer.detail
    assert bench.port.messages() - before == 3, "select, operate, read-back"
    assert bench.device.lease.in_failsafe(bench.device.now)
    bench.port._failsafe = None
    late = await bench.port.publish(bench.grant(Limit(1_500_000, 1_500_000), 3, stamp))
    assert late.outcome is Outcome.REFUSED, "it answers a stamp from before the revocation"
    assert bench.device.limit_in_force() == bench.device.lease.failsafe
    bench.device.now += 1
    bench.server.refresh()
    fresh = bench.grant(Limit(1_500_000, 1_500_000), 4, (await bench.port.read()).stamp)
    assert (await bench.port.publish(fresh)).outcome is Outcome.ACKNOWLEDGED


@pytest.fixture(params=["yadnp3", "py1815"])
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("swapped", [False, True])
async def test_a_device_as_it_is_sold_is_found_out_by_select_and_held_until_its_reversion(
    stack: str, swapped: bool
) -> None:
    """IEEE 1815.2 without our lease points: AO85 with each grant, the lease counted from the write, BI69 read back."""
    device = Device()
    server = await serve_dnp3(device, dialect=Dialect(leased=False, swapped=swapped, edition=110))
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    master = Dnp3Master(timeout_s=2.0, stack=stack)
    try:
        found = await probe("127.0.0.1", server.port, where="depot")
        assert device.lease.in_failsafe(device.now), "a SELECT moves nothing"
        dialect = found.dialect()
        assert (dialect.leased, dialect.reversion, dialect.edition, dialect.proven) == (False, True, 110, False)
        await master.start()
        port = await master.site("depot", "127.0.0.1", server.port, clock, dialect=dialect)
        await first_answer(port)
        with pytest.raises(RemoteError, match="nobody has proven"):
            await port.publish(Grant("depot", Limit(1, 1), 1, 1, 0.0, 60.0, None, WHY))
        proven = replace(dialect, proven=True, swapped=swapped)
        port.dialect = proven
        clock.advance(20.0)
        answer = await port.publish(Grant("depot", Limit(1_234_567, 2_345_678), 1, 1, 0.0, 60.0, None, WHY))
        assert answer.outcome is Outcome.ACKNOWLEDGED, answer.detail
        assert device.limit_in_force() == answer.in_force == Limit(1_233_000, 2_343_000)
        device.now += 39
        assert not device.lease.in_failsafe(device.now)
        device.now += 1
        server.refresh()
        assert device.lease.in_failsafe(device.now), "60 s less the 20 s that the grant waited"
        assert (await port.read()).in_failsafe is True
    finally:
        await master.close()
        await server.close()


async def test_a_device_without_reversion_is_never_lent_anything() -> None:
    device = Device()
    server = await serve_dnp3(device, dialect=Dialect(leased=False, reversion=False, edition=109))
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    master = Dnp3Master(timeout_s=2.0)
    try:
        found = (await probe("127.0.0.1", server.port, where="depot")).dialect()
        assert not found.reversion
        await master.start()
        port = await master.site("depot", "127.0.0.1", server.port, clock, dialect=replace(found, proven=True))
        await first_answer(port)
        with pytest.raises(RemoteError, match="no reversion"):
            await port.publish(Grant("depot", Limit(2_000_000, 0), 1, 1, 0.0, 60.0, None, WHY))
        assert device.lease.in_failsafe(device.now)
    finally:
        await master.close()
        await server.close()


async def test_another_device_at_the_same_address_is_refused_until_it_is_commissioned(stack: str) -> None:
    device = Device()
    server = await serve_dnp3(device, dialect=replace(OURS, edition=201))
    master = Dnp3Master(timeout_s=2.0, stack=stack)
    await master.start()
    try:
        port = await master.site("depot", "127.0.0.1", server.port, VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)))
        found = ""
        for _ in range(50):
            try:
                await port.read()
            except RemoteError as error:
                found = str(error)
            if "edition 2.01" in found:
                break
            await asyncio.sleep(0.1)
        assert "edition 2.01 answers where 1.10 was commissioned" in found
    finally:
        await master.close()
        await server.close()


async def test_a_grant_whose_answer_is_lost_is_read_back_and_not_sent_again(bench: Bench) -> None:
    """An OPERATE without an answer is unknown: what the device then shows settles it, never a second OPERATE."""
    stamp = (await bench.port.read()).stamp
    real, asked = bench.port._operate, []

    async def lost(controls: list) -> dict:
        asked.append(controls)
        await real(controls)
        return {"ok": False, "why": "FAILURE_RESPONSE_TIMEOUT", "refused": False}

    bench.port._operate = lost  # type: ignore[method-assign]
    answer = await bench.port.publish(bench.grant(Limit(1_500_000, 1_500_000), 1, stamp))
    assert answer.outcome is Outcome.ACKNOWLEDGED, "the read-back shows it in force"
    assert len(asked) == 1
    bench.device.lease.revoke(bench.device.now)
    bench.server.refresh()
    answer = await bench.port.publish(bench.grant(Limit(1_600_000, 1_500_000), 2, stamp))
    assert answer.outcome is Outcome.UNKNOWN, "not in force now, and it may still come"


async def test_a_closed_wire_lets_another_master_in_and_can_be_opened_again(stack: str) -> None:
    """DNP3 has one connection an association: a leader that lost its lead must not push the new one out."""
    device, clock = Device(), VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    server = await serve_dnp3(device)
    first, second = Dnp3Master(timeout_s=2.0, stack=stack), Dnp3Master(timeout_s=2.0, stack=stack)
    await first.start()
    await second.start()
    try:
        old = await first.site("depot", "127.0.0.1", server.port, clock)
        await first_answer(old)
        await old.close()
        new = await second.site("depot", "127.0.0.1", server.port, clock)
        await first_answer(new)
        await asyncio.sleep(1.0)
        for _ in range(5):
            await new.read()
        with pytest.raises(RemoteError, match="unknown site"):
            await old.read()
        await new.close()
        again = await first.site("depot", "127.0.0.1", server.port, clock)
        await first_answer(again)
    finally:
        await first.close()
        await second.close()
        await server.close()


async def test_a_command_given_while_a_poll_runs_waits_for_it_and_is_not_lost(stack: str) -> None:
    """An order lowers at once, whatever the cycle is doing: a site that is being polled takes its grant right after."""
    device, clock = Device(), VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    server, master = await serve_dnp3(device), Dnp3Master(timeout_s=2.0, stack=stack)
    await master.start()
    try:
        port = await master.site("depot", "127.0.0.1", server.port, clock, failsafe=device.lease.failsafe)
        await first_answer(port)
        stamp = (await port.read()).stamp
        await port.publish(Grant("depot", Limit(1_500_000, 1_500_000), 1, 1, 0.0, 60.0, stamp, WHY))
        down = Grant("depot", device.lease.failsafe, 1, 2, 0.0, 60.0, stamp, WHY)
        answers = await asyncio.gather(port.read(), port.read(), port.publish(down), port.read())
        assert answers[2].outcome is Outcome.ACKNOWLEDGED
        assert device.lease.in_failsafe(device.now)
    finally:
        await master.close()
        await server.close()
