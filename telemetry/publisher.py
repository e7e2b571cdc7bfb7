"""From decisions to grants on the wire: what lowers goes first; a raise waits for audit log, fence and newer orders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from derms.clock import Clock
from derms.errors import RemoteError
from telemetry.control import orders as ordered
from telemetry.control.decide import Decision, due, to_grant
from telemetry.control.grant import Acknowledgement, Grant, Outcome
from telemetry.control.orders import Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook
from telemetry.engine_ports import Leadership, Recorder
from telemetry.protocols.ports import SitePort
from telemetry.site_reading import BAD_ANSWER

LOG = logging.getLogger(__name__)


class Publisher:
    """Sends grants and takes their answers into the books. `orders`: returns them as they are now, not as they were."""

    def __init__(
        self, books: Mapping[str, SiteBook], ports: Mapping[str, SitePort], *, recorder: Recorder, leadership: Leadership,
        clock: Clock, settings: ControlSettings, orders: Callable[[], Orders],
    ) -> None:  # fmt: skip
        self._books, self._ports = books, ports
        self._recorder, self._leadership, self._clock, self._settings = recorder, leadership, clock, settings
        self._orders = orders
        self._wires = {name: asyncio.Lock() for name in books}
        self._newest: dict[str, tuple[int, int]] = dict.fromkeys(books, (-1, -1))
        self.sequence = 0

    async def publish(
        self, decisions: Sequence[Decision], epoch: int, *, again: Collection[str] = ()
    ) -> tuple[list[Grant], list[Acknowledgement], list[str]]:
        """Send tightenings first, then raises; a raise waits for the audit log and for the fence.

        `again`: sites that are told once more although nothing is due. Returns grants, answers, and the sites withheld.
        """
        if self._orders().mode not in (ordered.MANUAL, ordered.AUTOMATIC):
            return [], [], []
        now = self._clock.monotonic()
        decisions = [self._still_ordered(decision, now) for decision in decisions]
        wanted = [
            d for d in decisions
            if d.site in again or due(self._books[d.site], d, now=now, settings=self._settings)
        ]  # fmt: skip
        lower = [decision for decision in wanted if not decision.raises]
        higher = [decision for decision in wanted if decision.raises]
        sent: list[Grant] = []
        answers: list[Acknowledgement] = []
        withheld: list[str] = []
        for group in (lower, higher):
            grants = [self._grant(decision, epoch) for decision in group]
            if group is higher and grants and not await self._recorder.audit(grants):
                withheld += [grant.site for grant in grants]
                continue
            if self._leadership.epoch() != epoch:
                withheld += [grant.site for grant in grants]
                continue
            # Newer orders may have come while the audit log was written: what they forbid stays here.
            now = self._clock.monotonic()
            late = {d.site for d in group if self._still_ordered(d, now).limit != d.limit}
            withheld += sorted(late)
            grants = [grant for grant in grants if grant.site not in late]
            sent += grants
            answers += await asyncio.gather(*(self._send(grant) for grant in grants))
        return sent, answers, withheld

    def _still_ordered(self, decision: Decision, now: float) -> Decision:
        """Meet a decision with the orders as they are now: `tighten` may have read newer ones while the cycle ran."""
        book = self._books[decision.site]
        left = ordered.ceiling(
            self._orders(), decision.site, target=decision.limit, failsafe=book.terms.failsafe, in_force=book.in_force(now)
        )
        if left is None or left.limit == decision.limit:
            return decision
        reason = replace(decision.reason, criterion=left.criterion, element=left.element)
        return Decision(decision.site, left.limit, not left.limit.within(book.in_force(now)), reason)

    def _grant(self, decision: Decision, epoch: int) -> Grant:
        self.sequence += 1
        return to_grant(
            self._books[decision.site],
            decision,
            epoch=epoch,
            sequence=self.sequence,
            now=self._clock.monotonic(),
        )

    async def _send(self, grant: Grant) -> Acknowledgement:
        book = self._books[grant.site]
        async with self._wires[grant.site]:
            if grant.order < self._newest[grant.site]:
                # An order tightened this site while the cycle was on its way.
                return Acknowledgement(grant, Outcome.REFUSED, None, "overtaken by an order; not sent")
            if self._leadership.epoch() != grant.epoch:  # not every wire can tell an old leader's grant from the new one's
                return Acknowledgement(grant, Outcome.REFUSED, None, "the lead was lost; not sent")
            self._newest[grant.site] = grant.order
            book.sent(grant, self._clock.monotonic())
            try:
                port = self._ports.get(grant.site)
                if port is None:
                    raise RemoteError("its wire is not open", where=grant.site)
                answer = await port.publish(grant)
            except RemoteError as error:
                answer = Acknowledgement(grant, Outcome.UNKNOWN, None, str(error))
            except BAD_ANSWER as error:
                LOG.exception("what %s answers to a grant cannot be read", grant.site)
                answer = Acknowledgement(grant, Outcome.UNKNOWN, None, str(error))
            book.acknowledged(answer, self._clock.monotonic())
        return answer
