"""One feeder under control: its model in its switching state, its sites' wires, its engine. Ends when any of it changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error, close_old_connections

from derms.agreement import Terms
from derms.clock import SystemClock
from derms.errors import Conflict, HeadroomError, LocalError
from derms.grid.criteria import CriteriaSettings
from derms.grid.envelope import Site
from derms.grid.switching_states import SwitchingState, meaning_sha256
from derms.limits import Limit
from derms.sandbox.feeder_process import FeederProcess
from interconnection import audit
from interconnection.models import FeederVersion
from interconnection.queries import agreements_in_force
from interconnection.services.switching import hourly_ceiling
from telemetry import certificate_services, order_services, outlook_services, queries, sharing_services
from telemetry.control.settings import ControlSettings
from telemetry.control.state import CycleRecord, HeadReading
from telemetry.database import fresh
from telemetry.engine import ControlEngine
from telemetry.leadership import DatabaseLeadership, DatabaseMemory, DatabaseOrders
from telemetry.model_text import desk_state, text_in
from telemetry.progress import Progress
from telemetry.protocols.dnp3.master import Dnp3Pool
from telemetry.recorder import DatabaseRecorder
from telemetry.site_wires import SiteWires
from telemetry.solver import FeederEnvelopeSolver
from telemetry.switching_services import hour_of
from telemetry.watched_tasks import together

LOG = logging.getLogger(__name__)
LOOK_S = 0.25
"""How often a new order is looked for: "curtail all" must be at every site within 2 s."""
FACTS_S = 20.0
WAIT_S = 2.0
SKEW_S = 1.0
LOOK_AHEAD_FIRST_S = 20.0
RELEASE_S = 3.0


@dataclass(frozen=True)
class Facts:
    """What a session is built on; another value means another session."""

    version: FeederVersion
    terms: tuple[Terms, ...]
    state: str
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    declared: SwitchingState | None = None
    """What the planning desk knows of the state by its name: ties, emergency ratings, tables."""

    @property
    def mark(self) -> tuple[str, ...]:
        """Return what two equal sessions share."""
        desk = "" if self.declared is None else json.dumps(self.declared.to_dict(), sort_keys=True)
        return (
            self.version.sha256, self.state, *self.opened, "/", *self.closed, desk, *(item.sha256() for item in self.terms)
        )  # fmt: skip

    @property
    def meaning(self) -> str:
        """Return the hash of what the state is: what its certificate is found by."""
        return meaning_sha256(self.opened, self.closed) if self.declared is None else self.declared.sha256()

    def text(self) -> str:
        """Return the model's text in this state; a state that the desk knows is put together in a confined child."""
        return text_in(self.version, self.opened, self.closed, self.declared)

    def criteria(self) -> CriteriaSettings:
        """Return the criteria of this state: emergency ratings where the desk declared them."""
        if self.declared is None or self.declared.thermal_pu is None:
            return CriteriaSettings()
        return CriteriaSettings(thermal_pu=self.declared.thermal_pu)

    def ceiling(self, site: Site, now: datetime) -> Limit | None:
        """Return what the desk's table of this state leaves a site; None: no table, or an hour that was not studied.

        A grant of now lives into the table's next hour: what is asked for must hold there too.
        """
        found = next(item for item in self.terms if item.site == site.name)
        end = now + timedelta(seconds=found.lease_s + found.response_s)
        moments = (min(end, now + timedelta(hours=count)) for count in range(int((end - now).total_seconds() // 3600) + 2))
        hours = sorted({hour_of(moment) for moment in moments})
        return hourly_ceiling(self.version, self.state, site.bus, "".join(map(str, site.phases)), hours)


def facts(feeder: str, now: datetime) -> Facts | None:
    """Return what there is to control now, None for nothing; raises Conflict for agreements on another model."""
    close_old_connections()
    version = FeederVersion.objects.filter(feeder__name=feeder).select_related("feeder").first()
    terms = tuple(agreements_in_force(now.date(), feeder))
    if version is None or not terms:
        return None
    if any(item.feeder_sha256 != version.sha256 for item in terms):
        raise Conflict(
            "an agreement was studied on another version of this feeder's model", where=feeder, remedy="Restudy it first."
        )
    row = certificate_services.switching_state(feeder)
    if row is None:
        return Facts(version, terms, certificate_services.NORMAL, (), ())
    declared = desk_state(version, row)
    return Facts(version, terms, row.name, tuple(row.opened), tuple(row.closed), declared)


class Session:
    """The control of one feeder while its facts stay as they are."""

    def __init__(self, found: Facts, *, cycle_s: float, clock: SystemClock, master: Dnp3Pool, stop: asyncio.Event) -> None:
        self.facts, self.clock, self.master, self.stop = found, clock, master, stop
        self.feeder, self.cycle_s = found.terms[0].feeder, cycle_s
        self.engine: ControlEngine | None = None
        self.progress = Progress(f"control-{self.feeder}", within_s=1.5 * cycle_s)
        self.leadership = DatabaseLeadership(self.feeder, clock, foreign=self._foreign)
        self.orders = DatabaseOrders(self.feeder, clock, compiled_state=found.state)
        self._wake, self._over = asyncio.Event(), asyncio.Event()
        self._heads = HeadClock(clock)
        self._last: CycleRecord | None = None
        self._rules: dict[str, str] = {}
        self.wires = SiteWires(found.terms, clock, master)

    async def run(self) -> None:
        """Certify, then stand by, then lead; return when told to stop or when the facts changed."""
        text = await asyncio.to_thread(self.facts.text)
        recorder = DatabaseRecorder(self.feeder)
        leading: list[asyncio.Task[None]] = []
        try:
            with FeederProcess(text) as model:
                elements = await self._certified(model)
                self.engine = ControlEngine(
                    feeder=self.feeder, terms=self.facts.terms, ports={}, solver=self._solver(model, elements),
                    recorder=recorder, leadership=self.leadership, clock=self.clock,
                    settings=ControlSettings.tuned(self.cycle_s, settings.CONTROL), orders=self.orders,
                    memory=DatabaseMemory(self.feeder), clock_offset=self.leadership.offset_s, documents=True,
                    switching=self.facts.state,
                )  # fmt: skip
                recorder.engine = self.engine
                # The lead is taken only now: a process that compiles for minutes must not keep a ready one out.
                leading = [asyncio.create_task(self.leadership.keep(asyncio.Event()), name="lead")]
                works = {"cycle": self._cycles(model), "orders": self._watch_orders(), "facts": self._watch_facts(),
                         "outlook": self._look_ahead(text)}  # fmt: skip
                beside = [asyncio.create_task(work, name=name) for name, work in works.items()]
                await together([*leading, *beside], ends_all=beside[0], where=self.feeder)
        finally:
            await self._hand_over(recorder, leading)

    async def _hand_over(self, recorder: DatabaseRecorder, leading: Sequence[asyncio.Task[None]]) -> None:
        """Let go of wires, then the records, then the lead: what fails or hangs on the way keeps nobody else waiting.

        The last rows are written under the epoch that still leads, so it is renewed until then and not a moment longer:
        a renewal in its thread would take the lead again after it was given back.
        """
        try:
            await self.wires.close()
        finally:
            try:
                await asyncio.to_thread(recorder.close)
            finally:
                for task in leading:
                    task.cancel()
                await asyncio.gather(*leading, return_exceptions=True)
                await asyncio.wait_for(sync_to_async(fresh(self.leadership.release), thread_sensitive=False)(), RELEASE_S)

    def _solver(self, model: FeederProcess, elements: Sequence[str]) -> FeederEnvelopeSolver:
        ceilings = sync_to_async(fresh(_ceilings), thread_sensitive=False) if self.facts.declared is not None else None

        async def asked(sites: Sequence[Site]) -> Sequence[Site]:
            if ceilings is None:
                return sites
            try:
                return await asyncio.wait_for(ceilings(self.facts, sites, self.clock.now()), WAIT_S)
            except (Error, TimeoutError) as error:
                raise LocalError("the tables of this switching state could not be read", where=self.feeder) from error

        return FeederEnvelopeSolver(model, elements, self.facts.criteria(), rules=lambda: self._rules, ceilings=asked)

    async def _cycles(self, model: FeederProcess) -> None:
        assert self.engine is not None
        while not self.stop.is_set() and not self._over.is_set():
            started = self.clock.monotonic()
            self._wake.clear()
            if self.leadership.epoch() is None:
                await self.wires.close()
                self.progress.stand_by()
                await self._rest(LOOK_S)
                continue
            await self.wires.open(self.engine.ports, self.engine.books)
            head = await self._head()
            await self._read_rules()
            record = await self.engine.cycle(head, hour=hour_of(self.clock.now()))
            if record is not None:
                self._last = record
                self.progress.move()
            if not model.alive:
                LOG.error("the feeder's process has ended: the session starts anew")
                return
            await self._rest(max(0.0, self.cycle_s - (self.clock.monotonic() - started)))

    async def _rest(self, seconds: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self.stop, self._over, self._wake)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _watch_orders(self) -> None:
        assert self.engine is not None
        while True:
            await asyncio.sleep(LOOK_S)
            if self.leadership.epoch() is not None and await self.orders.changed():
                await self.engine.tighten()
                self._wake.set()

    async def _watch_facts(self) -> None:
        while True:
            await asyncio.sleep(FACTS_S)
            try:
                found = await sync_to_async(facts, thread_sensitive=False)(self.feeder, self.clock.now())
                await sync_to_async(_tidy, thread_sensitive=False)(self.clock.now())
            except (Error, Conflict):
                LOG.exception("what there is to control on %s could not be read", self.feeder)
                continue
            if found is None or found.mark != self.facts.mark:
                self._over.set()
                return

    async def _look_ahead(self, text: str) -> None:
        """Keep the outlook fresh, on a model of its own: the cycle never waits for it."""
        ahead: FeederProcess | None = None
        try:
            while True:
                await asyncio.sleep(outlook_services.EVERY_S if ahead is not None else LOOK_AHEAD_FIRST_S)
                last = self._last
                if self.leadership.epoch() is None or last is None or last.envelope is None or not last.envelope.inputs:
                    continue
                now, envelope = self.clock.now(), last.envelope
                asked = {
                    "question": json.loads(envelope.inputs), "load_scale": envelope.load_scale,
                    "hours": outlook_services.hours_ahead(hour_of(now)),
                }  # fmt: skip
                try:
                    if ahead is None or not ahead.alive:
                        ahead = await asyncio.to_thread(FeederProcess, text)
                    answer = await asyncio.to_thread(ahead.call, "outlook", asked, timeout_s=outlook_services.OUTLOOK_S)
                    await sync_to_async(fresh(outlook_services.keep_outlook), thread_sensitive=False)(
                        self.feeder, now, answer
                    )
                except (HeadroomError, Error, OSError):
                    LOG.exception("no outlook for %s", self.feeder)
        finally:
            if ahead is not None:
                ahead.close()

    async def _certified(self, model: FeederProcess) -> list[str]:
        """Publish nothing where all sites at their failsafe limits would break a criterion in some hour."""
        places = certificate_services.places_of(self.facts.terms)
        elements = list((await asyncio.to_thread(model.call, "participants", {"sites": places}))["elements"])
        find = sync_to_async(fresh(certificate_services.certify), thread_sensitive=False)
        work = asyncio.create_task(
            find(
                self.facts.version, self.facts.terms, model, elements, now=self.clock.now(), state=self.facts.state,
                meaning=self.facts.meaning, criteria=self.facts.criteria().to_dict(),
            )
        )  # fmt: skip
        while not work.done():
            self.progress.stand_by()
            await asyncio.wait([work], timeout=self.cycle_s / 2)
        await work
        return elements

    async def _head(self) -> HeadReading | None:
        try:
            row = await asyncio.wait_for(sync_to_async(fresh(queries.head), thread_sensitive=False)(self.feeder), WAIT_S)
        except (Error, TimeoutError):
            LOG.exception("the head of %s could not be read", self.feeder)
            return None
        return None if row is None else self._heads.reading(row.at, row.power_w, row.reactive_var)

    async def _read_rules(self) -> None:
        """Read how the feeder is shared; a database that does not answer leaves the rules as they were."""
        try:
            find = sync_to_async(fresh(sharing_services.in_force), thread_sensitive=False)
            self._rules = await asyncio.wait_for(find(self.feeder), WAIT_S)
        except (Error, TimeoutError):
            LOG.exception("the sharing rules of %s could not be read", self.feeder)

    def _foreign(self) -> int:
        return self.engine.foreign_epoch if self.engine is not None else 0


def _tidy(now: datetime) -> None:
    """Mark orders that came to their end, and bring what could not be logged into the audit chain."""
    close_old_connections()
    order_services.expire(now)
    audit.log_missed()


class HeadClock:
    """From SCADA's wall-clock stamps to this process's monotonic seconds: the older of what both clocks say."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._seen: tuple[datetime, float] | None = None

    def reading(self, at: datetime, power_w: float, reactive_var: float) -> HeadReading:
        """Return the measurement stamped `at`; a stamp up to a second ahead of this clock is now, later is the future."""
        now = self._clock.monotonic()
        if self._seen is None or self._seen[0] != at:
            self._seen = (at, now)
        age = (self._clock.now() - at).total_seconds()
        if -SKEW_S <= age < 0.0:
            age = 0.0
        # However young the stamp looks, it cannot be younger than when it was first seen here.
        received = min(self._seen[1], now - age) if age >= 0.0 else now - age
        return HeadReading(received, power_w, reactive_var)


def _ceilings(found: Facts, sites: Sequence[Site], now: datetime) -> list[Site]:
    """Return the sites with what the state's tables leave them; the failsafe stays, its certificate stands for it.

    The flexible limit was studied in the normal state: where this state's tables say nothing, only the failsafe is known.
    """
    capped = []
    for site in sites:
        most = found.ceiling(site, now)
        left = site.failsafe if most is None else site.flexible.meet(most).cover(site.failsafe)
        capped.append(replace(site, flexible=left))
    return capped


__all__: Sequence[str] = ("Facts", "HeadClock", "Session", "facts")
