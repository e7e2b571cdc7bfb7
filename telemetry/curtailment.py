"""The curtailment ledger: what limits withheld from a site, day by day, from the grants that went out. Pure.

At each moment the site may use the newest grant that it took and whose lease still runs, else its failsafe limit. What
that leaves below the flexible limit of the agreement was withheld. It is an upper bound on what the fleet missed:
whether it wanted the energy, only its meter knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from derms.limits import Limit

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Lent:
    """A limit that a site took: from when, for how long (s)."""

    at: datetime
    ttl_s: float
    limit: Limit


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day: hours in which something was withheld, hours covered, and the energy (Wh) each way."""

    day: date
    hours: float
    limited_hours: float
    import_wh: float
    export_wh: float


def pieces(
    lent: Iterable[Lent], failsafe: Limit, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, Limit]]:
    """Yield what was allowed from `start` to `end` without a gap; `lent` rises in time. A newer grant ends the older."""
    now, held = start, failsafe
    runs_out = start
    for grant in lent:
        if grant.at >= end:
            break
        moment = max(grant.at, start)
        yield from _until(now, moment, held, runs_out, failsafe)
        now, held, runs_out = max(now, moment), grant.limit, grant.at + timedelta(seconds=grant.ttl_s)
    yield from _until(now, end, held, runs_out, failsafe)


def _until(
    now: datetime, then: datetime, held: Limit, runs_out: datetime, failsafe: Limit
) -> Iterator[tuple[datetime, datetime, Limit]]:
    turn = min(max(now, runs_out), then)
    if now < turn:
        yield now, turn, held
    if turn < then:
        yield turn, then, failsafe


def ledger(lent: Iterable[Lent], failsafe: Limit, flexible: Limit, start: datetime, end: datetime) -> list[Day]:
    """Return a row for each UTC day that `start`..`end` touches."""
    found: dict[date, list[float]] = {}
    for begin, finish, limit in pieces(lent, failsafe, start, end):
        for day, seconds in _days(begin, finish):
            row = found.setdefault(day, [0.0, 0.0, 0.0, 0.0])
            hours = seconds / HOUR_S
            lost_import = max(0, flexible.import_w - limit.import_w)
            lost_export = max(0, flexible.export_w - limit.export_w)
            row[0] += hours
            row[1] += hours if lost_import or lost_export else 0.0
            row[2] += lost_import * hours
            row[3] += lost_export * hours
    return [Day(day, *numbers) for day, numbers in sorted(found.items())]


def _days(begin: datetime, finish: datetime) -> Iterator[tuple[date, float]]:
    while begin < finish:
        midnight = datetime.combine(begin.date(), datetime.min.time(), UTC) + timedelta(days=1)
        turn = min(finish, midnight)
        yield begin.date(), (turn - begin).total_seconds()
        begin = turn
