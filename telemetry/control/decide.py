"""From what the network can take to what each site is lent: tighten at once, relax slowly, never on bad news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from derms.limits import Limit
from telemetry.control.grant import Grant, Reason
from telemetry.control.orders import Orders, ceiling
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook


class _Limits(Protocol):
    @property
    def failsafe(self) -> Limit: ...
    @property
    def flexible(self) -> Limit: ...
    @property
    def slow(self) -> bool: ...


class Book(Protocol):
    """What the control law reads of a site's book."""

    @property
    def site(self) -> str: ...
    @property
    def terms(self) -> _Limits: ...
    @property
    def last_change_at(self) -> float: ...
    @property
    def patience_s(self) -> float: ...
    def fresh(self, now: float) -> bool: ...
    def in_force(self, now: float) -> Limit: ...
    def may_raise(self, now: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Target:
    """What the envelope would allow one site now, and why."""

    limit: Limit
    reason: Reason
    thermal_only: bool = False
    """Neither direction is stopped by a voltage. Only then may a site that merely polls go above its failsafe."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to send to one site: the next limit, whether it raises the site, and why."""

    site: str
    limit: Limit
    raises: bool
    reason: Reason


def decide(
    books: Mapping[str, Book],
    targets: Mapping[str, Target] | None,
    *,
    now: float,
    settings: ControlSettings,
    snapshot: str,
    orders: Orders | None = None,
    may_raise: bool = True,
    problem: str = "feeder head",
) -> list[Decision]:
    """Return the limits to publish in this cycle, tightenings first.

    `targets`: the envelope's answer, or None when the feeder's state is not known well enough: then every site
    goes to its failsafe, because of `problem`. A silent site gets nothing: its lease runs out by itself.
    `orders`: what operators ordered; they only tighten. `may_raise`: False while the state is no ground for a raise.
    """
    unknown = Reason("telemetry", problem, 0.0, snapshot)
    decisions = []
    for name, book in sorted(books.items()):
        if not book.fresh(now):
            continue
        target = targets.get(name) if targets is not None else None
        if target is None:
            target = Target(book.terms.failsafe, unknown)
        decisions.append(_one(book, target, now, settings, orders or Orders(), may_raise))
    return sorted(decisions, key=lambda decision: (decision.raises, decision.site))


def _one(book: Book, target: Target, now: float, settings: ControlSettings, orders: Orders, may_raise: bool) -> Decision:
    top, reason, current = target.limit.cover(book.terms.failsafe), target.reason, book.in_force(now)
    if book.terms.slow and not target.thermal_only:
        # It needs some 20 minutes down: a conductor waits that long, a voltage does not.
        top = book.terms.failsafe
    top = top.meet(book.terms.flexible)
    ordered = ceiling(orders, book.site, target=top, failsafe=book.terms.failsafe, in_force=current)
    if ordered is not None:
        top = ordered.limit
        reason = Reason(ordered.criterion, ordered.element, reason.share, reason.snapshot)
    # Below its failsafe a site is only by an order: when that ends it may come back there by itself.
    floor = current.cover(book.terms.failsafe)
    raised = may_raise and book.may_raise(now)
    allowed = top.meet(_relaxed(book, floor, now, settings)) if raised else top.meet(floor)
    limit = _dead_band(current, allowed, book.terms.flexible, settings)
    return Decision(book.site, limit, not limit.within(current), reason)


def _relaxed(book: Book, current: Limit, now: float, settings: ControlSettings) -> Limit:
    """Return the furthest that relaxing may go: so many percent of the flexible limit a minute."""
    # At short cycles a raise waits until it is worth twice the dead band; after a quiet hour it is no leap either.
    longest_s = max(settings.cycle_s, 120.0 * settings.dead_band / settings.relax_per_minute, book.patience_s)
    step = settings.relax_per_minute * min(longest_s, max(0.0, now - book.last_change_at)) / 60.0
    flexible = book.terms.flexible
    return Limit.of(current.import_w + step * flexible.import_w, current.export_w + step * flexible.export_w)


def _dead_band(current: Limit, allowed: Limit, flexible: Limit, settings: ControlSettings) -> Limit:
    """Leave small raises undone: a limit that trembles wears out contactors. Tightening has no dead band."""

    def side(now_w: int, next_w: int, most_w: int) -> int:
        small = 0 < next_w - now_w < settings.dead_band * most_w and next_w < most_w
        return now_w if small else next_w

    return Limit(
        side(current.import_w, allowed.import_w, flexible.import_w),
        side(current.export_w, allowed.export_w, flexible.export_w),
    )


def due(book: SiteBook, decision: Decision, *, now: float, settings: ControlSettings) -> bool:
    """Say whether the decision must go out now: the limit changes, or the lease wants renewing.

    A site at its failsafe needs no grant: it holds that by itself.
    """
    loan = book.last_loan
    running = loan is not None and now < loan.sent_at + loan.grant.ttl_s and not book.lost_last_grant()
    if loan is None or not running:
        # After a take-over a site may hold what an earlier leader lent: that lease is renewed under our epoch.
        return decision.limit != book.in_force(now) or (loan is None and decision.limit != book.terms.failsafe)
    if decision.limit not in (loan.grant.limit, book.in_force(now)):
        return True  # what the device shows may differ from what was sent by the wire's rounding: neither is a change
    return decision.limit != book.terms.failsafe and now - loan.sent_at >= book.renew_s


def to_grant(book: SiteBook, decision: Decision, *, epoch: int, sequence: int, now: float) -> Grant:
    """Return the grant for a decision; its stamp is that of the reading it answers."""
    reading = book.last_reading
    return Grant(
        site=book.site,
        limit=decision.limit,
        epoch=epoch,
        sequence=sequence,
        issued=now,
        ttl_s=float(book.terms.lease_s),
        stamp=reading.stamp if reading else None,
        reason=decision.reason,
    )
