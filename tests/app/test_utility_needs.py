"""A FlowReservationRequest, end to end: it comes over the wire, weighs in the rule by need, and moves the limit served."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync

from derms.clock import VirtualClock
from derms.grid.envelope import Site
from derms.grid.sharing_rules import Demand, divide
from derms.limits import Limit
from telemetry import utility_services as services
from telemetry.control.decide import Target
from telemetry.control.grant import Reason
from telemetry.control.needs import MOST_REQUESTS
from telemetry.control.state import EnvelopeAnswer, HeadReading
from telemetry.engine import ControlEngine
from telemetry.protocols.ieee2030_5 import codec, xml
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.utility_models import FlowReservation
from tests.unit.terms import terms
from tests.unit.test_engine import Leader, Recorder
from tests.wire.utility_client import Client

pytestmark = pytest.mark.django_db
FAILSAFE, FLEXIBLE, ROOM_W = Limit(10_000, 10_000), Limit(100_000, 100_000), 110_000.0
SITES = {"hurried": "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5", "patient": "5A4F45AB31EDFE5B67E343E5E4562E31984E23E5"}


@dataclass
class InProcess:
    """The handlers without a socket."""

    clock: VirtualClock
    lfdi: str

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, dict[str, str], bytes]:
        path, _, query = path.partition("?")
        answer = handle(Request(method, path, self.lfdi, self.clock.now(), query, body.encode()))
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body.encode()

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class ByNeed:
    """One transformer with room for both, shared by the product's own rule; the needs it was asked with are kept."""

    asked: dict[str, tuple[float, float] | None] = field(default_factory=dict)

    async def solve(self, *, hour: int, head: HeadReading, asks: Sequence[Site], settings: Any) -> EnvelopeAnswer:
        self.asked = {item.name: item.need for item in asks}
        floor = np.array([float(item.failsafe.import_w) for item in asks])
        cap = np.array([float(item.flexible.import_w) for item in asks])
        need = np.array([most if item.need is None else item.need[0] for item, most in zip(asks, cap, strict=True)])
        rank = np.arange(len(asks), dtype=np.int64)
        watts = divide("pro_rata_need", Demand(floor, cap, need, rank), np.ones((1, len(asks))), np.array([ROOM_W])).watts
        reason = Reason("thermal", "transformer", 1.0, "")
        targets = {
            item.name: Target(Limit.of(found, item.failsafe.export_w), reason, True)
            for item, found in zip(asks, watts, strict=True)
        }
        return EnvelopeAnswer(targets, 1.0, "head", 50.0, "x", 0.98, 1.02, 2, False)


