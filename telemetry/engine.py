"""The real-time loop of one feeder: measure → estimate → envelope → decide → publish → verify → record.

The engine owns no clock, no socket and no database: they are arguments. The same code runs in the control process,
in the twin's lock-step day, and in simulation with planted faults.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import cast

from derms.agreement import Terms
from derms.clock import Clock
from derms.errors import HeadroomError
from derms.grid.envelope import Site
from derms.limits import Limit
from telemetry.control import orders as ordered
from telemetry.control.compliance import Ladder, Stage
from telemetry.control.cycle_document import StillBook, document
from telemetry.control.decide import Decision, Target, decide
from telemetry.control.evidence import EvidenceKeeper
from telemetry.control.grant import Acknowledgement, Grant, Quality, Reading, Reason
from telemetry.control.needs import NeedBook
from telemetry.control.orders import Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.shadow import ShadowRoom
from telemetry.control.site_book import SiteBook
from telemetry.control.state import CycleRecord, EnvelopeAnswer, HeadReading
from telemetry.control.telemetry_quality import NONE, STUDY, HeadWatch, SiteWatch, Verdict
from telemetry.engine_ports import EnvelopeSolver, Leadership, Memory, OrderSource, Recorder
from telemetry.foreign_claims import ForeignClaims
from telemetry.protocols.ports import SitePort
from telemetry.publisher import Publisher
from telemetry.site_reading import read_site

LOG = logging.getLogger(__name__)
YOUNG_S = 60.0
"""A ladder judged so lately goes before what is stored of it."""


class ControlEngine:
    """One feeder's control loop."""

    def __init__(
        self,
        *,
        feeder: str,
        terms: Sequence[Terms],
        ports: Mapping[str, SitePort],
        solver: EnvelopeSolver,
        recorder: Recorder,
        leadership: Leadership,
        clock: Clock,
        settings: ControlSettings | None = None,
        orders: OrderSource | None = None,
        memory: Memory | None = None,
        clock_offset: Callable[[], float] | None = None,
        documents: bool = False,
        switching: str = "normal",
    ) -> None:
        """`clock_offset`: how far this machine's wall clock is from the truth, seconds, as far as it is known.
        `documents`: put into each record what `replay_cycle` needs; `switching`: the name of the solver's switching state.
        """
        self.feeder = feeder
        self.settings = settings or ControlSettings()
        self.terms = tuple(terms)
        self.books = {item.site: SiteBook(item, self.settings) for item in terms}
        self.ladders = {item.site: Ladder() for item in terms}
        self._needs = {item.site: NeedBook() for item in terms}
        self.ports = dict(ports)
        self.solver = solver
        self._rank = {item.site: place for place, item in enumerate(terms)}  # terms come in order of acceptance
        self.recorder = recorder
        self.leadership = leadership
        self.clock = clock
        self.cycles = 0
        self.orders = Orders()
        self._foreign = ForeignClaims()
        self._judged_at: float | None = None
        self._asks, self._newest_orders = itertools.count(1), 0
        self._order_source, self._memory, self._clock_offset = orders, memory, clock_offset
        self._head_watch, self._site_watch = HeadWatch(self.settings), SiteWatch(self.settings)
        self._evidence = EvidenceKeeper()
        self._shadow: ShadowRoom | None = None
        self._verdict = Verdict(NONE, None, False)
        self._asked: dict[str, ordered.Ceiling] = {}
        self._confirmed = 0
        self._again: set[str] = set()
        self._documents, self._switching = documents, switching
        self._publisher = Publisher(
            self.books, self.ports, recorder=recorder, leadership=leadership, clock=clock, settings=self.settings,
            orders=lambda: self.orders,
        )  # fmt: skip
        self.epoch: int | None = None

    @property
    def foreign_epoch(self) -> int:
        """The highest epoch that a site reports and that this engine did not lend: the lead must be taken above it."""
        return self._foreign.highest

    async def cycle(self, head: HeadReading | None, *, hour: int) -> CycleRecord | None:
        """Run one cycle at the clock's present; return its record, or None when another engine leads or memory is away.

        `hour`: the hour of the study year whose load pattern the estimate scales to the measured head.
        """
        epoch = self.leadership.epoch()
        if epoch is None:
            return None
        if not await self._lead_under(epoch):
            return None
        await self._read_orders()
        self.cycles += 1
        snapshot = f"{epoch}-{self.cycles}"
        readings = await self._measure()
        now = self.clock.monotonic()
        stages, excess = self._comply(now)
        offset = self._clock_offset() if self._clock_offset is not None else 0.0
        self._verdict = self._judge(head, offset, now)
        envelope, problem = await self._envelope(self._verdict, hour, now)
        now = self.clock.monotonic()
        decisions = self._decide(envelope, stages, now, snapshot)
        text = self._document(envelope, decisions, now, snapshot) if self._documents else ""
        grants, acknowledgements, withheld = await self._publish(decisions, epoch)
        record = CycleRecord(
            feeder=self.feeder,
            snapshot=snapshot,
            now=now,
            epoch=epoch,
            head=head,
            readings=readings,
            envelope=envelope,
            grants=tuple(grants),
            acknowledgements=tuple(acknowledgements),
            stages=stages,
            excess_w=excess,
            problem=problem,
            withheld=tuple(withheld),
            decisions=tuple(decisions),
            orders=self.orders,
            level=envelope.level if envelope is not None else "failsafe",
            clock_offset_s=offset,
            shadow=self._shadow.score(now) if self._shadow is not None else {},
            evidence=tuple(self._evidence.collect(self.books, readings, stages, excess, now, snapshot)),
            document=text,
        )
        self.recorder.record(record)
        return record

    async def tighten(self) -> list[Acknowledgement]:
        """Read the orders and send at once what they lower; nothing is measured and nothing is raised.

        The cycle that follows does the rest. This is the way of "curtail all": it waits for no estimate.
        """
        epoch = self.leadership.epoch()
        if epoch is None or epoch != self.epoch:
            return []
        await self._read_orders()
        now = self.clock.monotonic()
        held = {
            name: Target(book.in_force(now), Reason("order", "", 0.0, f"{epoch}-{self.cycles}"))
            for name, book in self.books.items()
        }
        decisions = decide(
            self.books, held, now=now, settings=self.settings, snapshot=f"{epoch}-{self.cycles}", orders=self.orders,
            may_raise=False,
        )  # fmt: skip
        lower = [d for d in decisions if d.limit != self.books[d.site].in_force(now) and not d.raises]
        answers = (await self._publish(lower, epoch))[1]
        note = getattr(self.recorder, "note", None)  # a recorder that keeps grants between cycles says so by having it
        if note is not None and answers:
            note(answers)
        return answers

    async def _lead_under(self, epoch: int) -> bool:
        """Begin to lead; False, and nothing is done, while it cannot be read which sites the leaders before had locked."""
        if epoch == self.epoch:
            return True
        if self._memory is not None:
            known = await self._memory.recall(self.clock.monotonic())
            if known is None:
                return False
            now = self.clock.monotonic()
            young = self._judged_at is not None and now - self._judged_at <= YOUNG_S
            for name in self.books.keys() & known.keys():
                self.ladders[name] = self.ladders[name].joined(known[name], now, young=young)
        self.epoch = epoch
        for book in self.books.values():
            book.took_over(epoch, self.clock.monotonic())
        return True

    async def _read_orders(self) -> None:
        if self._order_source is None:
            return
        asked = next(self._asks)
        found = await self._order_source.read()
        if asked < self._newest_orders:
            return  # a question asked later was answered sooner: what this one saw may be from before an order
        self._newest_orders = asked
        # Not readable: what was ordered last stands, and nothing is raised meanwhile.
        self.orders = found if found is not None else replace(self.orders, known=False)
        for order in self.orders.items:
            if order.kind != ordered.RESET:
                continue
            if order.site in self.ladders:
                self.ladders[order.site].reset(order.number)
            elif not order.site and order.number > self._confirmed:
                self._head_watch.confirm()
                self._confirmed = order.number

    async def _measure(self) -> dict[str, Reading | None]:
        names = sorted(self.books)
        found = await asyncio.gather(*(read_site(name, self.ports.get(name)) for name in names))
        readings: dict[str, Reading | None] = dict(zip(names, found, strict=True))
        now = self.clock.monotonic()
        self._foreign.begin()
        for name in names:
            book = self.books[name]
            reading = readings[name] = self._site_watch.judge(readings[name], book.terms, now)
            book.heard(reading, now)
            if self._foreign.heard(reading, self.epoch, self._publisher.sequence, now):
                LOG.error("%s reports grants above every epoch: not believed any more, and not raised", name)
        if self._shadowing:
            self._shadow = self._shadow or ShadowRoom(self.terms, self.settings)
            self._shadow.heard(readings, now)
        else:
            self._shadow = None
        return readings

    @property
    def _shadowing(self) -> bool:
        return self.orders.mode == ordered.SHADOW

    def _comply(self, now: float) -> tuple[dict[str, Stage], dict[str, float]]:
        stages, excess = {}, {}
        self._judged_at = now
        self._again.clear()
        for name, book in self.books.items():
            reading = book.last_reading
            # Nobody holds the sites to anything in modes disabled and shadow.
            judged = self.orders.mode in (ordered.MANUAL, ordered.AUTOMATIC)
            if reading is None or not book.fresh(now) or not judged:
                stages[name], excess[name] = self.ladders[name].stage, 0.0
                continue
            before = self.ladders[name].stage
            tolerance = self.settings.compliance_tolerance * max(book.terms.flexible.import_w, book.terms.flexible.export_w)
            over = book.may_be_doing(now).excess_w(reading.power_w)
            excess[name] = over if over > tolerance else 0.0
            stages[name] = self.ladders[name].update(excess[name], now)
            if stages[name] is not before and stages[name] is not Stage.OBEYS:
                self._again.add(name)  # first step of the ladder: say it once more
        return stages, excess

    def _judge(self, head: HeadReading | None, offset: float, now: float) -> Verdict:
        heard = {
            name: book.last_reading.power_w
            for name, book in self.books.items()
            if book.last_reading is not None and book.fresh(now)
        }
        verdict = self._head_watch.judge(head, heard, now)
        if self.orders.topology:
            return Verdict(NONE, None, False, self.orders.topology)
        if abs(offset) >= self.settings.clock_stop_s:
            # Ages are differences of wall clocks somewhere on their way: nothing that is old can be told from new.
            return Verdict(NONE, None, False, f"this machine's clock is {offset:+.1f} s off")
        return verdict

    async def _envelope(self, verdict: Verdict, hour: int, now: float) -> tuple[EnvelopeAnswer | None, str]:
        able = verdict.head is not None or (verdict.level == STUDY and getattr(self.solver, "without_head", False))
        if not able:
            return None, verdict.problem
        factor = self.settings.margin_factor(verdict.level)
        settings = replace(
            self.settings,
            thermal_margin=factor * self.settings.thermal_margin,
            voltage_margin_pu=factor * self.settings.voltage_margin_pu,
        )
        try:
            answer = await self.solver.solve(
                hour=hour,
                head=cast(HeadReading, verdict.head),  # None only for a solver that says it can
                asks=[self._ask(name, now) for name in sorted(self.books)],
                settings=settings,
            )
        except HeadroomError as error:
            return None, str(error)
        return answer, verdict.problem

    def _ask(self, site: str, now: float) -> Site:
        book = self.books[site]
        terms, reading = book.terms, book.last_reading
        fresh = book.fresh(now) and reading is not None and reading.quality is Quality.GOOD
        reserved = book.may_be_doing(now)
        power = reading.power_w if fresh and reading else None
        if power is not None:  # a site above its limit takes that room from the others until it comes down
            reserved = reserved.cover(Limit.of(max(power, 0.0), max(-power, 0.0)))
        in_force = book.in_force(now)
        # A grant of now lives into the schedule's next hour: what is asked for must hold there too.
        wall = self.clock.now()
        wanted = terms.ceiling(wall, wall + timedelta(seconds=terms.lease_s + terms.response_s))
        left = ordered.ceiling(self._envelope_orders, site, target=wanted, failsafe=terms.failsafe, in_force=in_force)
        self._asked.pop(site, None)
        if left is not None:  # what an order takes from a site is there for the others
            self._asked[site] = left
            wanted = left.limit.cover(terms.failsafe)
        return Site(
            name=site,
            bus=terms.bus,
            phases=terms.phases,
            p_w=power,
            q_var=reading.reactive_var if fresh and reading else 0.0,
            failsafe=terms.failsafe,
            flexible=wanted,
            reserved=reserved,
            in_force=in_force,
            controllable=fresh and self.ladders[site].stage is not Stage.LOCKED and not self._foreign.isolated(site, now),
            v_pu=reading.voltage_pu if fresh and reading else None,
            need=self._needs[site].need(reading, wanted, now) if fresh and reading else None,
            rank=self._rank[site],
        )

    @property
    def _envelope_orders(self) -> Orders:
        """The orders as the envelope must see them: in mode shadow it answers as in automatic."""
        return (
            replace(self.orders, mode=ordered.AUTOMATIC, known=True)
            if self._shadowing
            else replace(self.orders, known=True)
        )

    def _targets(
        self, envelope: EnvelopeAnswer | None, stages: Mapping[str, Stage], snapshot: str
    ) -> dict[str, Target] | None:
        if envelope is None:
            return None
        targets = {}
        for name, target in envelope.targets.items():
            reason = Reason(target.reason.criterion, target.reason.element, target.reason.share, snapshot)
            asked = self._asked.get(name)
            if asked is not None and asked.limit.within(target.limit):
                reason = Reason(asked.criterion, asked.element, 1.0, snapshot)
            targets[name] = replace(target, reason=reason)
        for name, stage in stages.items():
            if stage is Stage.LOCKED:
                targets[name] = Target(self.books[name].terms.failsafe, Reason("compliance", name, 0.0, snapshot))
            elif self._foreign.isolated(name, self.clock.monotonic()):
                targets[name] = Target(self.books[name].terms.failsafe, Reason("telemetry", name, 0.0, snapshot))
        return targets

    def _decide(
        self, envelope: EnvelopeAnswer | None, stages: Mapping[str, Stage], now: float, snapshot: str
    ) -> list[Decision]:
        targets = self._targets(envelope, stages, snapshot)
        facts = {"orders": self.orders, "may_raise": self._verdict.may_raise, "problem": self._problem}
        if self._shadow is not None:
            self._shadow.decide(targets, now=now, snapshot=snapshot, **facts)  # type: ignore[arg-type]
        return decide(
            self.books, targets, now=now, settings=self.settings, snapshot=snapshot, **facts  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def _problem(self) -> str:
        return self._verdict.problem or "feeder head"

    def _document(self, envelope: EnvelopeAnswer | None, decisions: Sequence[Decision], now: float, snapshot: str) -> str:
        stages = {name: ladder.stage for name, ladder in self.ladders.items()}
        return document(
            feeder=self.feeder,
            model_sha256=self.terms[0].feeder_sha256 if self.terms else "",
            snapshot=snapshot,
            settings=self.settings,
            orders=self.orders,
            may_raise=self._verdict.may_raise,
            problem=self._problem,
            books=[StillBook.of(book, now) for _, book in sorted(self.books.items())],
            targets=self._targets(envelope, stages, snapshot),
            decisions=decisions,
            question=envelope.inputs if envelope is not None else "",
            answer=envelope.outputs if envelope is not None else "",
            switching=self._switching,
        )

    async def _publish(
        self, decisions: Sequence[Decision], epoch: int
    ) -> tuple[list[Grant], list[Acknowledgement], list[str]]:
        if not self.foreign_epoch:
            return await self._publisher.publish(decisions, epoch, again=self._again)
        # Another may lead: nothing is raised and no lease goes on under this epoch; what lowers goes out as ever.
        now = self.clock.monotonic()
        lower = [d for d in decisions if not d.raises and d.limit != self.books[d.site].in_force(now)]
        sent, answers, withheld = await self._publisher.publish(lower, epoch)
        kept = {decision.site for decision in lower}
        return sent, answers, [*withheld, *(d.site for d in decisions if d.site not in kept)]
