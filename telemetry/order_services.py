"""The only writers of modes and orders. One person lowers at once; two different people raise.

Everything here is in the audit chain. A log that cannot be written stops raises; it never stops a lowering.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from derms.errors import Conflict, InputError, NotFound
from derms.limits import Limit
from interconnection import audit
from telemetry.control import orders
from telemetry.order_models import FeederMode, OperatorOrder

PROPOSAL_S = 900.0
"""A proposal that nobody approved for so long is void: the second person must judge the present."""
LONGEST = timedelta(days=366)


def set_mode(feeder: str, mode: str, *, by: str, reason: str, now: datetime) -> FeederMode:
    """Set a feeder's mode; leaving automatic or manual lowers, so it does not wait for the audit log."""
    if mode not in orders.MODES:
        raise InputError(f"unknown mode {mode!r}", where="mode", remedy="One of " + ", ".join(orders.MODES) + ".")
    _said(by, reason)
    before = FeederMode.objects.filter(feeder=feeder).first()
    was = before.mode if before is not None else orders.AUTOMATIC
    facts = ({"mode": was}, {"mode": mode, "reason": reason})
    with transaction.atomic():
        row = FeederMode.objects.create(feeder=feeder, mode=mode, reason=reason, by=by, at=now)
        log = audit.append_lowering if orders.MODES.index(mode) <= orders.MODES.index(was) else audit.append
        log(by, "set_mode", f"feeder {feeder}", *facts)
    return row


def cap_site(
    feeder: str, site: str, limit: Limit, *, by: str, reason: str, now: datetime, expires: datetime,
    source: str = OperatorOrder.OPERATOR,
) -> OperatorOrder:  # fmt: skip
    """Cap a site (or every site of the feeder when `site` is empty) from now on; several caps are met.

    SCADA's cap replaces the same control centre's earlier cap on the same site, also when it is looser: that limit
    was the centre's own, it has an end, and the envelope and other people's orders stand beside it.
    """
    _ends_later(expires, now)
    order = _lower(orders.CAP, feeder, site, limit, by=by, reason=reason, now=now, expires=expires, source=source)
    earlier = _active(feeder, site, orders.CAP).exclude(pk=order.pk).filter(by=by)
    if source != OperatorOrder.SCADA:
        # Only what the new cap makes idle: as tight on both sides, and at least as long.
        earlier = earlier.filter(
            Q(expires__lte=expires), import_w__gte=limit.import_w, export_w__gte=limit.export_w, source=source
        )
    else:
        earlier = earlier.filter(source=source)
    earlier.update(state=OperatorOrder.SUPERSEDED, superseded_by=order, ended_by=by, ended=now)
    return order


def hold(
    feeder: str, site: str = "", *, by: str, reason: str, now: datetime, expires: datetime, source: str = "operator"
) -> OperatorOrder:
    """Let nothing rise above what is in force; tightening goes on."""
    _ends_later(expires, now)
    return _lower(orders.HOLD, feeder, site, None, by=by, reason=reason, now=now, expires=expires, source=source)


def failsafe_now(
    feeder: str, site: str = "", *, by: str, reason: str, now: datetime, expires: datetime | None = None,
    source: str = "operator",
) -> OperatorOrder:  # fmt: skip
    """Send a site (or all of a feeder) to the failsafe limit at once; without `expires` until two people release it."""
    if expires is not None:
        _ends_later(expires, now)
    return _lower(orders.FAILSAFE, feeder, site, None, by=by, reason=reason, now=now, expires=expires, source=source)


def request_trip(feeder: str, site: str, *, by: str, reason: str, now: datetime, source: str = "operator") -> OperatorOrder:
    """Ask SCADA to open a site's breaker, and hold the site to its failsafe meanwhile and after."""
    if not site:
        raise InputError("a trip is asked for one site", where="site", remedy="Name the site.")
    return _lower(orders.TRIP, feeder, site, None, by=by, reason=reason, now=now, expires=None, source=source)


