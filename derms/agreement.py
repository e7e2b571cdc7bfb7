"""Terms: what an accepted offer says, in the one form that both the signature and the control room read.

`Terms.document()` is canonical JSON; its SHA-256 is what both sides signed. The control room rebuilds `Terms`
from those same bytes: no second copy of a number exists.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from derms.errors import InputError
from derms.limits import Limit
from derms.units import finite

SLOW_TELEMETRY_S = 30
MONTHS, HOURS = 12, 24
CEILING_STEP = timedelta(minutes=15)
"""Hours change on quarters of an hour in every zone of today."""


@dataclass(frozen=True, slots=True)
class Curtailment:
    """What the study expects the flexible part to lose, and the cap that the agreement puts on it."""

    expected_hours: int
    expected_energy_percent: float
    cap_hours: int
    cap_energy_percent: float


REMEDIES = ("none", "pay", "upgrade", "review")
ACCESS = ("pro_rata", "equal", "need", "last_in_first_off")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What stands beside the limits: measurement, what follows above the cap, access, and what the offer hangs on."""

    measured_at: str = "the point of common coupling"
    tolerance_percent: float = 2.0
    remedy: str = "review"
    remedy_usd_per_kwh: float = 0.0
    access: str = "pro_rata"
    position: int = 0
    conditional_on: str = ""
    bridge_for: str = ""
    abnormal: str = "the limits that are sent hold, down to the failsafe limit"

    def __post_init__(self) -> None:
        if self.remedy not in REMEDIES:
            raise InputError(f"unknown remedy {self.remedy!r}", where="remedy", remedy=" or ".join(REMEDIES))
        if self.access not in ACCESS:
            raise InputError(f"unknown access {self.access!r}", where="access", remedy=" or ".join(ACCESS))
        if not 0.0 <= finite(self.tolerance_percent, where="tolerance_percent") <= 10.0:
            raise InputError("the tolerance is outside 0..10 %", where="tolerance_percent")
        if finite(self.remedy_usd_per_kwh, where="remedy_usd_per_kwh") < 0:
            raise InputError("the price is negative", where="remedy_usd_per_kwh")
        if self.remedy == "pay" and self.remedy_usd_per_kwh == 0:
            raise InputError("paying needs a price", where="remedy_usd_per_kwh", remedy="Give $/kWh above the cap.")


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
    schedule: tuple[tuple[Limit, ...], ...] = ()
    """Twelve rows of 24: the ceiling by month and hour of day, never below firm, never above flexible; empty: none."""
    schedule_zone: str = "UTC"
    """The zone whose months and hours the schedule counts (IANA name)."""
    inverter: str = "unity"
    """What the site's inverters must do, as the study assumed it: a key of `derms.grid.study_request.INVERTERS`."""
    conditions: Conditions | None = None
    """Nothing: none were written down (every document from before they were)."""

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
        if self.conditions is not None and self.conditions.bridge_for and self.ends is None:
            raise InputError("a bridge has no end", where="ends", remedy="Say when what it waits for will be there.")
        self._check_schedule()

    def _check_schedule(self) -> None:
        if not self.schedule:
            return
        if len(self.schedule) != MONTHS or any(len(row) != HOURS for row in self.schedule):
            raise InputError("the schedule is not 12 months of 24 hours", where="schedule")
        try:
            ZoneInfo(self.schedule_zone)
        except (KeyError, ValueError, OSError) as error:
            raise InputError(f"no time zone is called {self.schedule_zone!r}", where="schedule_zone") from error
        for month, row in enumerate(self.schedule):
            for hour, limit in enumerate(row):
                if not (self.firm.within(limit) and limit.within(self.flexible)):
                    raise InputError(
                        f"{limit.import_w / 1000:g} / {limit.export_w / 1000:g} kW is not between firm and flexible",
                        where=f"schedule.{month}.{hour}",
                        remedy="At least the firm limit, at most the flexible one.",
                    )

    def ceiling(self, start: datetime, end: datetime) -> Limit:
        """Return the most that the terms allow at every moment of start..end (aware): flexible, and the schedule.

        From the day on which they end (UTC, as `agreements_in_force` counts) that is the failsafe, whoever holds them.
        """
        if self.ends is not None and end.astimezone(UTC).date() >= self.ends:
            return self.failsafe
        if not self.schedule:
            return self.flexible
        zone, moment, most = ZoneInfo(self.schedule_zone), start, self.flexible
        while True:
            local = moment.astimezone(zone)
            most = most.meet(self.schedule[local.month - 1][local.hour])
            if moment >= end:
                return most
            moment = min(end, moment + CEILING_STEP)

    @property
    def slow(self) -> bool:
        """Say whether the site only polls (class S): it reports less often than every 30 s, as over IEEE 2030.5."""
        return self.telemetry_s > SLOW_TELEMETRY_S

    def document(self) -> bytes:
        """Return the canonical JSON that is signed and obeyed."""
        plain = asdict(self)
        if not self.schedule:  # terms without one keep the form, and the hash, that they had before schedules were
            del plain["schedule"], plain["schedule_zone"]
        if self.inverter == "unity":
            del plain["inverter"]
        if self.conditions is None:
            del plain["conditions"]
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), default=str).encode()

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
            raw["schedule"] = tuple(tuple(Limit(**cell) for cell in row) for row in raw.get("schedule", ()))
            if raw.get("conditions") is not None:
                raw["conditions"] = Conditions(**raw["conditions"])
            raw["starts"] = date.fromisoformat(raw["starts"])
            raw["ends"] = date.fromisoformat(raw["ends"]) if raw["ends"] else None
            return cls(**raw)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a terms document: {error}", where="document") from error
