"""The only readers of the control room's tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max

from telemetry.control.orders import TRIP
from telemetry.cycle_models import EvidenceRow, LadderRow
from telemetry.models import CycleRow, HeadMeasurement, SiteEndpoint
from telemetry.order_models import OperatorOrder

STALE_S = 30.0
Boards = dict[str, tuple[int, datetime, dict[str, Any]]]
"""Feeder → (number, moment, board) of its newest cycle."""


def newest(feeders: Collection[str] | None = None) -> dict[str, int]:
    """Return the newest cycle's number of each feeder, or of some, in one statement."""
    rows = CycleRow.objects.order_by() if feeders is None else CycleRow.objects.order_by().filter(feeder__in=feeders)
    return {row["feeder"]: row["newest"] for row in rows.values("feeder").annotate(newest=Max("pk"))}


def newest_boards(known: Boards, feeders: Collection[str] | None = None) -> Boards:
    """Return the newest cycle of each feeder; only those that `known` does not hold yet are read (two statements)."""
    numbers = newest(feeders)
    unread = [number for feeder, number in numbers.items() if feeder not in known or known[feeder][0] != number]
    found = {row.feeder: (row.pk, row.at, row.board) for row in CycleRow.objects.filter(pk__in=unread)} if unread else {}
    return {feeder: found.get(feeder) or known[feeder] for feeder in numbers if feeder in found or feeder in known}


def boards(now: datetime, known: Boards | None = None) -> list[dict[str, Any]]:
    """Return the newest board of each feeder with its age; older than 30 s says so."""
    return [shown_board(feeder, at, board, now) for feeder, (_, at, board) in sorted(newest_boards(known or {}).items())]


def board(feeder: str, now: datetime) -> dict[str, Any] | None:
    """Return the newest board of one feeder."""
    row = CycleRow.objects.filter(feeder=feeder).first()
    return None if row is None else shown_board(feeder, row.at, row.board, now)


def shown_board(feeder: str, at: datetime, board: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return a board with its age, as people see it."""
    age = (now - at).total_seconds()
    return {**board, "feeder": feeder, "at": at.isoformat(), "age_s": round(age), "stale": age > STALE_S}


def endpoints(sites: list[str]) -> dict[str, SiteEndpoint]:
    """Return where each site's wire ends."""
    return {row.site: row for row in SiteEndpoint.objects.filter(site__in=sites)}


def head(feeder: str) -> HeadMeasurement | None:
    """Return the newest head measurement of a feeder."""
    return HeadMeasurement.objects.filter(feeder=feeder).first()


@dataclass(frozen=True, slots=True)
class TripRequest:
    """A site that SCADA is asked to open, by an operator's order or because it breaks its limit."""

    feeder: str
    site: str
    by: str
    reason: str
    since: datetime


def trip_requests() -> list[TripRequest]:
    """Return what SCADA is asked to open now: sites locked by the ladder, and operators' trip orders."""
    found = [
        TripRequest(row.feeder, row.site, "compliance ladder", "the site does not keep to its limit", row.since)
        for row in LadderRow.objects.filter(stage="locked").order_by("feeder", "site")
    ]
    orders = OperatorOrder.objects.filter(kind=TRIP, state=OperatorOrder.ACTIVE).order_by("pk")
    return found + [TripRequest(row.feeder, row.site, row.by, row.reason, row.starts) for row in orders]


def evidence(feeder: str, site: str = "", count: int = 50) -> list[EvidenceRow]:
    """Return the newest evidence bundles of a feeder or of one site."""
    rows = EvidenceRow.objects.filter(feeder=feeder)
    return list((rows.filter(site=site) if site else rows)[:count])


def all_evidence(count: int = 200) -> list[EvidenceRow]:
    """Return the newest evidence bundles of all feeders, without their samples."""
    return list(EvidenceRow.objects.defer("facts")[:count])


def evidence_bundle(number: int) -> EvidenceRow | None:
    """Return one bundle."""
    return EvidenceRow.objects.filter(pk=number).first()
