"""Curtailment of a fleet's need over load years: how much, when, shifted or lost, departures missed; P50 and P90.

**Load years.** The study knows the hour's limits for the feeder's own year at three load scales. A load year is made of
blocks of `BLOCK_DAYS` days; each block takes its days from the same weekdays up to two weeks earlier or later (season and
weekday stay, weather changes), at a load scale of year times block, both normal around 1 (`year_sigma`, `block_sigma`),
rounded to the nearest scale studied: every limit of every year is an exact power flow's. (Limits between scales are not
interpolated: taps settle elsewhere, and export at the shipped IEEE 123 is then wrong by up to 800 kW.) The generator is
numpy's PCG64 with the request's seed: the same seed gives the same years. Spreads are illustrative defaults: a utility
puts in its own.

**The fleet.** A week of needs, watts by weekday and hour, import and export. What a limit withholds from charging waits
and is charged as soon as limit and connection leave room (*shifted*), until the next departure; what is still waiting
then is *lost*, and the departure is *missed*. Export that a limit withholds is lost at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.errors import InputError
from derms.units import finite, watts

FloatArray = NDArray[np.float64]

HOURS, DAYS = 8760, 365
SCALES = (0.94, 1.0, 1.06)
"""With the default spreads a scale rounded to these has a standard deviation of 3.8 %, against 3.6 % unrounded."""
BLOCK_DAYS = 3
SHIFT_WEEKS = 2
MISSED_PART = 0.01
"""A departure is missed when more than this part of what was asked for since the last one has not been charged."""
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Need:
    """A fleet's week and how its years are made.

    `import_w`, `export_w`: 7 x 24 watts, Monday first (export may be empty); `departures`: [weekday 0..6, hour 0..23], at
    whose beginning the vehicles leave (empty: the end of each stretch of need); `years`; `seed`; `first_weekday`: of the
    study year's first day; `year_sigma`, `block_sigma`: spread of the load scale.
    """

    import_w: tuple[tuple[int, ...], ...]
    export_w: tuple[tuple[int, ...], ...] = ()
    departures: tuple[tuple[int, int], ...] = ()
    years: int = 30
    seed: int = 1
    first_weekday: int = 0
    year_sigma: float = 0.02
    block_sigma: float = 0.03

    def __post_init__(self) -> None:
        for name in ("import_w", "export_w"):
            table = tuple(tuple(watts(value, where=f"need.{name}") for value in day) for day in getattr(self, name))
            if table and (len(table) != 7 or any(len(day) != 24 for day in table)):
                raise InputError("a week is 7 days of 24 hours", where=f"need.{name}", remedy="Monday first, hour 0 first.")
            object.__setattr__(self, name, table)
        if not any(map(any, self.import_w)) and not any(map(any, self.export_w)):
            raise InputError("the fleet needs nothing", where="need", remedy="Give watts by weekday and hour.")
        object.__setattr__(self, "departures", tuple(sorted({(int(day), int(hour)) for day, hour in self.departures})))
        if any(not (0 <= day < 7 and 0 <= hour < 24) for day, hour in self.departures):
            raise InputError("a departure is a weekday 0..6 and an hour 0..23", where="need.departures")
        if not 2 <= self.years <= 200:
            raise InputError(f"{self.years} load years are outside 2..200", where="need.years")
        if not 0 <= self.first_weekday < 7:
            raise InputError("a weekday is 0 (Monday) to 6", where="need.first_weekday")
        for name in ("year_sigma", "block_sigma"):
            if not 0.0 <= finite(getattr(self, name), where=f"need.{name}") <= 0.1:
                raise InputError("a spread of load is 0..0.1", where=f"need.{name}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Need:
        """Rebuild a need from JSON."""
        return cls(**raw)


def curtailment(need: Need, limits_w: Mapping[float, FloatArray], nameplate_w: tuple[int, int]) -> dict[str, Any]:
    """Return curtailment over the load years.

    `limits_w`: for each of `SCALES` the limits (8760, 2) in watts, import first, hours in order; `nameplate_w`: what the
    connection carries at most, each way. Raises InputError for another number of hours.

    Result: `years`, `seed`, `method`; for `import` and `export` that are needed: `need_kwh` a year, `p50`, `p90` and
    `mean` of `curtailed_kwh`, `percent` of the need, `hours`, `events` (stretches of curtailed hours), `longest_hours`,
    `deepest_kw`, for import also `shifted_kwh`, `lost_kwh`, `departures`, `departures_missed`; `month_hour_kwh`: 12 x 24,
    mean a year. P90 is the value that nine years in ten do not exceed.
    """
    for scale in SCALES:
        if scale not in limits_w or limits_w[scale].shape != (HOURS, 2):
            raise InputError(
                "curtailment wants the limits of 8,760 hours", where="hours", remedy="Study all hours of a year."
            )
    generator = np.random.Generator(np.random.PCG64(need.seed))
    week = _year_of(need.import_w, need.first_weekday), _year_of(need.export_w, need.first_weekday)
    leaves = _departures(need)
    rows: dict[str, list[dict[str, float]]] = {"import": [], "export": []}
    tables = {"import": np.zeros((12, 24)), "export": np.zeros((12, 24))}
    for _ in range(need.years):
        limits = _load_year(need, limits_w, generator)
        for place, side in enumerate(("import", "export")):
            asked = np.minimum(week[place], float(nameplate_w[place]))
            if not asked.any():
                continue
            held = np.maximum(asked - limits[:, place], 0.0)
            row = _counted(held)
            if side == "import":
                row |= _charged(asked, np.minimum(limits[:, place], float(nameplate_w[place])), leaves)
            rows[side].append(row)
            np.add.at(tables[side], (_MONTH, np.arange(HOURS) % 24), held / 1000.0 / need.years)
    answer: dict[str, Any] = {"years": need.years, "seed": need.seed, "method": METHOD, "scales": list(SCALES)}
    for place, side in enumerate(("import", "export")):
        if rows[side]:
            asked_kwh = float(np.minimum(week[place], float(nameplate_w[place])).sum()) / 1000.0
            answer[side] = _percentiles(rows[side], asked_kwh) | {"month_hour_kwh": np.round(tables[side], 3).tolist()}
    return answer


METHOD = (
    f"blocks of {BLOCK_DAYS} days from the same weekdays within {SHIFT_WEEKS} weeks; load scale of year times block, normal"
    " around 1, rounded to the nearest scale studied; PCG64"
)
_MONTH = np.repeat(np.arange(12), np.array(MONTH_DAYS) * 24)


def _year_of(table: Sequence[Sequence[int]], first_weekday: int) -> FloatArray:
    """Return a weekly table over the year's hours."""
    if not table:
        return np.zeros(HOURS)
    days = np.array(table, dtype=np.float64)
    return days[(np.arange(DAYS) + first_weekday) % 7].reshape(-1)


