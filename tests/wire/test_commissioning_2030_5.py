"""The thirteen steps over IEEE 2030.5: a client over mutual TLS, in virtual time; each fault fails its step.

The listener is the product's own, on a real socket; the site knows nothing but what it fetches there.
"""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from derms.agreement import Terms
from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry import utility_services as services
from telemetry.commissioning.bench import Bench
from telemetry.commissioning.steps import STEPS, Verdict, run
from telemetry.commissioning.wires import UtilityWire
from telemetry.protocols.ieee2030_5 import pki
from telemetry.protocols.ieee2030_5.server import UtilityApp, server
from telemetry.utility_models import Control, ControlResponse
from tests.unit.terms import terms
from tests.wire.utility_client import Client, Event, Link, Plant

pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]
NAMEPLATE, FAILSAFE, PERIOD_S = Limit(60_000, 60_000), Limit(12_000, 6_000), 60
TERMS: Terms = replace(
    terms("depot", failsafe=FAILSAFE, flexible=NAMEPLATE), protocol="ieee2030_5", telemetry_s=PERIOD_S, lease_s=900,
    response_s=70, ramp_w_per_s=300,
)  # fmt: skip
assert TERMS.slow
ALL = frozenset(range(1, len(STEPS) + 1))


class Deaf(Plant):
    """Answers everything and does what it wants."""

    def obeyed(self) -> Limit:
        return NAMEPLATE


class Jumps(Plant):
    """Goes up in a step."""

    def step(self, seconds: float = 1.0) -> None:
        self.ramp_w_per_s = 1e9 if self.power_w < self.obeyed().clamp(self.wants_w) else 300.0
        super().step(seconds)


class Holds(Client):
    """Keeps its last event for ever when nothing follows it."""

    kept = FAILSAFE

    def limit(self) -> Limit:
        running = [event for event in self.events.values() if event.start <= self.now() < event.end]
        self.kept = super().limit() if running else self.kept
        return self.kept


class Remembers(Client):
    """Boots into its last event, and takes no notice of its cancellation."""

    def boot(self) -> None:
        self.link.close()

    def take(self, fresh: dict[str, Event]) -> None:
        self.events = {name: event for name, event in self.events.items() if event.end > self.now()} | fresh


class Weak(Client):
    """Can do less than the agreement says."""

    def begin(self) -> None:
        self.rating = Limit(20_000, 60_000)
        super().begin()


@dataclass
class Site:
    """One run: listener, site, wire, and a rig that is a person with quick hands."""

    folder: Path
    plant_kind: type[Plant] = Plant
    client_kind: type[Client] = Client
    meter: float = 1.0

    async def charge(self) -> None:
        self.plant.wants_w = 60_000.0

    async def discharge(self) -> None:
        self.plant.wants_w = -60_000.0

    async def power_cycle(self) -> None:
        self.plant.power_w = 0.0
        self.plant.client.boot()

    async def sleep(self, seconds: float) -> None:
        left = seconds
        while left > 1e-9:
            step = min(1.0, left)
            self.clock.advance(step)
            self.plant.step(step)
            left -= step
            if self.plant.due():
                await asyncio.to_thread(self.plant.speak)

    async def run(self, only: frozenset[int] = ALL) -> tuple[dict[str, Verdict], Bench]:
        self.clock = VirtualClock(datetime.now(UTC).replace(microsecond=0))
        keys = self.folder / "pki"
        index = pki.make(keys, hosts=["localhost"], devices=1, aggregators=0, pen=12345, now=datetime.now(UTC))
        lfdi = index["device1"]["lfdi"]
        await sync_to_async(services.enrol)(lfdi, now=self.seconds(), site="depot")
        with closing(create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        app = UtilityApp(clock=self.clock)
        listener = server(
            app, str(keys / "server-chain.pem"), str(keys / "server.key"), str(keys / "ca-bundle.pem"), "127.0.0.1", port
        )
        # Its own tasks would write beside the test from another thread: SQLite in memory locks whole tables.
        listener.config.lifespan = "off"
        serving = asyncio.create_task(listener.serve())
        while not listener.started:
            await asyncio.sleep(0.05)
        client = self.client_kind(Link(keys, "device1", port), self.seconds, Limit(0, 0), NAMEPLATE, lfdi)
        self.plant = self.plant_kind(client, PERIOD_S, 300.0, meter=self.meter)
        await asyncio.to_thread(client.begin)
        wire = UtilityWire(TERMS, self.clock, pen=7)
        bench = Bench(TERMS, wire, self, self.clock, self.sleep, epoch=3, sequence=1000)
        try:
            verdicts = await run(bench, lambda number, verdict: None, only=only)
        finally:
            client.link.close()
            listener.should_exit = True
            with suppress(asyncio.CancelledError):
                await serving
            await app.leave()
        return {verdict.name: verdict for verdict in verdicts}, bench

    def seconds(self) -> int:
        return int(self.clock.now().timestamp())


def failed(found: dict[str, Verdict]) -> dict[str, str]:
    return {name: f"{item.value} / {item.limit} {item.note}" for name, item in found.items() if not item.passed}


async def test_a_site_over_mutual_tls_passes_all_thirteen_steps(tmp_path: Path) -> None:
    found, bench = await Site(tmp_path).run()
    assert failed(found) == {}
    assert len(found) == len(STEPS) == 13
    assert "refused" in found["override"].note, "an older grant is not served"
    assert "cannot tell" not in found["restore without a step"].note
    assert found["volt-var read-back"].value == "on"
    assert bench.trace.sha256() in found["witness trace"].note

    def served() -> tuple[int, int, int]:
        answers = set(ControlResponse.objects.values_list("status", flat=True))
        assert answers >= {1, 2}
        cancelled = Control.objects.exclude(cancelled=None).count()
        return Control.objects.count(), cancelled, max(Control.objects.values_list("duration", flat=True))

    count, cancelled, longest = await sync_to_async(served)()
    assert count > 20 and cancelled > 0 and longest <= 300


@pytest.mark.parametrize(
    ("facts", "number", "step"),
    [
        ({"client_kind": Weak}, 1, "identity"), ({"meter": -1.0}, 2, "signs at plus and minus"),
        ({"plant_kind": Deaf}, 3, "step to 0"), ({"client_kind": Holds}, 6, "silent server to failsafe"),
        ({"plant_kind": Jumps}, 7, "restore without a step"), ({"client_kind": Remembers}, 9, "power cycle"),
        ({"client_kind": Remembers}, 10, "cancel"),
    ],
)  # fmt: skip
async def test_each_fault_fails_the_step_that_is_there_for_it(
    tmp_path: Path, facts: dict[str, Any], number: int, step: str
) -> None:
    found, _ = await Site(tmp_path, **facts).run(frozenset({1, number}))
    assert not found[step].passed, found[step]
    assert set(failed(found)) == {step}
