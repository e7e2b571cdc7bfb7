"""Mode shadow: the control law runs on books in which every grant is taken at once, and nothing goes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from derms.agreement import Terms
from telemetry.control.decide import Decision, Target, decide, to_grant
from telemetry.control.grant import Acknowledgement, Outcome, Reading
from telemetry.control.orders import AUTOMATIC, Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook
from telemetry.control.state import Shadow


class ShadowRoom:
    """What the sites would have been lent."""

    def __init__(self, terms: Sequence[Terms], settings: ControlSettings) -> None:
        self._settings = settings
        self.books = {item.site: SiteBook(item, settings) for item in terms}
        self._sequence = 0

    def heard(self, readings: Mapping[str, Reading | None], now: float) -> None:
        """Take the readings, without what the devices say that they obey: they were sent nothing."""
        for name, reading in readings.items():
            bare = reading
            if bare is not None:
                bare = replace(bare, limit_in_force=None, in_failsafe=None, epoch=None, sequence=None)
            self.books[name].heard(bare, now)

    def decide(
        self, targets: Mapping[str, Target] | None, *, orders: Orders, may_raise: bool, problem: str, now: float,
        snapshot: str,
    ) -> list[Decision]:  # fmt: skip
        """Decide as in mode automatic, and take every decision as published and obeyed."""
        decisions = decide(
            self.books, targets, now=now, settings=self._settings, snapshot=snapshot,
            orders=replace(orders, mode=AUTOMATIC), may_raise=may_raise, problem=problem,
        )  # fmt: skip
        for decision in decisions:
            self._sequence += 1
            book = self.books[decision.site]
            grant = to_grant(book, decision, epoch=0, sequence=self._sequence, now=now)
            book.sent(grant, now)
            book.acknowledged(Acknowledgement(grant, Outcome.ACKNOWLEDGED, grant.limit), now)
        return decisions

    def score(self, now: float) -> dict[str, Shadow]:
        """Return each site's shadow limit, why, and by how many watts the site is beyond it."""
        found = {}
        for name, book in self.books.items():
            limit, reading, loan = book.in_force(now), book.last_reading, book.last_loan
            if loan is None or reading is None or not book.fresh(now):
                continue
            found[name] = Shadow(limit, loan.grant.reason, round(limit.excess_w(reading.power_w), 1))
        return found