class House:
    """Two sites, their agreements and clients, one engine; a cycle and a poll every ten seconds."""

    def __init__(self) -> None:
        self.clock = VirtualClock(datetime.fromtimestamp(int(time.time()), UTC))
        plain = terms(failsafe=FAILSAFE, flexible=FLEXIBLE)
        agreed = [replace(plain, site=name, protocol="ieee2030_5") for name in SITES]
        self.solver, self.clients = ByNeed(), {}
        for name, lfdi in SITES.items():
            services.register_device(lfdi, aggregator=None, now=self.now(), site=name)
            self.clients[name] = Client(InProcess(self.clock, lfdi), self.now, FAILSAFE, FLEXIBLE, lfdi)
        ports = {name: UtilitySite(name, FAILSAFE, self.clock, pen=1) for name in SITES}
        for port in ports.values():
            async_to_sync(port.begin)()
        self.engine = ControlEngine(
            feeder="f", terms=agreed, ports=ports, solver=self.solver, recorder=Recorder(), leadership=Leader(),
            clock=self.clock,
        )  # fmt: skip

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def run(self, seconds: int, power_w: float = 0.0) -> None:
        for _ in range(seconds // 10):
            self.clock.advance(10.0)
            for client in self.clients.values():
                client.poll()
                client.post(power_w, 10)
            async_to_sync(self.engine.cycle)(HeadReading(self.clock.monotonic(), 5e6 + self.clock.elapsed % 7), hour=0)

    def served(self) -> dict[str, int]:
        return {name: client.limit().import_w for name, client in self.clients.items()}

    def request(
        self, site: str, energy_wh: int, power_w: int, seconds: int, *, mrid: str = "E" * 32, status: int = 0
    ) -> int:
        power = codec.active_power(power_w)
        content = {
            "mRID": mrid, "creationTime": self.now(), "durationRequested": 60,
            "energyRequested": {"multiplier": 0, "value": energy_wh},
            "intervalRequested": {"start": self.now(), "duration": seconds}, "powerRequested": power,
            "RequestStatus": {"dateTime": self.now(), "requestStatus": status},
        }  # fmt: skip
        client = self.clients[site]
        body = xml.document("FlowReservationRequest", content)
        return client.link.ask("POST", f"{client.device}/frq", body)[0]


def test_a_request_moves_the_limit_that_is_served_and_lapses_with_its_window() -> None:
    house = House()
    house.run(900)
    assert house.solver.asked == {"hurried": None, "patient": None}
    even = house.served()
    assert even["hurried"] == even["patient"] == 55_000
    for site, energy in (("hurried", 60_000), ("patient", 20_000)):
        assert house.request(site, energy, 90_000, 3600) == 201
    house.run(900)
    wants = {name: need[0] for name, need in house.solver.asked.items() if need is not None}
    assert wants["hurried"] == pytest.approx(3 * wants["patient"], rel=0.01)
    moved = house.served()
    assert moved["hurried"] == pytest.approx(10_000 + 90_000 * 3 / 4, rel=0.02)
    assert moved["patient"] == pytest.approx(10_000 + 90_000 / 4, rel=0.05)
    house.run(3600)
    assert house.solver.asked == {"hurried": None, "patient": None}, "both windows are over"
    assert house.served()["hurried"] == pytest.approx(55_000, rel=0.01)


def test_a_cancelled_request_and_one_that_is_fulfilled_weigh_nothing() -> None:
    house = House()
    house.run(30)
    assert house.request("hurried", 60_000, 90_000, 3600) == 201
    house.run(20)
    assert house.solver.asked["hurried"] is not None
    assert house.request("hurried", 60_000, 90_000, 3600, status=1) == 201
    house.run(20)
    assert house.solver.asked["hurried"] is None
    assert house.request("patient", 100, 90_000, 3600) == 201
    house.run(120, power_w=6_000.0)  # 6 kW for 2 minutes: 200 Wh
    assert house.solver.asked["patient"] == (0.0, 100_000.0)


def test_a_request_beyond_the_agreement_weighs_as_the_agreement_and_a_flood_is_refused() -> None:
    house = House()
    house.run(30)
    assert house.request("hurried", 2_000_000_000, 900_000_000, 3600) == 201
    house.run(20)
    assert house.solver.asked["hurried"] == (FLEXIBLE.import_w, FLEXIBLE.export_w)
    answers = [house.request("patient", 10, 1_000, 60, mrid=f"{number:032X}") for number in range(MOST_REQUESTS + 1)]
    assert set(answers[:-1]) == {201} and answers[-1] == 503
    for number in range(MOST_REQUESTS):
        assert house.request("patient", 10, 1_000, 60, mrid=f"{number:032X}", status=1) in (201, 204)
    more = [house.request("patient", 10, 1_000, 60, mrid=f"{number + 999:032X}") for number in range(2)]
    assert set(more) == {201}, "what was cancelled makes room"
    for number in range(2):
        house.request("patient", 10, 1_000, 60, mrid=f"{number + 999:032X}", status=1)
    assert FlowReservation.objects.filter(status=FlowReservation.CANCELLED).count() == MOST_REQUESTS
