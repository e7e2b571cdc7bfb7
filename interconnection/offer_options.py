"""What a study lets us offer, side by side, and what an edited offer means in its hours. Pure.

A *static* offer is a promise without a control room: no cell may be above what the study found in any hour of that month
and hour of day. A *dynamic* offer's grid is a ceiling: above the study it only means that the site is limited more often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from derms.errors import InputError
from derms.limits import Limit
from derms.units import kilowatts_to_watts
from interconnection.charts import Cell, cells
from interconnection.local_hours import Place, places

Grid = tuple[tuple[int, ...], ...]
"""Twelve rows of 24 whole watts."""
SIDES = ("import", "export")
STATIC = ("static_12", "static_24", "static_288")
KINDS = ("firm", *STATIC, "dynamic", "volt_var", "upgrade")
MONTHS, HOURS, YEAR_HOURS = 12, 24, 8760
OFFERED = ("firm", *STATIC, "dynamic")
"""What is offered from a study itself; the others are offered from a study of their own."""
TITLES = {
    "firm": "Firm now", "static_12": "Static, a value a month", "static_24": "Static, a value an hour of day",
    "static_288": "Static, month by hour", "dynamic": "Dynamic", "volt_var": "Dynamic with volt-var B",
    "upgrade": "Upgrade",
}  # fmt: skip
CAP_FACTOR = 1.25
STATIC_MARGIN, STEP_W = 0.10, 100
"""A schedule is fixed for years and no control room mends it: a tenth of the study's limit stays in reserve."""


@dataclass(frozen=True)
class Least:
    """The study's least limit of each month and hour of day, both sides, whole watts; None where no hour was studied."""

    by_side: Mapping[str, Mapping[tuple[int, int], int]]
    hours: int

    @property
    def whole(self) -> bool:
        """Say whether every hour of the year was studied: one day of a month says nothing of its other days."""
        return self.hours >= YEAR_HOURS and all(len(found) == MONTHS * HOURS for found in self.by_side.values())

    def grid(self, side: str) -> Grid:
        """Return a side's 12 × 24; raises InputError where the study did not look."""
        found = self.by_side[side]
        if not self.whole:
            raise InputError(
                "the study has not looked at every hour of the year", where="schedule",
                remedy="Study all 8,760 hours for a static schedule.",
            )  # fmt: skip
        return tuple(tuple(found[month, hour] for hour in range(HOURS)) for month in range(MONTHS))


def least_of(answer: Mapping[str, Any], zone: str = "UTC") -> Least:
    """Return the least limits of a study's answer by month and hour of day of a time zone (IANA name)."""
    hourly = answer["hourly"]
    count = len(set(hourly["hour"]))
    if zone != "UTC":
        return Least({side: _least_in(zone, hourly["hour"], hourly[f"{side}_kw"]) for side in SIDES}, count)
    return Least({
        side: {
            (cell.month, cell.hour): kilowatts_to_watts(cell.least_kw, where="study")
            for cell in _cells(hourly, side)
        }
        for side in SIDES
    }, count)  # fmt: skip


def _least_in(zone: str, hours: Sequence[int], values_kw: Sequence[float]) -> dict[Place, int]:
    found: dict[Place, float] = {}
    cells_of = places(zone)
    for hour, kw in zip(hours, values_kw, strict=True):
        for place in cells_of[hour % len(cells_of)]:
            found[place] = min(kw, found.get(place, kw))
    return {place: kilowatts_to_watts(kw, where="study") for place, kw in sorted(found.items())}


def _cells(hourly: Mapping[str, Any], side: str) -> list[Cell]:
    return cells(hourly["hour"], hourly[f"{side}_kw"], hourly[f"{side}_criterion"])


