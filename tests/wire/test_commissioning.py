"""The thirteen steps against devices over real sockets, in virtual time: a good one passes, each bad one fails its step."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from derms.agreement import Terms
from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry.commissioning.bench import Bench
from telemetry.commissioning.steps import STEPS, Verdict, run
from telemetry.commissioning.wires import Dnp3Wire, SunSpecWire
from telemetry.control.site_lease import SiteLease
from telemetry.protocols.dnp3.dialect import OURS, Dialect
from telemetry.protocols.dnp3.outstation import serve_dnp3
from telemetry.protocols.site_device import Measurements, SiteServer
from telemetry.protocols.sunspec.device import serve_sunspec
from tests.unit.terms import terms

pytestmark = pytest.mark.wire
NAMEPLATE, FAILSAFE = Limit(60_000, 60_000), Limit(12_000, 6_000)
TERMS: Terms = replace(
    terms("depot", failsafe=FAILSAFE, flexible=NAMEPLATE), ramp_w_per_s=10_000, response_s=2, telemetry_s=5, lease_s=20
)
ALL = frozenset(range(1, len(STEPS) + 1))


class Plant:
    """Chargers behind a site controller: they want all they can in or out, and move at a ramp inside the limit."""

    def __init__(self) -> None:
        self.site, self.nameplate = "depot", NAMEPLATE
        self.now, self.power_w, self.wants, self.ramp = 1000.0, 0.0, 60_000.0, 10_000.0
        self.lease = SiteLease(FAILSAFE, NAMEPLATE, longest_s=60.0)

    def monotonic(self) -> float:
        return self.now

    def limit_in_force(self) -> Limit:
        return self.lease.limit(self.now)

    def obeyed(self) -> Limit:
        return self.limit_in_force()

    def measurements(self) -> Measurements:
        return Measurements(self.power_w, 0.0, 1.0, 50.0, 1e5, 60_000.0, 60_000.0)

    def step(self, seconds: float) -> None:
        self.now += seconds
        target = self.obeyed().clamp(self.wants)
        reach = self.ramp * seconds
        self.power_w += max(-reach, min(reach, target - self.power_w))

    def boot(self) -> None:
        self.lease = SiteLease(FAILSAFE, NAMEPLATE, longest_s=60.0, order_floor=self.lease.order_floor)


class Deaf(Plant):
    """Says that it obeys and does what it wants."""

    def obeyed(self) -> Limit:
        return NAMEPLATE


class Holds(Plant):
    """Keeps its last limit when nobody renews it."""

    last = FAILSAFE

    def obeyed(self) -> Limit:
        lease = self.lease.lease(self.now)
        self.last = lease.limit if lease is not None else self.last
        return self.last


class Jumps(Plant):
    """Goes up in a step."""

    def step(self, seconds: float) -> None:
        self.ramp = 1e9 if self.power_w < self.obeyed().clamp(self.wants) else 10_000.0
        super().step(seconds)


class Wired(Plant):
    """Its meter is connected the wrong way round."""

    def measurements(self) -> Measurements:
        return replace(super().measurements(), power_w=-self.power_w)


class Forgets(Plant):
    """Boots into its last lease."""

    def boot(self) -> None:
        self.now += 0.0


class Test:
    """One run: plant, server, wire, and a rig that is a person with quick hands."""

    __test__ = False

    def __init__(self, plant: Plant, protocol: str, dialect: Dialect = OURS) -> None:
        self.plant, self.protocol, self.dialect = plant, protocol, dialect
        self.clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.server: SiteServer | None = None
        self.port = 0

    async def charge(self) -> None:
        self.plant.wants = 60_000.0

    async def discharge(self) -> None:
        self.plant.wants = -60_000.0

    async def power_cycle(self) -> None:
        assert self.server is not None
        await self.server.close()
        self.plant.boot()
        await self.serve()

    async def serve(self) -> None:
        device: Any = self.plant
        if self.protocol == "dnp3":
            self.server = await serve_dnp3(device, port=self.port, dialect=self.dialect)
        else:
            self.server = await serve_sunspec(device, port=self.port)
        self.port = self.server.port

    async def sleep(self, seconds: float) -> None:
        assert self.server is not None
        left = seconds
        while left > 1e-9:
            step = min(1.0, left)
            self.plant.step(step)
            self.clock.advance(step)
            left -= step
        self.server.refresh()
        await asyncio.sleep(0.02 if seconds < 1.0 else 0.002)

    async def run(self, only: frozenset[int] = ALL) -> tuple[dict[str, Verdict], Bench]:
        await self.serve()
        wire: Any = (Dnp3Wire if self.protocol == "dnp3" else SunSpecWire)(TERMS, "127.0.0.1", self.port, self.clock)
        bench = Bench(TERMS, wire, self, self.clock, self.sleep)
        try:
            verdicts = await run(bench, lambda number, verdict: None, only=only)
        finally:
            await wire.close()
            assert self.server is not None
            await self.server.close()
        self.wire = wire
        return {verdict.name: verdict for verdict in verdicts}, bench


def failed(found: dict[str, Verdict]) -> dict[str, str]:
    return {name: f"{item.value} / {item.limit} {item.note}" for name, item in found.items() if not item.passed}


@pytest.mark.parametrize("protocol", ["dnp3", "sunspec"])
async def test_a_good_site_passes_all_thirteen_steps(protocol: str) -> None:
    found, bench = await Test(Plant(), protocol).run()
    assert failed(found) == {}
    assert len(found) == len(STEPS) == 13
    assert len(bench.trace.samples) > 100
    assert bench.trace.sha256() in found["witness trace"].note
    assert {sample.step for sample in bench.trace.samples} >= set(range(1, 12))


async def test_a_device_as_it_is_sold_with_its_outputs_swapped_is_proven_by_the_meter() -> None:
    test = Test(Plant(), "dnp3", Dialect(leased=False, swapped=True, edition=110))
    found, bench = await test.run()
    assert failed(found) == {}
    assert (test.wire.dialect.swapped, test.wire.dialect.proven, test.wire.dialect.leased) == (True, True, False)
    assert any("trying the other" in text for _, text in bench.trace.notes)


@pytest.mark.parametrize(
    ("plant", "number", "step"),
    [
        (Deaf, 3, "step to 0"), (Holds, 6, "silent server to failsafe"), (Jumps, 7, "restore without a step"),
        (Wired, 2, "signs at plus and minus"), (Forgets, 9, "power cycle"),
    ],
)  # fmt: skip
async def test_each_fault_fails_the_step_that_is_there_for_it(plant: type[Plant], number: int, step: str) -> None:
    found, _ = await Test(plant(), "dnp3").run(frozenset({1, number}))
    assert not found[step].passed, found[step]


async def test_a_device_without_reversion_gets_nothing_sent_at_all() -> None:
    plant = Plant()
    found, _ = await Test(plant, "dnp3", Dialect(leased=False, reversion=False, edition=109)).run()
    assert list(failed(found)) == ["identity"]
    assert plant.lease.order_floor == (-1, -1)
