"""What a study is asked: one site at one bus, hours, criteria, and how inverters and regulators are held."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from derms.errors import InputError
from derms.grid.criteria import CriteriaSettings
from derms.grid.curtailment import HOURS, Need
from derms.grid.existing import ExistingSite
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
    existing: tuple[ExistingSite, ...] = ()
    """Who is there already and counts, see `existing`."""

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
        """Return the request as plain data in canonical form; a request without existing sites has no such key."""
        plain = asdict(self) | {"criteria": self.criteria.to_dict()}
        if not self.existing:
            del plain["existing"]
        return plain

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
        plain["existing"] = tuple(ExistingSite.from_dict(item) for item in plain.get("existing", ()))
        return cls(**plain)


def inputs_sha256(model_sha256: str, request: StudyRequest) -> str:
    """Return the hash of everything that the answer depends on."""
    document = {"model": model_sha256, "request": request.to_dict(), "engine": ENGINES[request.engine]}
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