def propose_raise(
    feeder: str, site: str, limit: Limit, *, by: str, reason: str, now: datetime, expires: datetime
) -> OperatorOrder:
    """Propose a limit above the failsafe for manual mode; nothing changes until another person approves."""
    _ends_later(expires, now)
    return _propose(orders.RAISE, feeder, site, limit, by=by, reason=reason, now=now, expires=expires)


def propose_reset(feeder: str, site: str, *, by: str, reason: str, now: datetime) -> OperatorOrder:
    """Propose that a locked site may be raised again before its four hours are over; without a site, that a step of the
    feeder head which nobody explained is real.
    """
    return _propose(
        orders.RESET, feeder, site, None, by=by, reason=reason, now=now, expires=now + timedelta(seconds=PROPOSAL_S)
    )


def approve(number: int, *, by: str, now: datetime) -> OperatorOrder:
    """Put a proposed raise or reset in force; the person who proposed it is refused."""
    order = _get(number)
    _other_person(order.by, by)
    _still_young(order.created, now)
    with transaction.atomic():
        changed = OperatorOrder.objects.filter(pk=number, state=OperatorOrder.PROPOSED).update(
            state=OperatorOrder.ACTIVE, second=by, starts=now
        )
        if not changed:
            raise Conflict(f"order {number} is {_get(number).state}", where="order", remedy="Look at it again.")
        _active(order.feeder, order.site, order.kind).exclude(pk=number).update(
            state=OperatorOrder.SUPERSEDED, superseded_by=order, ended_by=by, ended=now
        )
        audit.append(by, f"approve_{order.kind}", _subject(order), {"state": "proposed", "by": order.by}, _facts(order))
    return _get(number)


def reject(number: int, *, by: str, now: datetime) -> OperatorOrder:
    """Refuse a proposal; one person is enough, also the one who proposed it."""
    return _end(number, (OperatorOrder.PROPOSED,), OperatorOrder.REJECTED, by=by, now=now, action="reject")


def release(number: int, *, by: str, reason: str, now: datetime) -> OperatorOrder:
    """End an order before its time.

    Ending a raise lowers: done at once. Ending a cap, hold, failsafe or trip raises: it is noted as proposed, and a
    second person must `approve_release`. What SCADA ordered SCADA may end itself.
    """
    order = _get(number)
    _said(by, reason)
    own = order.source == OperatorOrder.SCADA and order.by == by
    if order.kind in orders.TWO_PEOPLE or own:
        return _end(number, (OperatorOrder.ACTIVE,), OperatorOrder.RELEASED, by=by, now=now, action="release")
    with transaction.atomic():
        changed = OperatorOrder.objects.filter(pk=number, state=OperatorOrder.ACTIVE).update(
            release_by=by, release_at=now, release_reason=reason
        )
        if not changed:
            raise Conflict(f"order {number} is {order.state}", where="order", remedy="Look at it again.")
        audit.append(by, "propose_release", _subject(order), {"state": order.state}, {"reason": reason})
    return _get(number)


def approve_release(number: int, *, by: str, now: datetime) -> OperatorOrder:
    """End an order whose release another person proposed within the last quarter of an hour."""
    order = _get(number)
    if not order.release_by or order.release_at is None:
        raise Conflict(f"nobody proposed to release order {number}", where="order", remedy="Propose it first.")
    _other_person(order.release_by, by)
    _still_young(order.release_at, now)
    return _end(
        number, (OperatorOrder.ACTIVE,), OperatorOrder.RELEASED, by=by, now=now, action="release", also=order.release_by
    )


def expire(now: datetime) -> int:
    """Mark what has come to its end; the engine reads the times, so nothing waits for this."""
    over = Q(state=OperatorOrder.ACTIVE, expires__lte=now) | Q(
        state=OperatorOrder.PROPOSED, created__lte=now - timedelta(seconds=PROPOSAL_S)
    )
    with transaction.atomic():
        rows = list(OperatorOrder.objects.select_for_update().filter(over))
        ended = OperatorOrder.objects.filter(pk__in=[row.pk for row in rows]).update(state=OperatorOrder.EXPIRED, ended=now)
        if rows:
            audit.append_all(
                audit.Fact("clock", "expire", _subject(row), {"state": row.state}, {"state": "expired"}) for row in rows
            )
    return ended


