"""What a study answers: limits hour by hour, what binds, what the feeder breaks without the site; slices put together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from derms.errors import NotConverged
from derms.grid.existing import ExistingSite
from derms.grid.notes import merged
from derms.grid.study_request import ENGINES, StudyRequest, inputs_sha256
from derms.limits import Limit


@dataclass(frozen=True, slots=True)
class HourLimit:
    """One hour: limit in watts each way, and what stops it ("" when the request fits)."""

    hour: int
    import_w: int
    export_w: int
    import_criterion: str
    import_element: str
    export_criterion: str
    export_element: str
    head_w: int


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Limits of all hours in order, what the feeder breaks without the site, and what the study had to say."""

    request: StudyRequest
    hours: tuple[HourLimit, ...]
    violations: dict[str, dict[str, Any]]
    findings: tuple[str, ...]
    inputs_sha256: str
    engine: str
    steps: dict[str, list[int]] = field(default_factory=dict)
    """Each way [watts, hour]: the largest step of power that changes the site's voltage within the criterion, least
    hour."""
    notes: dict[str, Any] = field(default_factory=dict)
    """See `notes.Notes`."""
    closing: dict[str, Any] = field(default_factory=dict)
    """See `closing.closing`: what is looked at once, at the hours that bind."""

    @property
    def firm(self) -> Limit:
        """Return what is there in every hour."""
        return Limit(min(hour.import_w for hour in self.hours), min(hour.export_w for hour in self.hours))

    @property
    def flexible(self) -> Limit:
        """Return the most that any hour gives, up to what was asked for."""
        return Limit(max(hour.import_w for hour in self.hours), max(hour.export_w for hour in self.hours))

    def worst_hours(self) -> dict[str, list[int]]:
        """Return for each side that is asked for [hour, watts] of its least limit."""
        found = {}
        for side in ("import", "export"):
            if getattr(self.request, f"{side}_w"):
                watts, hour = min((getattr(hour, f"{side}_w"), hour.hour) for hour in self.hours)
                found[side] = [hour, watts]
        return found

    def limited_hours(self, side: str) -> int:
        """Return in how many hours ("import" or "export") less than the request is there."""
        asked = getattr(self.request, f"{side}_w")
        return sum(1 for hour in self.hours if getattr(hour, f"{side}_w") < asked)

    def limited_energy_percent(self, side: str) -> float:
        """Return the energy lost by a site that would use its request all the time, percent."""
        asked = getattr(self.request, f"{side}_w")
        if asked == 0:
            return 0.0
        got = sum(getattr(hour, f"{side}_w") for hour in self.hours)
        return 100.0 * (1.0 - got / (asked * len(self.hours)))

    def binding(self, side: str) -> dict[str, Any]:
        """Return what makes the firm limit of a side: criterion, element and hour."""
        worst = min(self.hours, key=lambda hour: (getattr(hour, f"{side}_w"), hour.hour))
        return {
            "criterion": getattr(worst, f"{side}_criterion"),
            "element": getattr(worst, f"{side}_element"),
            "hour": worst.hour,
        }

    def summary(self) -> dict[str, Any]:
        """Return the answer in kilowatts, rounded down to 0.1 kW, as plain data."""
        return {
            "firm_import_kw": self.firm.import_w // 100 / 10,
            "firm_export_kw": self.firm.export_w // 100 / 10,
            "flexible_import_kw": self.flexible.import_w // 100 / 10,
            "flexible_export_kw": self.flexible.export_w // 100 / 10,
            "failsafe_import_kw": self.firm.import_w // 100 / 10,
            "failsafe_export_kw": self.firm.export_w // 100 / 10,
            "limited_hours_import": self.limited_hours("import"),
            "limited_hours_export": self.limited_hours("export"),
            "limited_energy_percent_import": round(self.limited_energy_percent("import"), 3),
            "limited_energy_percent_export": round(self.limited_energy_percent("export"), 3),
            "binding_import": self.binding("import"),
            "binding_export": self.binding("export"),
            "binding_hours": {side: self.binding_hours(side) for side in ("import", "export")},
            "largest_step": {
                side: {"kw": step[0] // 100 / 10, "hour": step[1]} for side, step in sorted(self.steps.items())
            },
            "ramp_limit_needed": {
                side: step[0] < getattr(self.flexible, f"{side}_w") for side, step in sorted(self.steps.items())
            },
            "full_reversal": self._reversal(),
            "ramp_limit_kw_per_s": self.ramp_limit_kw(),
            "criteria": self.notes.get("criteria", {}),
            "non_monotone": self.notes.get("holes", {}),
            "regulators": self.request.regulators,
            "regulator_mode_hours": self.notes.get("modes", {}),
            **self._existing(),
            **self.closing,
            "hours": len(self.hours),
            "inputs_sha256": self.inputs_sha256,
            "engine": self.engine,
        }

    def ramp_limit_kw(self) -> float | None:
        """Return the largest step at once, kW, where some step within the limits breaks the rapid-change criterion; else
        None. The change counts over one second: so many kW a second."""
        broken = [step[0] for side, step in self.steps.items() if step[0] < getattr(self.flexible, f"{side}_w")]
        swing = self.notes.get("reversal")
        if swing and swing["step_w"] < swing["whole_w"]:
            broken.append(swing["step_w"])
        return min(broken) // 100 / 10 if broken else None

    def _existing(self) -> dict[str, Any]:
        sites = self.request.existing
        if not sites:
            return {}
        return {
            "existing": [site.to_dict() for site in sites],
            "existing_kw": {
                side: sum(getattr(site, f"{side}_w") for site in sites) / 1000 for side in ("import", "export")
            },
            "existing_case_hours": self.notes.get("cases", {}),
        }

    def _reversal(self) -> dict[str, Any] | None:
        swing = self.notes.get("reversal")
        if not swing:
            return None
        return {
            "kw": swing["step_w"] // 100 / 10, "whole_kw": swing["whole_w"] // 100 / 10, "hour": swing["hour"],
            "pu": swing["pu"],
        }  # fmt: skip

    def binding_hours(self, side: str) -> dict[str, int]:
        """Return how many hours each "criterion element" binds, most first."""
        count: dict[str, int] = {}
        for hour in self.hours:
            criterion = getattr(hour, f"{side}_criterion")
            if criterion:
                key = f"{criterion} {getattr(hour, f'{side}_element')}"
                count[key] = count.get(key, 0) + 1
        return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))

    def to_json(self) -> bytes:
        """Return the canonical bytes of the whole result: the same inputs give the same bytes."""
        document = {
            "request": self.request.to_dict(),
            "summary": self.summary(),
            "hourly": self.hourly(),
            "violations": self.violations,
            "findings": list(self.findings),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    def hourly(self) -> dict[str, list[Any]]:
        """Return one value an hour: limits in kW (rounded down to 0.1) and what binds."""
        return {
            "hour": [hour.hour for hour in self.hours],
            "import_kw": [hour.import_w // 100 / 10 for hour in self.hours],
            "export_kw": [hour.export_w // 100 / 10 for hour in self.hours],
            "import_criterion": [hour.import_criterion for hour in self.hours],
            "import_element": [hour.import_element for hour in self.hours],
            "export_criterion": [hour.export_criterion for hour in self.hours],
            "export_element": [hour.export_element for hour in self.hours],
            "head_kw": [hour.head_w // 100 / 10 for hour in self.hours],
        }


@dataclass(frozen=True, slots=True)
class Slice:
    """Some hours of a study, as one worker returns them."""

    hours: tuple[HourLimit, ...]
    violations: dict[str, dict[str, Any]]
    steps: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that survives JSON."""
        return {"hours": [list(asdict(hour).values()) for hour in self.hours], "violations": self.violations,
                "steps": self.steps, "notes": self.notes}  # fmt: skip

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Slice:
        """Rebuild a slice from JSON."""
        return cls(
            tuple(HourLimit(*row) for row in raw["hours"]), raw["violations"], raw.get("steps", {}), raw.get("notes", {})
        )


def note_violations(ledger: dict[str, dict[str, Any]], broken: Iterable[tuple[str, str, float]], hour: int) -> None:
    """Enter what an hour's base state breaks (criterion, element, value in pu) into the ledger."""
    for criterion, element, value in broken:
        key = f"{criterion} {element}"
        entry = ledger.setdefault(key, {"hours": 0, "worst_pu": round(value, 5), "worst_hour": hour})
        entry["hours"] += 1
        sign = -1.0 if criterion == "undervoltage" else 1.0
        if (sign * round(value, 5), -hour) > (sign * entry["worst_pu"], -entry["worst_hour"]):
            entry["worst_pu"], entry["worst_hour"] = round(value, 5), hour


def merge(
    request: StudyRequest, parts: Iterable[Slice], *, findings: Iterable[str] = (), model_sha256: str = ""
) -> StudyResult:
    """Put slices together; raises NotConverged when an hour of the request is missing."""
    hours: list[HourLimit] = []
    ledger: dict[str, dict[str, Any]] = {}
    steps: dict[str, list[int]] = {}
    parts = list(parts)
    for part in parts:
        hours += part.hours
        for side, step in part.steps.items():
            steps[side] = min(steps.get(side, list(step)), list(step))
        for key, entry in part.violations.items():
            _merge_entry(ledger, key, entry)
    hours.sort(key=lambda item: item.hour)
    if tuple(item.hour for item in hours) != request.hours:
        raise NotConverged(
            f"{len(request.hours) - len(hours)} hours of the study are missing",
            where="merge",
            remedy="It was cancelled, or a worker was lost: run it again.",
        )
    return StudyResult(
        request,
        tuple(hours),
        dict(sorted(ledger.items())),
        (*findings, *crowd(request.existing)),
        inputs_sha256(model_sha256, request),
        ENGINES[request.engine],
        steps,
        merged(part.notes for part in parts),
    )


def crowd(existing: Sequence[ExistingSite]) -> list[str]:
    """Say which sites that are there already count, and which are ahead and do not count yet; by name, for the utility."""
    counted = [site for site in existing if site.basis != "request"]
    waiting = [site.name for site in existing if site.basis == "request"]
    found = []
    if counted:
        kw = [sum(getattr(site, side) for site in counted) / 1000 for side in ("import_w", "export_w")]
        bases = ", ".join(
            f"{sum(site.basis == basis for site in counted)} by {basis}"
            for basis in dict.fromkeys(site.basis for site in counted)
        )
        found.append(
            f"{len(counted)} sites that are there already or ahead count at rest and at their firm limits, together "
            f"{kw[0]:g} kW import and {kw[1]:g} kW export ({bases}); the flexible parts above that are shared by rule"
        )
    if waiting:
        found.append(f"{len(waiting)} ahead are not studied yet and count for nothing: {', '.join(waiting[:10])}")
    return found


def _merge_entry(ledger: dict[str, dict[str, Any]], key: str, entry: dict[str, Any]) -> None:
    known = ledger.get(key)
    if known is None:
        ledger[key] = dict(entry)
        return
    known["hours"] += entry["hours"]
    sign = -1.0 if key.startswith("undervoltage ") else 1.0
    if (sign * entry["worst_pu"], -entry["worst_hour"]) > (sign * known["worst_pu"], -known["worst_hour"]):
        known["worst_pu"], known["worst_hour"] = entry["worst_pu"], entry["worst_hour"]
