"""Deadlines in business or calendar days, with pauses. Pure: the day, the holidays and the pauses are arguments."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from interconnection.rule_packs import Calendar

SATURDAY = 5
LONGEST = 3660
"""Ten years: a clock that has not ended by then is wrong."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A clock on a day: `due` (None while paused before the end), days counted so far, days left, whether it is late."""

    due: date | None
    used: int
    left: int
    paused: bool
    late: bool


Pause = tuple[date, date | None]
"""From a day to a day: the days after the first, up to the last, do not count; None: still paused."""


def counts(day: date, holidays: Container[date], kind: str) -> bool:
    """Say whether a day counts: any calendar day, or a business day that is no holiday."""
    return kind == "calendar" or (day.weekday() < SATURDAY and day not in holidays)


def standing(
    started: date, days: int, pauses: Sequence[Pause], holidays: Container[date], *, kind: str = "business", today: date
) -> Standing:
    """Return how a clock stands: the day on which it started does not count, the last of `days` counted ones is due."""
    used = passed = 0
    due: date | None = None
    day = started
    while due is None and (day - started).days < LONGEST:
        day += timedelta(days=1)
        if any(began < day and ended is None for began, ended in pauses):
            break
        if any(began < day <= ended for began, ended in pauses if ended is not None):
            continue
        if counts(day, holidays, kind):
            used += 1
            passed += day <= today
            if used == days:
                due = day
    paused = any(began <= today and (ended is None or today < ended) for began, ended in pauses)
    return Standing(due, passed, days - passed, paused, due is not None and today > due)


def holidays_of(calendar: Calendar) -> Container[date]:
    """Return a calendar's holidays as something that a date may be in: the country's, added ones, without some."""
    return _Days(
        _public(calendar.country, calendar.subdivision),
        frozenset(date.fromisoformat(day) for day in calendar.extra),
        frozenset(date.fromisoformat(day) for day in calendar.without),
    )


@lru_cache(maxsize=16)
def _public(country: str, subdivision: str) -> Container[date]:
    """Return a country's holidays; the library works a year out when it is first asked for, and keeps it."""
    import holidays

    return holidays.country_holidays(country, subdiv=subdivision or None)


@dataclass(frozen=True, slots=True)
class _Days:
    public: Container[date]
    added: frozenset[date]
    without: frozenset[date]

    def __contains__(self, day: object) -> bool:
        return day in self.added or (day not in self.without and day in self.public)  # type: ignore[operator]
