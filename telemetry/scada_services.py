"""The only writer of SCADA's slots, and the desk that turns a control centre's commands into orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import Max

from derms.clock import Clock
from derms.errors import InputError, LocalError, NotFound
from derms.limits import Limit
from telemetry import order_services, scada_queries, services
from telemetry.order_models import OperatorOrder
from telemetry.protocols.dnp3 import scada_points as p
from telemetry.protocols.dnp3.scada_state import House
from telemetry.scada_models import ScadaSlot

Answer = TypeVar("Answer")
SIDES = ("import", "export")


def give_slots(scope: str, names: Iterable[str]) -> dict[str, int]:
    """Return the slot of each name, giving new names the next free numbers; raises InputError when none is left."""
    names = sorted(set(names))
    with transaction.atomic():
        known = dict(ScadaSlot.objects.filter(scope=scope).values_list("name", "slot"))
        last = ScadaSlot.objects.filter(scope=scope).aggregate(last=Max("slot"))["last"]
        following = 0 if last is None else last + 1
        most = p.MOST_FEEDERS if scope == p.FEEDER else p.MOST_SITES
        for name in names:
            if name in known:
                continue
            if following >= most:
                raise InputError(f"the point map is full: {most} {scope}s", where=name)
            ScadaSlot.objects.create(scope=scope, name=name, slot=following)
            known[name] = following
            following += 1
    return {name: known[name] for name in names}


def share_out(total_w: int, by_flexible: Mapping[str, int]) -> dict[str, int]:
    """Return a feeder's total limit (W) shared pro rata to the flexible limits, in whole watts that sum to the total."""
    whole = sum(by_flexible.values())
    if whole <= 0:
        return dict.fromkeys(by_flexible, 0)
    total_w = min(total_w, whole)
    shares = {name: total_w * flexible // whole for name, flexible in by_flexible.items()}
    left = total_w - sum(shares.values())
    by_remainder = sorted(by_flexible, key=lambda name: (-(total_w * by_flexible[name] % whole), name))
    for name in by_remainder[:left]:
        shares[name] += 1
    return shares


def _bounded(call: Callable[..., Answer]) -> Callable[..., Answer]:
    """Turn the database's faults into ours: whoever asks is a protocol, which knows only our tree of errors."""

    @wraps(call)
    def inner(*args: Any, **kwargs: Any) -> Answer:
        close_old_connections()
        try:
            return call(*args, **kwargs)
        except DatabaseError as error:
            raise LocalError("the database does not answer", where="SCADA orders") from error

    return inner


class DatabaseDesk:
    """An `OrderDesk` on the database. `watchdog`: returns (controlling, count)."""

    def __init__(self, clock: Clock, watchdog: Callable[[], tuple[bool, int]]) -> None:
        self._clock, self._watchdog = clock, watchdog
        self._picture = scada_queries.Picture()

    @_bounded
    def house(self) -> House:
        """Return the picture as it stands now."""
        controlling, count = self._watchdog()
        return self._picture.house(self._clock.now(), controlling=controlling, heartbeat=count)

    @_bounded
    def curtail_all(self, centre: str, on: bool) -> None:
        """Order every site of every feeder to its failsafe limit, or end this centre's orders to do so."""
        by = scada_queries.by(centre, scada_queries.CURTAIL)
        with transaction.atomic():
            if not on:
                self._end(by)
                return
            for feeder in scada_queries.feeders(self._clock.now()):
                if not scada_queries.own(by, self._clock.now(), feeder=feeder):
                    order_services.failsafe_now(
                        feeder, by=by, reason="SCADA: curtail all", now=self._clock.now(), source=OperatorOrder.SCADA
                    )

    @_bounded
    def failsafe(self, centre: str, feeder: str, on: bool) -> None:
        """Order a feeder's sites to their failsafe limits, or end this centre's order to do so."""
        by = scada_queries.by(centre, scada_queries.FAILSAFE)
        with transaction.atomic():
            if not on:
                self._end(by, feeder=feeder)
            elif not scada_queries.own(by, self._clock.now(), feeder=feeder):
                order_services.failsafe_now(
                    feeder, by=by, reason="SCADA: failsafe", now=self._clock.now(), source=OperatorOrder.SCADA
                )

    @_bounded
    def limit(self, centre: str, scope: str, name: str, side: str, most_w: int | None, seconds: float) -> None:
        """Limit a feeder's sites together, or one site, on one side for a time; None ends it."""
        if side not in SIDES:
            raise InputError(f"no side is named {side!r}", where="side")
        now = self._clock.now()
        by = scada_queries.by(centre, f"{scope} {side}")
        sites = scada_queries.sites_of(scope, name, now)
        if not sites:
            raise NotFound(f"no {scope} with an agreement in force is named {name}", where=name)
        with transaction.atomic():
            if most_w is None:
                for item in sites:
                    self._end(by, feeder=item.feeder, site=item.site)
                return
            flexible = {item.site: _side(item.flexible, side) for item in sites}
            shares = share_out(most_w, flexible)
            for item in sites:
                share = shares[item.site]
                limit = Limit(share, item.flexible.export_w) if side == "import" else Limit(item.flexible.import_w, share)
                order_services.cap_site(
                    item.feeder, item.site, limit, by=by, reason=f"SCADA: {scope} {side} limit", now=now,
                    expires=now + timedelta(seconds=seconds), source=OperatorOrder.SCADA,
                )  # fmt: skip

    @_bounded
    def measured(self, feeder: str, power_w: float, reactive_var: float) -> None:
        """Take a measurement of a feeder's head."""
        services.measure_head(feeder, self._clock.now(), power_w, reactive_var)

    def _end(self, by: str, *, feeder: str = "", site: str | None = None) -> None:
        for row in scada_queries.own(by, self._clock.now(), feeder=feeder, site=site):
            order_services.release(row.pk, by=by, reason="SCADA ended its own order", now=self._clock.now())


def _side(limit: Limit, side: str) -> int:
    return limit.import_w if side == "import" else limit.export_w
