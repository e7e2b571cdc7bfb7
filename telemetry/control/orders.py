"""What operators may order, and what that leaves of a limit: an order can only tighten what the envelope gives.

Modes of a feeder:
    disabled    nothing is sent; leases end, and every site is at its failsafe
    shadow      computed and scored, not sent
    manual      a site gets what two operators agreed for it, still met with the envelope; without that its failsafe
    automatic   the envelope

Kinds of order:
    cap         never above this limit, until its expiry             one person
    hold        no raise beyond what is in force                     one person
    failsafe    the failsafe limit now                               one person
    trip        the failsafe limit now, and SCADA is asked to open   one person
    raise       in manual mode: up to this limit                     two people
    reset       a locked site may be raised again                    two people
Ending a cap, hold, failsafe or trip before its time is a raise too: two people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derms.limits import Limit

DISABLED, SHADOW, MANUAL, AUTOMATIC = "disabled", "shadow", "manual", "automatic"
MODES = (DISABLED, SHADOW, MANUAL, AUTOMATIC)
CAP, HOLD, FAILSAFE, TRIP, RAISE, RESET = "cap", "hold", "failsafe", "trip", "raise", "reset"
KINDS = (CAP, HOLD, FAILSAFE, TRIP, RAISE, RESET)
LOWERING = (CAP, HOLD, FAILSAFE, TRIP)
WITH_LIMIT = (CAP, RAISE)
TWO_PEOPLE = (RAISE, RESET)


@dataclass(frozen=True, slots=True)
class Order:
    """One order in force: on a site, or on all sites of the feeder when `site` is empty."""

    number: int
    kind: str
    site: str
    limit: Limit | None = None
    by: str = ""

    def concerns(self, site: str) -> bool:
        """Say whether the order is about this site."""
        return self.site in ("", site)

    @property
    def name(self) -> str:
        """Return what a reason quotes."""
        return f"order {self.number} by {self.by}"


@dataclass(frozen=True, slots=True)
class Orders:
    """The mode and the orders in force at one moment. `known`: False when they could not be read just now.

    `topology`: why the feeder's switching state is not the one that the model has, empty when it is.
    """

    mode: str = AUTOMATIC
    items: tuple[Order, ...] = ()
    known: bool = True
    topology: str = ""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What orders leave for a site: the largest limit, and the order that says so."""

    limit: Limit
    criterion: str
    element: str


def ceiling(
    orders: Orders, site: str, *, target: Limit, failsafe: Limit, in_force: Limit, holds: bool = False
) -> Ceiling | None:
    """Return what the orders leave of `target` (W), or None when they leave all of it.

    The result is within `target.cover(failsafe)`: no order lifts a site above what the envelope gives it.
    A cap below the failsafe is obeyed: the utility may ask for less than the firm limit in an emergency.
    """
    limit, criterion, element = target, "", ""

    def tighten(to: Limit, why: str, what: str) -> None:
        nonlocal limit, criterion, element
        met = limit.meet(to)
        if met != limit:
            limit, criterion, element = met, why, what

    if orders.mode == MANUAL:
        raised = _raise(orders.items, site)
        most = failsafe if raised is None or raised.limit is None else raised.limit.cover(failsafe)
        tighten(most, "manual", raised.name if raised is not None else "manual mode")
    elif orders.mode != AUTOMATIC:
        tighten(failsafe, "mode", orders.mode)
    for order in orders.items:
        if not order.concerns(site):
            continue
        if order.kind == CAP and order.limit is not None:
            tighten(order.limit, "cap", order.name)
        elif order.kind in (FAILSAFE, TRIP):
            tighten(failsafe, order.kind, order.name)
        elif order.kind == HOLD:
            tighten(in_force, "hold", order.name)
    if holds or not orders.known:
        tighten(in_force, "hold", "orders could not be read" if not orders.known else "hold")
    return Ceiling(limit, criterion, element) if criterion else None


def _raise(items: Sequence[Order], site: str) -> Order | None:
    """Return the newest raise that two people agreed for a site."""
    found = [order for order in items if order.kind == RAISE and order.concerns(site)]
    return max(found, key=lambda order: order.number, default=None)
