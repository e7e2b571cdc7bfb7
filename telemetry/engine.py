"""The real-time loop of one feeder: measure → estimate → envelope → decide → publish → verify → record.

The engine owns no clock, no socket and no database: they are arguments. The same code runs in the control process,
in the twin's lock-step day, and in simulation with planted faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from derms.agreement import Terms
from derms.clock import Clock
from derms.errors import HeadroomError, RemoteError
from derms.grid.envelope import Site
from derms.limits import Limit
from telemetry.control.compliance import Ladder, Stage
from telemetry.control.decide import Decision, Target, decide, due, to_grant
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Quality, Reading, Reason
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook
from telemetry.control.state import CycleRecord, EnvelopeAnswer, HeadReading
from telemetry.protocols.ports import SitePort


class EnvelopeSolver(Protocol):
    """What the wires can take, given what was measured."""

    async def solve(
        self, *, hour: int, head: HeadReading, asks: Sequence[Site], settings: ControlSettings
    ) -> EnvelopeAnswer:
        """Return targets that are feasible together at every corner; raises NotConverged or LocalError."""
        ...


class Recorder(Protocol):
    """Where records go. `audit` must have succeeded before a raise may go out; `record` never makes the loop wait."""

    async def audit(self, grants: Sequence[Grant]) -> bool:
        """Write raises to the audit log; False when it could not be written."""
        ...

    def record(self, record: CycleRecord) -> None:
        """Take a cycle's record for later writing."""
        ...


