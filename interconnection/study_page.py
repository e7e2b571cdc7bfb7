"""A study's answer arranged for people: one object a side, with its pictures and the cells of its tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from derms.grid.existing import ExistingSite
from derms.grid.study_result import crowd
from interconnection import charts

MOST_BARS = 8


@dataclass(frozen=True)
class Side:
    """Import or export of one study; kW."""

    name: str
    asked: float
    firm: float
    flexible: float
    limited_hours: int
    limited_percent: float
    binding: dict[str, Any]
    upgrade: dict[str, Any] | None
    grid: list[charts.Cell]
    values: list[float]
    attribution: list[tuple[str, int]]

    @property
    def track(self) -> str:
        """Return what the tariff calls this side."""
        return "Service (import)" if self.name == "import" else "Interconnection (export)"

    @property
    def months(self) -> list[tuple[str, list[charts.Cell | None]]]:
        """Return the table twin of the heat map."""
        return charts.rows(self.grid)

    @property
    def heat_map(self) -> str:
        """Return the 12 × 24 picture."""
        return charts.heat_map(
            self.grid, self.asked, f"{self.name} limit by month and hour of day, of {self.asked:g} kW asked"
        )

    @property
    def duration(self) -> str:
        """Return the limit duration curve."""
        return charts.duration_curve(self.values, self.asked, f"{self.name} limit duration curve", self.firm)

    @property
    def curtailment(self) -> str:
        """Return the curtailment duration curve, "" where nothing is curtailed."""
        return charts.curtailment_curve(self.values, self.asked, f"{self.name} curtailment duration curve")

    @property
    def bars(self) -> str:
        """Return what binds, in hours, as bars."""
        shown = [(name, float(hours), f"{hours:,} h") for name, hours in self.attribution[:MOST_BARS]]
        return charts.bars(shown, f"hours in which each element binds the {self.name}")

    @property
    def quantiles(self) -> list[tuple[str, float]]:
        """Return the limit that is there in so many of the hours: the table twin of the duration curve."""
        ordered = sorted(self.values)
        most = len(ordered) - 1
        shares = (("all", 0.0), ("99 %", 0.01), ("95 %", 0.05), ("90 %", 0.1), ("75 %", 0.25), ("half", 0.5))
        return [(name, ordered[int(share * most)]) for name, share in shares]


def sides(answer: dict[str, Any]) -> list[Side]:
    """Return import and export of a finished study, without a side that nobody asked for."""
    hourly, found = answer["hourly"], []
    upgrades = {item["side"]: item for item in answer.get("upgrade_avoided", [])}
    for side in ("import", "export"):
        if not answer[f"{side}_kw"]:
            continue
        found.append(
            Side(
                name=side,
                asked=answer[f"{side}_kw"],
                firm=answer[f"firm_{side}_kw"],
                flexible=answer[f"flexible_{side}_kw"],
                limited_hours=answer[f"limited_hours_{side}"],
                limited_percent=answer[f"limited_energy_percent_{side}"],
                binding=answer[f"binding_{side}"],
                upgrade=upgrades.get(side),
                grid=charts.cells(hourly["hour"], hourly[f"{side}_kw"], hourly[f"{side}_criterion"]),
                values=hourly[f"{side}_kw"],
                attribution=list(answer["binding_hours"][side].items()),
            )
        )
    return found


def without_others(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's answer as its applicant may read it: how many others counted, not who, where or how much."""
    others = [ExistingSite.from_dict(site) for site in answer.get("existing", ())]
    if not others:
        return dict(answer)
    named = set(crowd(others))
    kept = [line for line in answer["findings"] if line not in named and not any(site.name in line for site in others)]
    counted = sum(site.basis != "request" for site in others)
    told = f"{counted} other sites that are there already or ahead count at rest and at their firm limits"
    left_out = ("existing", "existing_kw")
    return {**{key: value for key, value in answer.items() if key not in left_out}, "findings": [*kept, told]}


COMPARED = (
    ("firm_import_kw", "Firm import, kW"),
    ("flexible_import_kw", "Flexible import, kW"),
    ("limited_hours_import", "Import limited, hours"),
    ("limited_energy_percent_import", "Import energy curtailed, %"),
    ("firm_export_kw", "Firm export, kW"),
    ("flexible_export_kw", "Flexible export, kW"),
    ("limited_hours_export", "Export limited, hours"),
    ("limited_energy_percent_export", "Export energy curtailed, %"),
)
INPUTS = ("feeder", "model_sha256", "bus", "phases", "import_kw", "export_kw", "hours", "rule", "engine")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a comparison; `change` is None where the two are no numbers."""

    name: str
    one: Any
    two: Any
    change: float | None


def modes(asked: Mapping[str, Any]) -> str:
    """Return in words how a study's request takes the inverter and the regulators."""
    inverter, factor = asked.get("inverter", "unity"), asked.get("power_factor", 1.0)
    words = [f"power factor {factor:g}" if factor != 1.0 else inverter.replace("_", " ")]
    if asked.get("volt_watt"):
        words.append("volt-watt")
    return ", ".join([*words, f"regulators {asked.get('regulators', 'frozen')}"])


def compare(one: dict[str, Any], two: dict[str, Any], requests: Sequence[dict[str, Any]]) -> tuple[list[Row], list[Row]]:
    """Return which inputs differ and how each figure of the answer moves from the first study to the second."""
    inputs = [Row(name.replace("_", " "), one[name], two[name], None) for name in INPUTS if one[name] != two[name]]
    for name in ("inverter", "power_factor", "volt_watt", "regulators"):
        if requests[0].get(name) != requests[1].get(name):
            inputs.append(Row(name.replace("_", " "), requests[0].get(name), requests[1].get(name), None))
    first, second = requests[0].get("criteria", {}), requests[1].get("criteria", {})
    for key in sorted(set(first) | set(second)):
        if first.get(key) != second.get(key) and key != "rule":
            inputs.append(Row(f"criterion {key}", first.get(key), second.get(key), None))
    figures = [Row(words, one[key], two[key], round(two[key] - one[key], 3)) for key, words in COMPARED]
    for side in ("import", "export"):
        figures.append(Row(f"Binds the {side}", _bound(one, side), _bound(two, side), None))
    return inputs, figures


def _bound(answer: dict[str, Any], side: str) -> str:
    item = answer[f"binding_{side}"]
    return f"{item['criterion'] or 'nothing'} {item['element']}".strip()


def telling_hours(hourly: dict[str, Any], available: int, count: int = 240, lowest: int = 24) -> tuple[int, ...]:
    """Return the hours in which a question is put: `count` spread over the year and each side's `lowest` of the study.

    With the study's own worst hours among them, an unchanged question finds the study's own firm limit.
    """
    found = {index * available // count for index in range(min(count, available))}
    for side in ("import", "export"):
        ranked = sorted(zip(hourly[f"{side}_kw"], hourly["hour"], strict=True))
        found |= {hour for _, hour in ranked[:lowest]}
    return tuple(sorted(found))