def _lower(
    kind: str, feeder: str, site: str, limit: Limit | None, *, by: str, reason: str, now: datetime,
    expires: datetime | None, source: str,
) -> OperatorOrder:  # fmt: skip
    _said(by, reason)
    with transaction.atomic():
        order = _create(kind, feeder, site, limit, by, reason, now, expires, OperatorOrder.ACTIVE, source)
        audit.append_lowering(by, kind, _subject(order), {}, _facts(order))
    return order


def _propose(
    kind: str, feeder: str, site: str, limit: Limit | None, *, by: str, reason: str, now: datetime, expires: datetime
) -> OperatorOrder:
    _said(by, reason)
    with transaction.atomic():
        order = _create(kind, feeder, site, limit, by, reason, now, expires, OperatorOrder.PROPOSED, "operator")
        audit.append(by, f"propose_{kind}", _subject(order), {}, _facts(order))
    return order


def _create(
    kind: str, feeder: str, site: str, limit: Limit | None, by: str, reason: str, now: datetime,
    expires: datetime | None, state: str, source: str,
) -> OperatorOrder:  # fmt: skip
    return OperatorOrder.objects.create(
        feeder=feeder, site=site, kind=kind, by=by, reason=reason, created=now, starts=now, expires=expires, state=state,
        source=source, import_w=limit.import_w if limit else None, export_w=limit.export_w if limit else None,
    )  # fmt: skip


def _end(
    number: int, states: tuple[str, ...], state: str, *, by: str, now: datetime, action: str, also: str = ""
) -> OperatorOrder:
    order = _get(number)
    raises = order.kind in orders.LOWERING
    with transaction.atomic():
        changed = OperatorOrder.objects.filter(pk=number, state__in=states).update(state=state, ended_by=by, ended=now)
        if not changed:
            raise Conflict(f"order {number} is {_get(number).state}", where="order", remedy="Look at it again.")
        log = audit.append if raises else audit.append_lowering
        log(by, action, _subject(order), {"state": order.state, "by": order.by}, {"state": state, "proposed_by": also})
    return _get(number)


def _active(feeder: str, site: str, kind: str) -> Any:
    return OperatorOrder.objects.filter(feeder=feeder, site=site, kind=kind, state=OperatorOrder.ACTIVE)


def _get(number: int) -> OperatorOrder:
    found = OperatorOrder.objects.filter(pk=number).first()
    if found is None:
        raise NotFound(f"there is no order {number}", where="order", remedy="Check the number.")
    return found


def _said(by: str, reason: str) -> None:
    if not by.strip():
        raise InputError("nobody gives this order", where="by")
    if not reason.strip():
        raise InputError("an order needs a reason", where="reason", remedy="Say why, in a sentence.")


def _ends_later(expires: datetime, now: datetime) -> None:
    if not now < expires <= now + LONGEST:
        raise InputError("the order must end later, within a year", where="expires", remedy="Give a later time.")


def _other_person(first: str, second: str) -> None:
    # One person with two spellings of a name is one person.
    if not second.strip() or first.strip().casefold() == second.strip().casefold():
        raise Conflict("a raise takes two different people", where="by", remedy="Ask a colleague to approve it.")


def _still_young(proposed: datetime, now: datetime) -> None:
    if (now - proposed).total_seconds() > PROPOSAL_S:
        raise Conflict("the proposal is older than a quarter of an hour", where="order", remedy="Propose it anew.")


def _subject(order: OperatorOrder) -> str:
    return f"order {order.pk} on {order.feeder}/{order.site or '*'}"


def _facts(order: OperatorOrder) -> dict[str, Any]:
    return {
        "kind": order.kind, "import_w": order.import_w, "export_w": order.export_w, "reason": order.reason,
        "expires": order.expires.isoformat() if order.expires else None, "source": order.source,
    }  # fmt: skip
