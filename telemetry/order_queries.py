"""The only readers of modes and orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Max, Q, QuerySet

from telemetry.control import orders
from telemetry.order_models import FeederMode, OperatorOrder


def mode(feeder: str) -> str:
    """Return a feeder's mode; a feeder for which nobody set one is automatic."""
    row = FeederMode.objects.filter(feeder=feeder).first()
    return row.mode if row is not None else orders.AUTOMATIC


def modes(feeders: Sequence[str]) -> dict[str, str]:
    """Return the mode of each of some feeders for which somebody set one, in one statement."""
    newest = (
        FeederMode.objects.order_by().filter(feeder__in=feeders).values("feeder").annotate(last=Max("pk")).values("last")
    )
    return dict(FeederMode.objects.filter(pk__in=newest).values_list("feeder", "mode"))


def mode_row(feeder: str) -> FeederMode | None:
    """Return who set the present mode, when and why; None when nobody did."""
    return FeederMode.objects.filter(feeder=feeder).first()


def in_force(feeder: str, now: datetime) -> QuerySet[OperatorOrder]:
    """Return the orders that count at `now`, newest first; times decide, not the state's own upkeep."""
    return OperatorOrder.objects.filter(feeder=feeder, state=OperatorOrder.ACTIVE, starts__lte=now).filter(
        Q(expires__isnull=True) | Q(expires__gt=now)
    )


def waiting(feeder: str = "") -> QuerySet[OperatorOrder]:
    """Return what waits for a second person: proposed raises and resets, and proposed releases."""
    rows = OperatorOrder.objects.filter(
        Q(state=OperatorOrder.PROPOSED) | Q(state=OperatorOrder.ACTIVE, release_at__isnull=False)
    )
    return rows.filter(feeder=feeder) if feeder else rows


def history(feeder: str, site: str = "", count: int = 100) -> list[OperatorOrder]:
    """Return the newest orders on a feeder, or on one site (orders on the whole feeder included)."""
    rows = OperatorOrder.objects.filter(feeder=feeder)
    if site:
        rows = rows.filter(site__in=("", site))
    return list(rows[:count])


def trips_asked(now: datetime) -> list[OperatorOrder]:
    """Return the trips that SCADA is asked for, on all feeders."""
    return list(OperatorOrder.objects.filter(kind=orders.TRIP, state=OperatorOrder.ACTIVE, starts__lte=now))


def snapshot(feeder: str, now: datetime) -> orders.Orders:
    """Return the mode and the orders in force as the engine reads them."""
    items = tuple(
        orders.Order(row.pk, row.kind, row.site, row.limit, row.by) for row in in_force(feeder, now).order_by("pk")
    )
    return orders.Orders(mode(feeder), items)


def version(feeder: str) -> tuple[int, int, int]:
    """Return what changes with every mode or order: the engine looks at it often and runs a cycle when it moves."""
    newest = FeederMode.objects.filter(feeder=feeder).aggregate(at=Max("pk"))["at"] or 0
    found = OperatorOrder.objects.filter(feeder=feeder).aggregate(at=Max("pk"))["at"] or 0
    active = OperatorOrder.objects.filter(feeder=feeder, state=OperatorOrder.ACTIVE).count()
    return newest, found, active
