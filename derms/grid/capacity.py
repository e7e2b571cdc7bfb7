"""Hosting capacity hour by hour: the largest import and export of one site that keep every criterion.

For each hour: a base state with controls settled as OpenDSS settles them, then taps and capacitors held, and the
furthest power in each direction: by the fast engine on arrays (`site_year`), or by `search.furthest` in OpenDSS itself
(`engine="opendss"`), which is the reference. Firm is the least over all hours; flexible is the surface.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.errors import InputError, NotConverged
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.curtailment import HOURS, SCALES, Need, curtailment
from derms.grid.notes import merged
from derms.grid.opendss import Circuit, Injection, Snapshot
from derms.grid.search import furthest
from derms.limits import Limit
from derms.units import finite, watts

ENGINE_VERSION = "headroom-arrays-2"
INVERTERS: dict[str, tuple[tuple[float, float], ...]] = {
    "unity": (),
    "volt_var_a": ((0.90, -0.25), (1.00, 0.0), (1.10, 0.25)),
    "volt_var_b": ((0.92, -0.44), (0.98, 0.0), (1.02, 0.0), (1.08, 0.44)),
}
"""Volt-var curves: per unit volts, var absorbed per VA of nameplate. The defaults of IEEE 1547-2018 categories A and B."""
VOLT_WATT = ((1.06, 1.0), (1.10, 0.2))
"""Volt-watt: full power up to 1.06 pu, a fifth from 1.10 pu on (the defaults that the DISCO and i2x tools carry)."""
ENGINES = {"arrays": ENGINE_VERSION, "opendss": "headroom-opendss-1"}
REGULATORS = ("frozen", "edge", "free", "worst")
"""How voltage regulators and capacitors are held while the site's power is tried: as the hour settled without it; at the
edge of the regulators' band (lowest for import, highest for export); settling anew at every power; or the worst of
these."""
SLICE_HOURS = 288
RESOLUTION_W = 500.0
"""How finely the furthest power is found; the answer is rounded down to whole watts of a solved, good point."""

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """One site at one bus: requested magnitudes in watts, hours of the study year (0-based), criteria."""

    bus: str
    phases: tuple[int, ...]
    import_w: int
    export_w: int
    hours: tuple[int, ...]
    criteria: CriteriaSettings = field(default_factory=CriteriaSettings)
    power_factor: float = 1.0
    engine: str = "arrays"
    inverter: str = "unity"
    volt_watt: bool = False
    regulators: str = "frozen"
    load_scale: float = 1.0
    need: Need | None = None

    def __post_init__(self) -> None:
        watts(self.import_w, where="import_w")
        watts(self.export_w, where="export_w")
        if self.import_w == 0 and self.export_w == 0:
            raise InputError("nothing is asked for", where="import_w", remedy="Ask for import, export or both.")
        if not self.hours:
            raise InputError("no hours to study", where="hours")
        if list(self.hours) != sorted(set(self.hours)):
            raise InputError("hours must rise and not repeat", where="hours")
        if not self.phases or set(self.phases) - {1, 2, 3}:
            raise InputError(f"phases {self.phases} are not among 1, 2, 3", where="phases")
        if not 0.5 <= self.power_factor <= 1.0:
            raise InputError(f"power factor {self.power_factor} is outside 0.5..1", where="power_factor")
        if self.inverter not in INVERTERS:
            raise InputError(f"unknown inverter mode {self.inverter!r}", where="inverter", remedy=" or ".join(INVERTERS))
        if self.inverter != "unity" and (self.engine == "opendss" or self.power_factor != 1.0):
            raise InputError(
                "volt-var is studied on arrays and at unity power factor", where="inverter",
                remedy="Take engine 'arrays' and power factor 1.",
            )  # fmt: skip
        self._check_modes()

    def _check_modes(self) -> None:
        if self.regulators in ("free", "worst") and self.inverter != "unity":
            raise InputError(
                "free regulators are studied at a fixed power factor", where="regulators", remedy="Take frozen or edge."
            )
        if not 0.1 <= finite(self.load_scale, where="load_scale") <= 3.0:
            raise InputError(f"load scale {self.load_scale:g} is outside 0.1..3", where="load_scale")
        if self.load_scale != 1.0 and (self.engine == "opendss" or self.regulators != "frozen"):
            raise InputError("another load scale is studied on arrays with regulators frozen", where="load_scale")
        if self.need is not None and len(self.hours) != HOURS:
            raise InputError(
                "curtailment wants a whole year", where="need", remedy="Study 8,760 hours, or leave the need out."
            )
        if self.regulators not in REGULATORS:
            raise InputError(
                f"unknown regulator mode {self.regulators!r}", where="regulators", remedy=" or ".join(REGULATORS)
            )
        if self.engine == "opendss" and (self.regulators != "frozen" or self.volt_watt or self.criteria.extras_on()):
            raise InputError("this criterion or mode is studied on arrays", where="engine", remedy="Take engine 'arrays'.")
        if self.engine not in ENGINES:
            raise InputError(f"unknown engine {self.engine!r}", where="engine", remedy=" or ".join(ENGINES))

    def to_dict(self) -> dict[str, Any]:
        """Return the request as plain data in canonical form."""
        return asdict(self) | {"criteria": self.criteria.to_dict()}

    def volt_watt_curve(self) -> tuple[tuple[float, float], ...]:
        """Return the inverter's volt-watt points: per unit volts, part of the export rating; empty when it is off."""
        return VOLT_WATT if self.volt_watt else ()

    def volt_var(self) -> tuple[tuple[float, float], ...]:
        """Return the inverter's volt-var points: per unit volts, var absorbed by the whole site."""
        nameplate_va = max(self.import_w, self.export_w)
        return tuple((volts, share * nameplate_va) for volts, share in INVERTERS[self.inverter])

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> StudyRequest:
        """Rebuild a request from `to_dict()` that went through JSON."""
        plain = dict(raw)
        plain["phases"] = tuple(plain["phases"])
        plain["hours"] = tuple(plain["hours"])
        plain["criteria"] = CriteriaSettings(**plain["criteria"])
        plain["need"] = None if plain.get("need") is None else Need.from_dict(plain["need"])
        return cls(**plain)


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