class Leadership(Protocol):
    """Which engine may act, and under which epoch."""

    def epoch(self) -> int | None:
        """Return the epoch held now, or None when another engine leads."""
        ...


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
    ) -> None:
        self.feeder = feeder
        self.settings = settings or ControlSettings()
        self.books = {item.site: SiteBook(item, self.settings) for item in terms}
        self.ladders = {item.site: Ladder() for item in terms}
        self.ports = dict(ports)
        self.solver = solver
        self.recorder = recorder
        self.leadership = leadership
        self.clock = clock
        self.cycles = 0
        self._sequence = 0
        self.epoch: int | None = None

    async def cycle(self, head: HeadReading | None, *, hour: int) -> CycleRecord | None:
        """Run one cycle at the clock's present; return its record, or None when another engine leads.

        `hour`: the hour of the study year whose load pattern the estimate scales to the measured head.
        """
        epoch = self.leadership.epoch()
        if epoch is None:
            return None
        self._lead_under(epoch)
        self.cycles += 1
        snapshot = f"{epoch}-{self.cycles}"
        readings = await self._measure()
        now = self.clock.monotonic()
        stages, excess = self._comply(now)
        envelope, problem = await self._envelope(head, hour, now)
        decisions = self._decide(envelope, stages, now, snapshot)
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
        )
        self.recorder.record(record)
        return record

    def _lead_under(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            for book in self.books.values():
                book.took_over(epoch, self.clock.monotonic())

    async def _measure(self) -> dict[str, Reading | None]:
        names = sorted(self.books)
        readings = dict(zip(names, await asyncio.gather(*(self._read(name) for name in names)), strict=True))
        now = self.clock.monotonic()
        for name, reading in readings.items():
            self.books[name].heard(reading, now)
        return readings

    async def _read(self, site: str) -> Reading | None:
        port = self.ports.get(site)
        if port is None:
            return None
        try:
            return await port.read()
        except RemoteError:
            return None

    def _comply(self, now: float) -> tuple[dict[str, Stage], dict[str, float]]:
        stages, excess = {}, {}
        for name, book in self.books.items():
            reading = book.last_reading
            if reading is None or not book.fresh(now):
                stages[name], excess[name] = self.ladders[name].stage, 0.0
                continue
            tolerance = self.settings.compliance_tolerance * max(book.terms.flexible.import_w, book.terms.flexible.export_w)
            over = book.may_be_doing(now).excess_w(reading.power_w)
            excess[name] = over if over > tolerance else 0.0
            stages[name] = self.ladders[name].update(excess[name], now)
        return stages, excess

    async def _envelope(self, head: HeadReading | None, hour: int, now: float) -> tuple[EnvelopeAnswer | None, str]:
        if head is None or not head.usable(now, self.settings.stale_s):
            return None, "the feeder head's measurement is missing, stale or bad"
        try:
            return (
                await self.solver.solve(
                    hour=hour,
                    head=head,
                    asks=[self._ask(name, now) for name in sorted(self.books)],
                    settings=self.settings,
                ),
                "",
            )
        except HeadroomError as error:
            return None, str(error)

    def _ask(self, site: str, now: float) -> Site:
        book = self.books[site]
        terms, reading = book.terms, book.last_reading
        fresh = book.fresh(now) and reading is not None and reading.quality is Quality.GOOD
        reserved = book.may_be_doing(now)
        power = reading.power_w if fresh and reading else None
        if power is not None:  # a site above its limit takes that room from the others until it comes down
            reserved = reserved.cover(Limit.of(max(power, 0.0), max(-power, 0.0)))
        return Site(
            name=site,
            bus=terms.bus,
            phases=terms.phases,
            p_w=power,
            q_var=reading.reactive_var if fresh and reading else 0.0,
            failsafe=terms.failsafe,
            flexible=terms.flexible,
            reserved=reserved,
            in_force=book.in_force(now),
            controllable=fresh and self.ladders[site].stage is not Stage.LOCKED,
        )

    def _decide(
        self, envelope: EnvelopeAnswer | None, stages: Mapping[str, Stage], now: float, snapshot: str
    ) -> list[Decision]:
        targets: dict[str, Target] | None = None
        if envelope is not None:
            targets = {
                name: replace(target, reason=replace(target.reason, snapshot=snapshot))
                for name, target in envelope.targets.items()
            }
            for name, stage in stages.items():
                if stage is Stage.LOCKED:
                    locked = Reason("compliance", name, 0.0, snapshot)
                    targets[name] = Target(self.books[name].terms.failsafe, locked)
        return decide(self.books, targets, now=now, settings=self.settings, snapshot=snapshot)

    async def _publish(
        self, decisions: Sequence[Decision], epoch: int
    ) -> tuple[list[Grant], list[Acknowledgement], list[str]]:
        """Send tightenings first, then raises; a raise waits for the audit log and for the fence."""
        now = self.clock.monotonic()
        wanted = [d for d in decisions if due(self.books[d.site], d, now=now, settings=self.settings)]
        lower = [decision for decision in wanted if not decision.raises]
        higher = [decision for decision in wanted if decision.raises]
        sent: list[Grant] = []
        answers: list[Acknowledgement] = []
        withheld: list[str] = []
        for group in (lower, higher):
            grants = [self._grant(decision, epoch) for decision in group]
            if group is higher and grants and not await self.recorder.audit(grants):
                withheld = [grant.site for grant in grants]
                continue
            if self.leadership.epoch() != epoch:
                withheld += [grant.site for grant in grants]
                continue
            sent += grants
            answers += await asyncio.gather(*(self._send(grant) for grant in grants))
        return sent, answers, withheld

    def _grant(self, decision: Decision, epoch: int) -> Grant:
        self._sequence += 1
        return to_grant(
            self.books[decision.site],
            decision,
            epoch=epoch,
            sequence=self._sequence,
            now=self.clock.monotonic(),
        )

    async def _send(self, grant: Grant) -> Acknowledgement:
        book = self.books[grant.site]
        book.sent(grant, self.clock.monotonic())
        try:
            answer = await self.ports[grant.site].publish(grant)
        except RemoteError as error:
            answer = Acknowledgement(grant, Outcome.UNKNOWN, None, str(error))
        book.acknowledged(answer, self.clock.monotonic())
        return answer
