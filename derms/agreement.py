"""Terms: what an accepted offer says, in the one form that both the signature and the control room read.

`Terms.document()` is canonical JSON; its SHA-256 is what both sides signed. The control room rebuilds `Terms`
from those same bytes: no second copy of a number exists.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from derms.errors import InputError
from derms.limits import Limit
from derms.units import finite

SLOW_TELEMETRY_S = 30


@dataclass(frozen=True, slots=True)
class Curtailment:
    """What the study expects the flexible part to lose, and the cap that the agreement puts on it."""

    expected_hours: int
    expected_energy_percent: float
    cap_hours: int
    cap_energy_percent: float


@dataclass(frozen=True, slots=True)
class Terms:
    """The signed terms of a flexible connection. Limits in watts, times in seconds."""

    site: str
    feeder: str
    feeder_sha256: str
    bus: str
    phases: tuple[int, ...]
    firm: Limit
    flexible: Limit
    failsafe: Limit
    ramp_w_per_s: int
    response_s: int
    telemetry_s: int
    lease_s: int
    protocol: str
    curtailment: Curtailment
    starts: date
    ends: date | None
    study_sha256: str

    def __post_init__(self) -> None:
        if not self.firm.within(self.flexible):
            raise InputError("firm is above flexible", where="firm", remedy="Flexible includes the firm part.")
        if not self.failsafe.within(self.firm):
            raise InputError(
                "the failsafe limit is above firm",
                where="failsafe",
                remedy="A silent site must stay within what is always there: lower the failsafe to firm.",
            )
        for name in ("ramp_w_per_s", "response_s", "telemetry_s", "lease_s"):
            if finite(getattr(self, name), where=name) <= 0:
                raise InputError(f"{name} must be positive", where=name)
        if self.ends is not None and self.ends <= self.starts:
            raise InputError("the agreement ends before it starts", where="ends")

    @property
    def slow(self) -> bool:
        """Say whether the site only polls (class S): it reports less often than every 30 s, as over IEEE 2030.5."""
        return self.telemetry_s > SLOW_TELEMETRY_S

    def document(self) -> bytes:
        """Return the canonical JSON that is signed and obeyed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), default=str).encode()

    def sha256(self) -> str:
        """Return the hash of the document, hexadecimal."""
        return hashlib.sha256(self.document()).hexdigest()

    @classmethod
    def parse(cls, document: bytes) -> Terms:
        """Rebuild the terms from their document; raises InputError if it is not one."""
        try:
            raw: dict[str, Any] = json.loads(document)
            raw["phases"] = tuple(raw["phases"])
            for name in ("firm", "flexible", "failsafe"):
                raw[name] = Limit(**raw[name])
            raw["curtailment"] = Curtailment(**raw["curtailment"])
            raw["starts"] = date.fromisoformat(raw["starts"])
            raw["ends"] = date.fromisoformat(raw["ends"]) if raw["ends"] else None
            return cls(**raw)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a terms document: {error}", where="document") from error