def _departures(need: Need) -> NDArray[np.bool_]:
    """Return at the beginning of which hours of the year vehicles leave."""
    if need.departures:
        week = np.zeros((7, 24), dtype=bool)
        for day, hour in need.departures:
            week[day, hour] = True
    else:
        wants = np.array(need.import_w or [[0] * 24] * 7).reshape(-1) > 0
        week = (~wants & np.roll(wants, 1)).reshape(7, 24)
    return week[(np.arange(DAYS) + need.first_weekday) % 7].reshape(-1)


def _load_year(need: Need, limits_w: Mapping[float, FloatArray], generator: np.random.Generator) -> FloatArray:
    """Return one load year's limits, (8760, 2)."""
    year = generator.normal(1.0, need.year_sigma)
    hours = np.empty(HOURS, dtype=np.int64)
    scale = np.empty(HOURS)
    for first in range(0, DAYS, BLOCK_DAYS):
        days = np.arange(first, min(first + BLOCK_DAYS, DAYS))
        shift = 7 * int(generator.integers(-SHIFT_WEEKS, SHIFT_WEEKS + 1))
        # Beyond the year's ends the block stays where it is: the last days have no fortnight after them.
        source = days + shift if 0 <= days[0] + shift and days[-1] + shift < DAYS else days
        at = slice(days[0] * 24, (days[-1] + 1) * 24)
        hours[at] = (source[:, None] * 24 + np.arange(24)).reshape(-1)
        scale[at] = year * generator.normal(1.0, need.block_sigma)
    nearest = np.abs(scale[:, None] - np.array(SCALES)).argmin(axis=1)
    found: FloatArray = np.stack([limits_w[item] for item in SCALES])[nearest, hours]
    return found


def _counted(held: FloatArray) -> dict[str, float]:
    """Return energy, hours, events, longest event and depth of what was withheld."""
    on = held > 1.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    lengths = edges[1::2] - edges[0::2]
    return {
        "curtailed_kwh": float(held.sum()) / 1000.0, "hours": float(on.sum()), "events": float(len(lengths)),
        "longest_hours": float(lengths.max(initial=0)), "deepest_kw": float(held.max(initial=0.0)) / 1000.0,
    }  # fmt: skip


def _charged(asked: FloatArray, limit: FloatArray, leaves: NDArray[np.bool_]) -> dict[str, float]:
    """Return what waited and was charged later, what was lost, and how many departures were missed, over a year."""
    waiting = since = shifted = lost = 0.0
    missed = departures = 0
    for want, room, leave in zip(asked.tolist(), limit.tolist(), leaves.tolist(), strict=True):
        if leave:
            if since > 0.0:
                departures += 1
                missed += waiting > MISSED_PART * since
            lost += waiting
            waiting = since = 0.0
        since += want
        now = min(want, room)
        later = min(waiting, max(room - now, 0.0))
        waiting += want - now - later
        shifted += later
    return {
        "shifted_kwh": shifted / 1000.0, "lost_kwh": (lost + waiting) / 1000.0, "departures": float(departures),
        "departures_missed": float(missed),
    }  # fmt: skip


def _percentiles(rows: Sequence[Mapping[str, float]], asked_kwh: float) -> dict[str, Any]:
    """Return P50, P90 and mean of every figure; ranks, not interpolated: a year that was drawn."""
    answer: dict[str, Any] = {"need_kwh": round(asked_kwh, 1)}
    for name in rows[0]:
        values = np.sort([row[name] for row in rows])
        place = [int(np.ceil(share * len(values))) - 1 for share in (0.5, 0.9)]
        answer[name] = {
            "p50": round(float(values[place[0]]), 2), "p90": round(float(values[place[1]]), 2),
            "mean": round(float(values.mean()), 2),
        }  # fmt: skip
    for key in ("p50", "p90"):
        answer[f"percent_{key}"] = round(100.0 * answer["curtailed_kwh"][key] / max(asked_kwh, 1e-9), 3)
    return answer
