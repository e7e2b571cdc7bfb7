"""What a study's answer says beside its limits, arranged for tables: criteria, regulators, steps, protection, curtailment.

Pure. An answer of an older engine lacks some of it: what is not there is not shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interconnection import charts

SIDES = ("import", "export")
MODES = (
    ("frozen", "Frozen, as the hour settled"), ("edge", "At the edge of their band"), ("free", "Free to move"),
)  # fmt: skip
FIGURES = (
    ("curtailed_kwh", "Withheld, kWh a year"), ("hours", "Hours with something withheld"), ("events", "Events"),
    ("longest_hours", "Longest event, hours"), ("deepest_kw", "Deepest, kW"),
    ("shifted_kwh", "Shifted: charged later, kWh"),
    ("lost_kwh", "Lost: not charged before departure, kWh"), ("departures_missed", "Departures missed"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Regulators:
    """One side's binding hour with the regulators held three ways; kW, None where a way was not studied."""

    side: str
    hour: int
    same: bool
    least: str
    ways: list[tuple[str, str, float | None, str]]


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the site's own power: kW, what it moves, and what is allowed (pu); `passes` None: only told."""

    words: str
    kw: float | None
    pu: float | None
    limit_pu: float | None
    where: str
    passes: bool | None


@dataclass(frozen=True, slots=True)
class Curtailment:
    """What one side's limits withhold from the fleet's need over the load years."""

    side: str
    need_kwh: float
    percent: tuple[float, float]
    rows: list[tuple[str, float, float, float]]
    departures: float | None
    table: list[tuple[str, list[float]]]
    heat_map: str


@dataclass(frozen=True, slots=True)
class Panels:
    """All of it; an empty list where the answer has nothing."""

    criteria: list[dict[str, Any]]
    regulators: list[Regulators]
    mode_hours: list[tuple[str, list[tuple[str, int]]]]
    steps: list[Step]
    ramp_kw_per_s: float | None
    protection: list[dict[str, Any]]
    non_monotone: list[tuple[str, int, int]]
    curtailment: list[Curtailment]
    years: int


def panels(answer: dict[str, Any]) -> Panels:
    """Return what a finished study's answer says beside its limits."""
    held = answer.get("curtailment") or {}
    return Panels(
        criteria=_criteria(answer.get("criteria") or {}),
        regulators=[_regulators(side, found) for side, found in sorted((answer.get("regulator_modes") or {}).items())],
        mode_hours=[
            (side, sorted(rows.items())) for side, rows in sorted((answer.get("regulator_mode_hours") or {}).items())
        ],
        steps=_steps(answer),
        ramp_kw_per_s=answer.get("ramp_limit_kw_per_s"),
        protection=list(answer.get("protection") or []),
        non_monotone=[
            (side, item["hours"], item["first_hour"]) for side, item in sorted((answer.get("non_monotone") or {}).items())
        ],
        curtailment=[_curtailment(side, held[side]) for side in SIDES if side in held],
        years=int(held.get("years", 0)),
    )


def _criteria(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row a criterion and side: those in use first, the nearest to its limit first."""
    rows = [{"side": key.split(" ", 1)[0], "criterion": key.split(" ", 1)[1], **entry} for key, entry in found.items()]
    return sorted(rows, key=lambda row: (row["side"] != "import", not row["in_use"], row["unit"] != "pu", row["margin"]))


def _regulators(side: str, found: dict[str, Any]) -> Regulators:
    ways = []
    for name, words in MODES:
        way = found.get(name)
        binds = f"{way.get('criterion', '')} {way.get('element', '')}".strip() if way else ""
        ways.append((name, words, way["kw"] if way else None, binds))
    return Regulators(side, int(found["hour"]), bool(found["same"]), found.get("least", ""), ways)


def _steps(answer: dict[str, Any]) -> list[Step]:
    """Return what steps of the site's own power do: from nothing to each limit, the full reversal, and the trip."""
    rows = []
    for side, step in sorted((answer.get("largest_step") or {}).items()):
        needed = bool((answer.get("ramp_limit_needed") or {}).get(side))
        rows.append(Step(f"Largest {side} step at once", step["kw"], None, None, f"hour {step['hour']}", not needed))
    swing = answer.get("full_reversal")
    if swing:
        whole = swing["kw"] >= swing["whole_kw"]
        words = f"Largest part of the full reversal of {swing['whole_kw']:,.1f} kW at once"
        rows.append(Step(words, swing["kw"], swing["pu"], None, f"hour {swing['hour']}", whole))
    for side, trip in sorted((answer.get("trip") or {}).items()):
        if trip:
            rows.append(
                Step(f"Trip of the settled site at its {side} limit", trip["kw"], trip["pu"], trip["limit_pu"],
                     f"{trip['node']}, hour {trip['hour']}", trip["passes"])
            )  # fmt: skip
    return rows


def _curtailment(side: str, found: dict[str, Any]) -> Curtailment:
    rows = [
        (words, found[key]["p50"], found[key]["p90"], found[key]["mean"]) for key, words in FIGURES if key in found
    ]  # fmt: skip
    table = found["month_hour_kwh"]
    most = max((value for row in table for value in row), default=0.0)
    cells = [
        charts.Cell(month, hour, most - value, "", 0, 0)
        for month, row in enumerate(table)
        for hour, value in enumerate(row)
    ]
    # The colours of a limit's heat map: deeper where less is there, so deeper where more is withheld.
    picture = charts.heat_map(cells, most, f"{side} energy withheld by month and hour of day", lambda cell: (
        f"{charts.MONTHS[cell.month]} {cell.hour:02d}:00: {most - cell.least_kw:,.1f} kWh a year"
    )) if most > 0 else ""  # fmt: skip
    return Curtailment(
        side=side, need_kwh=found["need_kwh"], percent=(found["percent_p50"], found["percent_p90"]), rows=rows,
        departures=found["departures"]["mean"] if "departures" in found else None,
        table=list(zip(charts.MONTHS, table, strict=True)), heat_map=picture,
    )  # fmt: skip
