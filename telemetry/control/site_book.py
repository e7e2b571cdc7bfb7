"""What the control room knows of one site, and what it must assume while it knows nothing.

A site that is silent may be doing anything that it was ever allowed and that has not provably ended: the centre
reserves the cover of every grant that may still be in force, and of the failsafe, until leases, response and ramp
are over. A site counts as heard only by a fresh, good reading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from derms.agreement import Terms
from derms.limits import Limit
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Quality, Reading
from telemetry.control.settings import ControlSettings

MISSES_BEFORE_HOLD = 2


@dataclass
class Loan:
    """A grant that may be in force, when it went out, and until when its effect must be reserved."""

    grant: Grant
    sent_at: float
    reserved_until: float
    refused: bool = False


@dataclass
class SiteBook:
    """The centre's ledger of one site. `now` is always the control room's monotonic seconds."""

    terms: Terms
    settings: ControlSettings
    last_reading: Reading | None = None
    last_loan: Loan | None = None
    last_change_at: float = -math.inf
    good_streak: int = 0
    misses: int = 0
    hold_until: float = -math.inf
    epoch: int | None = None
    earlier_until: float = -math.inf
    loans: list[Loan] = field(default_factory=list)

    @property
    def site(self) -> str:
        """Return the site's name."""
        return self.terms.site

    @property
    def stale_s(self) -> float:
        """Return how old a reading may be to act on: of a site that only polls, two of its periods and the usual."""
        return self.settings.stale_s + self.patience_s

    @property
    def renew_s(self) -> float:
        """Return after how long a grant is renewed: of a site that only polls, half of one of its three events."""
        return self.terms.lease_s / 6.0 if self.terms.slow else self.settings.renew_s

    @property
    def patience_s(self) -> float:
        """Return how long a change may take to be fetched and answered: two polls of a site that only polls, else 0."""
        return 2.0 * self.terms.telemetry_s if self.terms.slow else 0.0

    def clear_s(self) -> float:
        """Return the seconds a site may need from a lower limit to a power that obeys it."""
        swing = max(
            self.terms.flexible.import_w - self.terms.failsafe.import_w,
            self.terms.flexible.export_w - self.terms.failsafe.export_w,
        )
        return self.terms.response_s + swing / self.terms.ramp_w_per_s

    def took_over(self, epoch: int, now: float) -> None:
        """A leadership begins: what the leaders before it lent is not in this book, and may still be in force.

        Their last grant answers a stamp from before the take-over, so it is over one lease later.
        """
        self.epoch = epoch
        self.earlier_until = now + self.terms.lease_s + self.clear_s()

    def heard(self, reading: Reading | None, now: float) -> None:
        """Take one poll's result; None is silence. Two misses in a row start the hold-down anew."""
        if reading is None or reading.quality is not Quality.GOOD:
            self.good_streak = 0
            self.misses += 1
            if self.last_reading is not None and self.misses >= MISSES_BEFORE_HOLD:
                self.hold_until = now + self.settings.hold_down_s
            return
        self.misses = 0
        self.good_streak += 1
        self.last_reading = reading
        if reading.epoch is not None and reading.sequence is not None and reading.in_failsafe is False:
            self._end_earlier((reading.epoch, reading.sequence), now)

    def fresh(self, now: float) -> bool:
        """Say whether the last good reading is young enough to act on."""
        reading = self.last_reading
        return reading is not None and self.good_streak > 0 and now - reading.received <= self.stale_s

    def may_raise(self, now: float) -> bool:
        """Say whether a raise may rest on what this site says: fresh, several good polls, hold-down over, answer in."""
        ready = self.fresh(now) and self.good_streak >= self.settings.good_polls_before_raise and now >= self.hold_until
        return ready and now - self.last_change_at >= self.patience_s

    def sent(self, grant: Grant, now: float) -> None:
        """Note a grant **before** it goes out: from here on it may be in force."""
        if grant.limit != self.in_force(now):
            self.last_change_at = now
        # The site counts its lease from its stamp, which is older than `now`: this bound is on the safe side.
        self.last_loan = Loan(grant, now, now + grant.ttl_s + self.clear_s())
        self.loans.append(self.last_loan)

    def acknowledged(self, acknowledgement: Acknowledgement, now: float) -> None:
        """Take the result of publishing; only a read-back retires what was lent before."""
        grant = acknowledgement.grant
        if acknowledgement.outcome is Outcome.ACKNOWLEDGED:
            self._end_earlier(grant.order, now)
        elif acknowledgement.outcome is Outcome.REFUSED:
            # The site said that it does not obey this grant; a repeat of it on the wire may still be taken, so its
            # effect stays reserved for as long as any other's.
            for loan in self.loans:
                loan.refused = loan.refused or loan.grant is grant
            self.last_loan = next((loan for loan in reversed(self.loans) if not loan.refused), None)

    def in_force(self, now: float) -> Limit:
        """Return the limit that the site obeys, as far as the centre knows.

        The device's own word counts when it is younger than the last grant; else the grant while its lease runs;
        else the failsafe.
        """
        loan, reading = self.last_loan, self.last_reading
        if reading is not None and reading.limit_in_force is not None and self.fresh(now):
            if loan is None or reading.received > loan.sent_at + self.patience_s:
                # In failsafe the site's stored setting counts, not its rounding on the wire.
                held = self.terms.failsafe if reading.in_failsafe else reading.limit_in_force
                return held.meet(self.terms.flexible)
        if loan is None or now >= loan.sent_at + loan.grant.ttl_s:
            return self.terms.failsafe
        return loan.grant.limit

    def lost_last_grant(self) -> bool:
        """Say whether a younger reading shows that the site does not hold the last grant."""
        loan, reading = self.last_loan, self.last_reading
        if loan is None or reading is None or reading.received <= loan.sent_at + self.patience_s:
            return False
        if reading.in_failsafe:
            return True
        if reading.epoch is None or reading.sequence is None:
            return False
        return (reading.epoch, reading.sequence) < loan.grant.order

    def may_be_doing(self, now: float) -> Limit:
        """Return the largest limit that the site may be acting on: what everyone else must leave room for."""
        self.loans = [loan for loan in self.loans if now < loan.reserved_until]
        cover = self.terms.flexible if now < self.earlier_until else self.terms.failsafe
        for loan in self.loans:
            cover = cover.cover(loan.grant.limit)
        return cover

    def _end_earlier(self, order: tuple[int, int], now: float) -> None:
        """A site that obeys `order` refuses everything below it: earlier loans last only for response and ramp."""
        for loan in self.loans:
            if loan.grant.order < order:
                loan.reserved_until = min(loan.reserved_until, now + self.clear_s())
        # Only a grant of this very book ends what leaders before it lent: a restored backup may repeat an epoch.
        if any(loan.grant.order == order for loan in self.loans):
            self.earlier_until = min(self.earlier_until, now + self.clear_s())


def silent_sites(books: Mapping[str, SiteBook], now: float) -> tuple[str, ...]:
    """Return the sites whose last good reading is too old to act on."""
    return tuple(name for name, book in books.items() if not book.fresh(now))
