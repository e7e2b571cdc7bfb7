"""DNP3 over real sockets: our master (yadnp3, own process) and independent masters against our outstation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from derms.clock import VirtualClock
from derms.errors import RemoteError
from derms.limits import Limit
from telemetry.control.grant import Grant, Outcome, Quality, Reason
from telemetry.protocols.dnp3.master import Dnp3Master, Dnp3Site
from telemetry.protocols.dnp3.outstation import Dnp3SiteServer, serve_dnp3
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
