"""`manage.py control`: the control process of one feeder. It needs no web, no queue and no Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from datetime import UTC, date, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from derms.agreement import Terms
from derms.clock import SystemClock
from derms.errors import Conflict, HeadroomError, LocalError
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import FeederVersion
from interconnection.queries import agreements_in_force
from telemetry import queries, services
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook
from telemetry.control.state import HeadReading
from telemetry.engine import ControlEngine
from telemetry.progress import Progress
from telemetry.protocols.dnp3.master import Dnp3Master
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.protocols.ports import SitePort
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.recorder import DatabaseRecorder
from telemetry.solver import FeederEnvelopeSolver
from telemetry.utility_desk import UtilityDesk

WAIT_S = 2.0
CERTIFY_S = 1800.0


class DatabaseLeadership:
    """Leads by a lease row; what it says is as old as its last renewal, which must be younger than the lease."""

    def __init__(self, feeder: str, clock: SystemClock) -> None:
        self._feeder, self._clock = feeder, clock
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._epoch: int | None = None
        self._until = 0.0

    def epoch(self) -> int | None:
        """Return the epoch while the lease certainly runs."""
        return self._epoch if self._clock.monotonic() < self._until else None

    def renew(self) -> None:
        """Renew the lease, or take it when it is free."""
        asked = self._clock.monotonic()
        now = self._clock.now()
        if self._epoch is not None and not services.keep_lead(self._feeder, self._holder, self._epoch, now):
            self._epoch = None
        if self._epoch is None:
            self._epoch = services.take_lead(self._feeder, self._holder, now)
        self._until = asked + services.LEASE_S if self._epoch is not None else 0.0


class Command(BaseCommand):
    """Control one feeder."""

    help = "Run the control loop of a feeder: measure, estimate, decide, publish, verify, record."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", default="ieee123")
        parser.add_argument("--cycle", type=float, default=10.0)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        version = FeederVersion.objects.filter(feeder__name=options["feeder"]).first()
        terms = agreements_in_force(date.today(), options["feeder"])  # noqa: DTZ011  (agreements count local days)
        if version is None or not terms:
            Progress(f"control-{options['feeder']}").idle("no model or no agreement in force")
            self.stderr.write(f"feeder {options['feeder']}: no model or no agreement in force; nothing to control")
            raise SystemExit(3)
        if any(item.feeder_sha256 != version.sha256 for item in terms):
            self.stderr.write("an agreement was studied on another version of this feeder's model: restudy it first")
            raise SystemExit(3)
        try:
            asyncio.run(_control(version, terms, options["cycle"]))
        except HeadroomError as error:
            self.stderr.write(str(error))
            raise SystemExit(1) from error


async def _control(version: FeederVersion, terms: list[Terms], cycle_s: float) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    clock = SystemClock()
    master = Dnp3Master()
    await master.start()
    feeder_name = terms[0].feeder
    recorder = DatabaseRecorder(feeder_name)
    leadership = DatabaseLeadership(feeder_name, clock)
    renewing = asyncio.create_task(_renew(leadership, stop))
    try:
        with FeederProcess(version.text) as model:
            places = [
                [item.bus, list(item.phases), 0.1 * max(item.flexible.import_w, item.flexible.export_w)] for item in terms
            ]
            elements = model.call("participants", {"sites": places})["elements"]
            await _certify(model, terms, elements)
            ports = await _ports(terms, master, clock, stop)
            engine = ControlEngine(
                feeder=feeder_name, terms=terms, ports=ports, solver=FeederEnvelopeSolver(model, elements),
                recorder=recorder, leadership=leadership, clock=clock, settings=ControlSettings(cycle_s=cycle_s),
            )  # fmt: skip
            recorder.engine = engine
            progress = Progress(f"control-{feeder_name}", within_s=1.5 * cycle_s)
            while not stop.is_set():
                started = clock.monotonic()
                record = await engine.cycle(await _head(feeder_name, clock), hour=_hour(clock.now()))
                (progress.stand_by if record is None else progress.move)()
                await _sleep(stop, max(0.0, cycle_s - (clock.monotonic() - started)))
            progress.end()
            for port in ports.values():
                await port.close()
    finally:
        renewing.cancel()
        await master.close()
        recorder.close()


async def _certify(model: FeederProcess, terms: list[Terms], elements: list[str]) -> None:
    """Publish nothing on a feeder where all sites at their failsafe limits would break a criterion in some hour."""
    sites = [[item.bus, list(item.phases), item.failsafe.import_w, item.failsafe.export_w] for item in terms]
    arguments = {"sites": sites, "elements": elements}
    answer = await asyncio.to_thread(model.call, "certificate", arguments, timeout_s=CERTIFY_S)
    if not answer["holds"]:
        raise Conflict(
            f"no failsafe certificate: {answer['criterion']} at {answer['element']} with every site at its failsafe "
            f"{answer['side']} limit in hour {answer['hour']}",
            where=terms[0].feeder,
            remedy="Restudy the newest agreement with the others in place, or end one.",
        )


async def _renew(leadership: DatabaseLeadership, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await sync_to_async(leadership.renew, thread_sensitive=False)()
        await asyncio.sleep(services.LEASE_S / 4)


async def _ports(terms: list[Terms], master: Dnp3Master, clock: SystemClock, stop: asyncio.Event) -> dict[str, SitePort]:
    """Wait until every site has an address, then open its wire."""
    names = [item.site for item in terms]
    while True:
        found = await sync_to_async(queries.endpoints)(names)
        if set(found) == set(names) or stop.is_set():
            break
        await _sleep(stop, WAIT_S)
    ports: dict[str, SitePort] = {}
    desk = UtilityDesk(clock)
    for item in terms:
        place = found.get(item.site)
        if place is None:
            continue
        if place.protocol == "dnp3":
            ports[item.site] = await master.site(item.site, place.host, place.port, clock)
        elif place.protocol == "sunspec":
            ports[item.site] = SunSpecSite(item.site, place.host, place.port, item.failsafe, clock)
        elif place.protocol == "ieee2030_5":
            ports[item.site] = utility = UtilitySite(
                item.site, item.failsafe, clock, pen=settings.UTILITY_PEN, desk=desk,
                stale_s=SiteBook(item, ControlSettings()).stale_s,
            )  # fmt: skip
            await utility.begin()
        else:
            raise LocalError(f"no wire is named {place.protocol!r}", where=item.site)
    return ports


async def _head(feeder: str, clock: SystemClock) -> HeadReading | None:
    row = await sync_to_async(queries.head)(feeder)
    if row is None:
        return None
    age = (clock.now() - row.at).total_seconds()
    return HeadReading(clock.monotonic() - age, row.power_w, row.reactive_var)


def _hour(now: datetime) -> int:
    """Return the hour of the study year."""
    start = datetime(now.year, 1, 1, tzinfo=UTC)
    return int((now - start).total_seconds() // 3600) % 8760


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
