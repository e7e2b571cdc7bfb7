"""Class S: a site that polls and posts once a minute, the engine and the utility server in virtual time.

The client is written from the standard alone: it obeys the events it has fetched to their end (CSIP: also while the link
is down), then the default control, and answers received and started a poll later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from lxml import etree

from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry import site_wires
from telemetry import utility_services as services
from telemetry.control.decide import Target
from telemetry.control.grant import Reason
from telemetry.control.state import EnvelopeAnswer, HeadReading
from telemetry.engine import ControlEngine
from telemetry.protocols.ieee2030_5 import codec, xml
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.site_wires import SiteWires
from telemetry.utility_models import Control, EndDevice
from tests.unit.terms import terms
from tests.unit.test_engine import Leader, Recorder

pytestmark = pytest.mark.django_db
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
FAILSAFE, FLEXIBLE = Limit(600_000, 900_000), Limit(3_000_000, 3_000_000)
SLOW = replace(
    terms("depot"), telemetry_s=60, lease_s=900, response_s=70, ramp_w_per_s=8_100, protocol="ieee2030_5"
)  # 0.27 % of 3 MW a second
assert SLOW.slow


@dataclass
class Client:
    """A polling client with its own memory of events: {mRID: (start, end, creation, limit)}."""

    clock: VirtualClock
    device: EndDevice
    cut: bool = False
    power_w: int = 0
    events: dict[str, tuple[int, int, int, Limit]] = field(default_factory=dict)
    told: set[tuple[str, int]] = field(default_factory=set)
    posts: int = 0
    most_ahead: int = 0

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def ask(self, method: str, path: str, body: str = "") -> etree._Element | None:
        path, _, query = path.partition("?")
        answer = handle(Request(method, path, LFDI, self.clock.now(), query, body.encode()))
        assert answer.status in (200, 201, 204), (path, answer)
        return etree.fromstring(answer.body) if answer.body else None

    def limit(self) -> Limit:
        running = [event for event in self.events.values() if event[0] <= self.now() < event[1]]
        return max(running, key=lambda event: event[2])[3] if running else FAILSAFE

    def poll(self) -> None:
        if self.cut:
            return
        self.post()
        root = f"/edev/{self.device.pk}/derp/{self.device.programs.get().pk}"
        listed = self.ask("GET", f"{root}/derc?l=20")
        assert listed is not None
        fresh = {}
        for item in listed:
            if item.findtext("{*}EventStatus/{*}currentStatus") not in ("0", "1"):
                continue
            start = int(item.findtext("{*}interval/{*}start"))
            length = int(item.findtext("{*}interval/{*}duration"))
            assert length <= 300, "short events with an end"
            base = item.find("{*}DERControlBase")
            power = {part.tag.split("}")[1]: {leaf.tag.split("}")[1]: int(leaf.text) for leaf in part} for part in base}
            fresh[item.findtext("{*}mRID")] = (
                start, start + length, int(item.findtext("{*}creationTime")), codec.limit_of(power),
            )  # fmt: skip
        self.most_ahead = max(self.most_ahead, len(fresh))
        self.events = fresh  # what is not listed any more is cancelled
        for mrid, event in fresh.items():
            self.tell(mrid, 1)
            if event[0] <= self.now():
                self.tell(mrid, 2)

    def tell(self, mrid: str, status: int) -> None:
        if (mrid, status) not in self.told:
            self.told.add((mrid, status))
            body = {"createdDateTime": self.now(), "endDeviceLFDI": LFDI, "status": status, "subject": mrid}
            self.ask("POST", f"/edev/{self.device.pk}/rsps/1/rsp", xml.document("DERControlResponse", body))

    def post(self) -> None:
        period = {"start": self.now() - 60, "duration": 60}
        reading = {"mRID": "A" * 32, "ReadingType": {"uom": 38, "powerOfTenMultiplier": 3},
                   "Reading": {"value": self.power_w // 1000, "timePeriod": period}}  # fmt: skip
        point = {"mRID": "B" * 32, "roleFlags": "03", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": LFDI,
                 "MirrorMeterReading": [reading]}  # fmt: skip
        self.ask("POST", "/mup", xml.document("MirrorUsagePoint", point))
        self.posts += 1


@dataclass
class Solver:
    """Gives what it is told to."""

    limit: Limit = FLEXIBLE
    criterion: str = "thermal"

    async def solve(self, *, hour, head, asks, settings) -> EnvelopeAnswer:
        target = Target(self.limit, Reason(self.criterion, "x", 1.0, ""), "voltage" not in self.criterion)
        return EnvelopeAnswer({"depot": target}, 1.0, "head", 50.0, "x", 0.98, 1.02, 2, False)


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock(datetime.fromtimestamp(int(time.time()), UTC))
        device = services.register_device(LFDI, aggregator=None, now=int(self.clock.now().timestamp()), site="depot")
        self.solver, self.client = Solver(), Client(self.clock, device)
        self.engine = ControlEngine(
            feeder="f", terms=[SLOW], ports={}, solver=self.solver, recorder=Recorder(), leadership=Leader(),
            clock=self.clock,
        )  # fmt: skip
        self.book = self.engine.books["depot"]
        place = SimpleNamespace(protocol="ieee2030_5", host="", port=0)
        with mock.patch.object(site_wires, "_permitted_places", lambda names: ({"depot"}, {"depot": place})):
            wires = SiteWires([SLOW], self.clock, None)  # type: ignore[arg-type]
            async_to_sync(wires.open)(self.engine.ports, self.engine.books)
        self.dead = False

    def run(self, seconds: int) -> None:
        for _ in range(seconds // 10):
            self.clock.advance(10.0)
            if int(self.clock.elapsed) % 60 == 0:
                self.client.poll()
            if not self.dead:
                async_to_sync(self.engine.cycle)(HeadReading(self.clock.monotonic(), 5e6 + self.clock.elapsed % 7), hour=0)
            limit = self.client.limit()
            assert limit.within(self.book.may_be_doing(self.clock.monotonic())), "reserved is what it may be doing"


def test_a_site_that_polls_once_a_minute_reaches_its_agreed_limit_on_chains_of_three_short_events() -> None:
    world = World()
    world.run(1800)
    assert world.client.limit() == FLEXIBLE
    assert world.client.most_ahead <= 3
    ends = Control.objects.filter(cancelled=None, superseded=None).order_by("-end").values_list("end", flat=True)
    assert ends[0] <= world.client.now() + 900, "the far end of every schedule is the failsafe"


def test_a_renewal_with_the_same_limit_prolongs_the_chain_and_makes_nothing_anew() -> None:
    world = World()
    world.run(1800)
    before = Control.objects.count()
    world.run(1800)
    assert Control.objects.count() - before <= 7, "one event of 300 s after the other"
    assert world.client.limit() == FLEXIBLE and not Control.objects.filter(superseded__gt=world.client.now()).exists()
    assert not world.book.lost_last_grant()


def test_after_a_cut_the_events_run_out_and_the_site_is_at_its_failsafe_within_fifteen_minutes() -> None:
    world = World()
    world.run(1800)
    world.client.cut = True
    world.run(300)
    assert world.client.limit() == FLEXIBLE, "a client finishes what it was sent"
    world.run(600)
    assert world.client.limit() == FAILSAFE
    world.run(600)
    assert world.book.may_be_doing(world.clock.monotonic()) == FAILSAFE, "response and ramp are over too"


def test_a_tighter_limit_is_obeyed_from_the_next_poll_and_the_old_one_reserved_for_until_it_is_confirmed() -> None:
    world = World()
    world.run(1800)
    world.solver.limit = Limit(1_000_000, 1_000_000)
    world.run(30)
    assert world.book.may_be_doing(world.clock.monotonic()) == FLEXIBLE
    world.run(60)
    assert world.client.limit() == Limit(1_000_000, 1_000_000)


@pytest.mark.parametrize("criterion", ["overvoltage", "undervoltage"])
def test_headroom_that_a_voltage_bounds_is_never_lent_to_it(criterion: str) -> None:
    world = World()
    world.solver.criterion = criterion
    world.run(1200)
    assert world.client.limit() == FAILSAFE and not Control.objects.exists()
    world.solver.criterion = "thermal"
    world.run(1200)
    assert not world.client.limit().within(FAILSAFE)
    world.solver.criterion = criterion
    world.run(70)
    assert world.client.limit() == FAILSAFE, "at the next poll"


def test_a_silent_engine_is_not_vouched_for_and_the_client_falls_back_at_its_next_poll() -> None:
    world = World()
    world.run(1800)
    world.dead = True
    world.run(90)
    assert world.client.limit() == FAILSAFE


def test_a_site_that_posts_once_a_minute_never_counts_as_silent_between_two_posts() -> None:
    world = World()
    world.run(120)
    for _ in range(12):
        world.run(10)
        assert world.book.misses == 0
        assert world.book.fresh(world.clock.monotonic())


def test_a_site_that_stops_posting_counts_as_silent() -> None:
    world = World()
    world.run(1800)
    world.client.cut = True
    world.run(160)
    assert not world.book.fresh(world.clock.monotonic())
