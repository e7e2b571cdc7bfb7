"""Which cells of a local 12 × 24 schedule each UTC study hour may fall into. Pure.

A study counts the hours of a year without a leap day in UTC (29 February is held to what its two neighbours found); people
agree on months and hours of day of their own clock.
A signed schedule lives for decades, in which the clocks change on other days each year: a study hour counts for every cell
that it falls into in any of these years. So a cell is never above what the study found in an hour that it may cover, on
either side of a change of clocks.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from derms.errors import InputError

Place = tuple[int, int]
"""Month and hour of day, both from 0."""
YEARS = range(2024, 2052)
"""Whole cycles of weekday and leap year: each day on which a change can fall is among them."""
STUDY_YEAR, LEAP_YEAR, STUDY_HOURS = 2023, 2024, 8760
SECOND = timedelta(seconds=1)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; raises InputError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"no time zone is called {name!r}", where="schedule_zone") from error


@lru_cache(maxsize=8)
def places(name: str) -> tuple[tuple[Place, ...], ...]:
    """Return for each of the 8,760 UTC study hours the cells of the zone's schedule that it may fall into."""
    zone = zone_of(name)
    found: list[tuple[Place, ...]] = []
    for day in range(STUDY_HOURS // 24):
        start = datetime(STUDY_YEAR, 1, 1) + timedelta(days=day)  # noqa: DTZ001  (a day of no particular year)
        days = [start, start.replace(year=LEAP_YEAR)]  # at the end of February local days of the two years part
        if (start.month, start.day) in ((2, 28), (3, 1)):
            days.append(datetime(LEAP_YEAR, 2, 29))  # noqa: DTZ001
        offsets = {
            datetime(year, start.month, start.day, tzinfo=UTC).astimezone(zone).utcoffset() or timedelta()
            for year in YEARS
        } | {
            (datetime(year, start.month, start.day, tzinfo=UTC) + timedelta(days=1)).astimezone(zone).utcoffset()
            or timedelta()
            for year in YEARS
        }  # fmt: skip
        for hour in range(24):
            moments = [one + timedelta(hours=hour) for one in days]
            # A zone of half hours: a UTC hour lies in two of its hours.
            parts = (timedelta(), timedelta(hours=1) - SECOND)
            ends = {moment + offset + part for moment in moments for offset in offsets for part in parts}
            found.append(tuple(sorted({(local.month - 1, local.hour) for local in ends})))
    return tuple(found)