def inputs_sha256(model_sha256: str, request: StudyRequest) -> str:
    """Return the hash of everything that the answer depends on."""
    document = {"model": model_sha256, "request": request.to_dict(), "engine": ENGINES[request.engine]}
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def slices(hours: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the hours in the slices that a study is always done in: who does which changes nothing."""
    return [hours[start : start + SLICE_HOURS] for start in range(0, len(hours), SLICE_HOURS)]


def _further(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


def study(
    circuit: Circuit,
    request: StudyRequest,
    *,
    model_sha256: str = "",
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> StudyResult:
    """Study all hours of the request on one circuit; raises InputError or NotConverged."""
    parts, done = [], 0
    for hours in slices(request.hours):
        report = None if progress is None else _further(progress, done, len(request.hours))
        parts.append(study_hours(circuit, request, hours, progress=report, cancelled=cancelled))
        done += len(hours)
    whole = merge(request, parts, findings=electrical_findings(circuit), model_sha256=model_sha256)
    return close(circuit, whole)


def close(circuit: Circuit, result: StudyResult) -> StudyResult:
    """Return the result with what is looked at once (see `closing.closing`), and with curtailment of the need."""
    if not closes(result.request):
        return result
    from derms.grid.closing import closing

    closed = replace(result, closing=closing(circuit, result.request, result.worst_hours()))
    years = {}
    for request in scaled(result.request):
        parts = [study_hours(circuit, request, hours) for hours in slices(request.hours)]
        years[request.load_scale] = merge(request, parts)
    return with_curtailment(closed, years)


def closes(request: StudyRequest) -> bool:
    """Say whether a study is closed with a look at its binding hours."""
    return request.engine == "arrays" and request.load_scale == 1.0


def scaled(request: StudyRequest) -> list[StudyRequest]:
    """Return the same study at the other load scales that curtailment wants; none where no need is given."""
    if request.need is None:
        return []
    return [replace(request, load_scale=scale, need=None, regulators="frozen") for scale in SCALES if scale != 1.0]


def with_curtailment(result: StudyResult, years: Mapping[float, StudyResult]) -> StudyResult:
    """Return the result with the curtailment of its need; `years`: the results of `scaled` by load scale."""
    need = result.request.need
    if need is None:
        return result
    limits = {scale: _limits_of(year) for scale, year in {**years, 1.0: result}.items()}
    found = curtailment(need, limits, (result.request.import_w, result.request.export_w))
    return replace(result, closing={**result.closing, "curtailment": found})


def _limits_of(result: StudyResult) -> NDArray[np.float64]:
    return np.array([(hour.import_w, hour.export_w) for hour in result.hours], dtype=np.float64)


def study_hours(
    circuit: Circuit,
    request: StudyRequest,
    hours: Sequence[int],
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Slice:
    """Study some hours of a request; slices of one request may run on different circuits of the same model.

    An hour whose base state has no solution ends the study with NotConverged: it is no limit, and not zero either.
    """
    circuit.bus(request.bus, request.phases)
    if request.engine == "arrays":
        # The kernels are loaded only where they are used.
        if request.regulators != "frozen":
            from derms.grid.regulators import study_hours_by_mode

            return study_hours_by_mode(circuit, request, hours, progress=progress, cancelled=cancelled)
        from derms.grid.site_year import study_hours_on_arrays

        return study_hours_on_arrays(circuit, request, hours, progress=progress, cancelled=cancelled)
    criteria = participating_criteria(circuit, request)
    found: list[HourLimit] = []
    violations: dict[str, dict[str, Any]] = {}
    for count, hour in enumerate(hours):
        if cancelled is not None and cancelled():
            break
        base = circuit.settle(hour)
        note_violations(violations, criteria.violations(base), hour)
        found.append(_one_hour(circuit, request, criteria, base, hour))
        if progress is not None:
            progress(count + 1, len(hours))
    return Slice(tuple(found), violations)


def participating_criteria(circuit: Circuit, request: StudyRequest) -> Criteria:
    """Return the request's criteria on the elements that carry its power; every slice finds the same ones."""
    criteria = Criteria(circuit, request.criteria)
    base = circuit.settle(request.hours[0])
    trial_w = 0.1 * max(request.import_w, request.export_w)
    trials = [(circuit.solve([Injection(request.bus, request.phases, sign * trial_w)]), trial_w) for sign in (1.0, -1.0)]
    criteria.participate(base, trials)
    return criteria


def _one_hour(circuit: Circuit, request: StudyRequest, criteria: Criteria, base: Snapshot, hour: int) -> HourLimit:
    limits: dict[str, tuple[int, str, str]] = {}
    for side, asked, sign in (("import", request.import_w, 1.0), ("export", request.export_w, -1.0)):
        if asked == 0:
            limits[side] = (0, "", "")
            continue
        reactive = asked * np.tan(np.arccos(request.power_factor))

        def at(fraction: float, watts_each_way: float = sign * asked, var: float = sign * reactive) -> Snapshot:
            return circuit.solve([Injection(request.bus, request.phases, watts_each_way * fraction, var * fraction)])

        answer = furthest(at, base, base, criteria, resolution=RESOLUTION_W / asked)
        # The nano-fraction keeps a whole request whole; below it the product rounds down.
        limits[side] = (int(asked * answer.fraction), answer.criterion, answer.element)
    return HourLimit(
        hour,
        limits["import"][0],
        limits["export"][0],
        limits["import"][1],
        limits["import"][2],
        limits["export"][1],
        limits["export"][2],
        round(base.head_w),
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
        tuple(findings),
        inputs_sha256(model_sha256, request),
        ENGINES[request.engine],
        steps,
        merged(part.notes for part in parts),
    )


def _merge_entry(ledger: dict[str, dict[str, Any]], key: str, entry: dict[str, Any]) -> None:
    known = ledger.get(key)
    if known is None:
        ledger[key] = dict(entry)
        return
    known["hours"] += entry["hours"]
    sign = -1.0 if key.startswith("undervoltage ") else 1.0
    if (sign * entry["worst_pu"], -entry["worst_hour"]) > (sign * known["worst_pu"], -known["worst_hour"]):
        known["worst_pu"], known["worst_hour"] = entry["worst_pu"], entry["worst_hour"]


def electrical_findings(circuit: Circuit) -> tuple[str, ...]:
    """Return what a reader of the answer must know about the model itself."""
    findings = []
    defaults = [element for element in circuit.elements if element.rating_origin == "default"]
    if defaults:
        findings.append(
            f"{len(defaults)} lines state no rating: OpenDSS's default counts "
            f"({defaults[0].normal_amps:g} A, first {defaults[0].name})"
        )
    if circuit.widened:
        low, high = circuit.load_bands
        findings.append(
            f"{circuit.widened} loads keep their law from {low:g} to {high:g} pu: their own band ends at the voltage "
            "limits of the study, where a load jumps and two answers are valid"
        )
    if circuit.islands:
        findings.append(f"{len(circuit.islands)} nodes are not energised (first {circuit.islands[0]})")
    if circuit.hours == 1:
        findings.append("the loads have no yearly shape: there is only one hour to study")
    return tuple(findings)