def allowed(answer: Mapping[str, Any], side: str, margin: float = STATIC_MARGIN, zone: str = "UTC") -> Grid:
    """Return the most that a static schedule may say: the study's least less the margin, down to 100 W, but never below
    firm, which is there in every hour. Raises InputError where the study did not look."""
    if not 0.0 <= margin <= 0.5:
        raise InputError(f"a margin of {margin:g} is outside 0..0.5", where="margin")
    firm_w = kilowatts_to_watts(answer[f"firm_{side}_kw"], where="study")
    return tuple(
        tuple(max(firm_w, int(round(watts * (1.0 - margin), 6)) // STEP_W * STEP_W) for watts in row)
        for row in least_of(answer, zone).grid(side)
    )


def static(kind: str, least: Grid) -> Grid:
    """Return a static schedule that the least limits allow: by month (12), by hour of day (24), or both (288)."""
    if kind == "static_12":
        return tuple((min(row),) * HOURS for row in least)
    if kind == "static_24":
        column = tuple(min(row[hour] for row in least) for hour in range(HOURS))
        return (column,) * MONTHS
    return least


@dataclass(frozen=True)
class Option:
    """One way to say yes; watts. `energy`: percent of the request's energy each way; None where it is not known."""

    kind: str
    firm: Limit
    flexible: Limit
    energy: Mapping[str, float | None]
    schedule: Mapping[str, Grid] = field(default_factory=dict)
    usd: int = 0
    months: int = 0
    missing: str = ""
    """Why it cannot be offered yet; "" when it can."""

    @property
    def title(self) -> str:
        """Return its name for people."""
        return TITLES[self.kind]


def options(
    answer: Mapping[str, Any], *, volt_var: Mapping[str, Any] | None = None, ladders: Mapping[str, Any] | None = None,
    margin: float = STATIC_MARGIN, zone: str = "UTC",
) -> list[Option]:  # fmt: skip
    """Return every option of a finished study in a fixed order; schedules in months and hours of `zone`.

    `volt_var`: the answer of the same request with volt-var, if there is one; `ladders`: the priced ladder of each side.
    """
    firm, flexible, least = limit_of(answer, "firm"), limit_of(answer, "flexible"), least_of(answer, zone)
    found = [Option("firm", firm, firm, {side: _flat_energy(answer, side, firm) for side in SIDES})]
    for kind in STATIC:
        if not least.whole:
            found.append(Option(kind, firm, firm, dict.fromkeys(SIDES), missing="needs a study of all 8,760 hours"))
            continue
        grids = {side: static(kind, allowed(answer, side, margin, zone)) for side in SIDES}
        top = Limit(*(max(map(max, grids[side])) for side in SIDES))
        energy = {side: meaning(answer, side, grids[side], zone).energy_percent for side in SIDES}
        found.append(Option(kind, firm, top, energy, grids))
    found.append(Option("dynamic", firm, flexible.cover(firm), _study_energy(answer)))
    if volt_var is None:
        found.append(Option("volt_var", firm, firm, dict.fromkeys(SIDES), missing="needs a study with volt-var B"))
    else:
        better = limit_of(volt_var, "firm")
        found.append(Option("volt_var", better, limit_of(volt_var, "flexible").cover(better), _study_energy(volt_var)))
    found.append(_upgrade(answer, ladders or {}, firm))
    return found


def _upgrade(answer: Mapping[str, Any], ladders: Mapping[str, Any], firm: Limit) -> Option:
    usd = months = 0
    reached = {"import": firm.import_w, "export": firm.export_w}
    for side in SIDES:
        if ladders.get(side):
            rungs = ladders[side]["rungs"]
            usd += sum(rung["usd"] for rung in rungs)
            months = max([months, *(rung["months"] for rung in rungs)])
            reached[side] = kilowatts_to_watts(rungs[-1]["firm_kw"], where="ladder")
        else:
            for item in answer.get("upgrade_avoided", []):
                if item["side"] == side:
                    usd, months = usd + item["usd"], max(months, item["months"])
                    reached[side] = kilowatts_to_watts(answer[f"{side}_kw"], where="study")
    limit = Limit(reached["import"], reached["export"])
    note = "" if usd else "nothing to build: the request is firm"
    energy = {side: _flat_energy(answer, side, limit) for side in SIDES}
    return Option(
        "upgrade", limit, limit, energy, usd=usd, months=months, missing=note or "built first, then offered as firm"
    )


def limit_of(answer: Mapping[str, Any], which: str) -> Limit:
    """Return a study's firm, flexible or failsafe limit in watts."""
    return Limit(*(kilowatts_to_watts(answer[f"{which}_{side}_kw"], where="study") for side in SIDES))


def _flat_energy(answer: Mapping[str, Any], side: str, limit: Limit) -> float | None:
    asked = answer[f"{side}_kw"] * 1000
    return None if not asked else round(min(100.0, 100.0 * getattr(limit, f"{side}_w") / asked), 1)


def _study_energy(answer: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        side: round(100.0 - answer[f"limited_energy_percent_{side}"], 1) if answer[f"{side}_kw"] else None for side in SIDES
    }


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a grid means against the study's hours.

    `energy_percent`: of the request, if the site uses all that the grid and the network allow; `limited_hours` a year in
    which the network gives less than the grid says, and the energy of the grid lost in them; `above`: the cells (month,
    hour) that are above the study's least, with by how many watts the worst.
    """

    energy_percent: float | None
    limited_hours: int
    limited_percent: float
    above: tuple[tuple[int, int], ...]
    worst_w: int


def meaning(answer: Mapping[str, Any], side: str, grid: Grid, zone: str = "UTC") -> Meaning:
    """Return what a side's grid (12 × 24 watts of a zone) means in the hours of a study.

    An hour that may fall into two cells, where clocks change, gives what the lower allows and is limited by the higher.
    """
    hourly, asked_kw = answer["hourly"], answer[f"{side}_kw"]
    limited, given, wanted = 0, 0.0, 0.0
    for (low_kw, high_kw), kw in zip(_spread(hourly["hour"], grid, zone), hourly[f"{side}_kw"], strict=True):
        given += min(low_kw, kw)
        wanted += high_kw
        limited += kw < high_kw - 0.05
    count = max(1, len(hourly["hour"]))
    least = least_of(answer, zone).by_side[side]
    over = {place: grid[place[0]][place[1]] - watts for place, watts in least.items() if grid[place[0]][place[1]] > watts}
    return Meaning(
        round(100.0 * given / (asked_kw * count), 1) if asked_kw else None,
        round(limited * 8760 / count),
        round(100.0 * (1 - given / wanted), 3) if wanted else 0.0,
        tuple(sorted(over)),
        max(over.values(), default=0),
    )


def _spread(hours: Sequence[int], grid: Grid, zone: str) -> Iterator[tuple[float, float]]:
    """Yield for each hour the least and the largest of the cells that it may fall into, kW."""
    cells_of = places(zone)
    for hour in hours:
        found = [grid[month][of_day] / 1000 for month, of_day in cells_of[hour % len(cells_of)]]
        yield min(found), max(found)


def flat(watts: int) -> Grid:
    """Return the same ceiling in every month and hour."""
    return ((watts,) * HOURS,) * MONTHS


def parse_grid(text: str, side: str) -> Grid:
    """Return the grid that 12 lines of 24 numbers say, in kW: tabs, commas or spaces between them, as a spreadsheet pastes.

    Raises InputError that names line and column.
    """
    lines = [line for line in text.replace("\r", "").split("\n") if line.strip()]
    if len(lines) != MONTHS:
        raise InputError(f"{len(lines)} lines are not 12 months", where=f"schedule_{side}", remedy="One line a month.")
    rows = []
    for month, line in enumerate(lines):
        parts = line.replace(";", "\t").replace(",", "\t").split()
        if len(parts) != HOURS:
            raise InputError(
                f"line {month + 1} has {len(parts)} numbers, not 24", where=f"schedule_{side}",
                remedy="One number an hour of day, without thousands' commas.",
            )  # fmt: skip
        rows.append(tuple(_watts(part, side, month, hour) for hour, part in enumerate(parts)))
    return tuple(rows)


def _watts(part: str, side: str, month: int, hour: int) -> int:
    where = f"schedule_{side}.{month}.{hour}"
    try:
        value = float(part)
    except ValueError as error:
        raise InputError(f"{part[:20]!r} is no number of kW", where=where) from error
    return kilowatts_to_watts(value, where=where)


def grid_text(grid: Grid) -> str:
    """Return a grid as `parse_grid` reads it, kilowatts rounded down to 0.1."""
    return "\n".join("\t".join(f"{watts // 100 / 10:g}" for watts in row) for row in grid)


def check_static(
    kind: str, answer: Mapping[str, Any], grids: Mapping[str, Grid], margin: float = STATIC_MARGIN, zone: str = "UTC"
) -> None:
    """Raise InputError when a static schedule promises more than the study's limit less the margin in some cell."""
    if kind not in STATIC:
        return
    for side in SIDES:
        most = allowed(answer, side, margin, zone)
        over = {
            (month, hour): grids[side][month][hour] - most[month][hour]
            for month in range(MONTHS) for hour in range(HOURS) if grids[side][month][hour] > most[month][hour]
        }  # fmt: skip
        if over:
            month, hour = min(over)
            raise InputError(
                f"{side}: {len(over)} cells are above the study's limit less {margin:.0%}, the worst by "
                f"{max(over.values()) / 1000:,.1f} kW",
                where=f"schedule.{month}.{hour}",
                remedy=f"At most {most[month][hour] / 1000:g} kW there, or make the offer dynamic.",
            )
