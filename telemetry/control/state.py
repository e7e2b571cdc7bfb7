"""The feeder as the control room sees it in one cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

from telemetry.control.compliance import Stage
from telemetry.control.decide import Target
from telemetry.control.grant import Acknowledgement, Grant, Quality, Reading


@dataclass(frozen=True, slots=True)
class HeadReading:
    """What SCADA measures at the feeder head; watts into the feeder positive; `received` monotonic seconds."""

    received: float
    power_w: float
    reactive_var: float = 0.0
    amps: float | None = None
    voltage_pu: float | None = None
    quality: Quality = Quality.GOOD

    def usable(self, now: float, stale_s: float) -> bool:
        """Say whether a decision may rest on this value: good, finite, in a lawful range and young enough."""
        return (
            self.quality is Quality.GOOD
            and math.isfinite(self.power_w)
            and math.isfinite(self.reactive_var)
            and 0.0 <= now - self.received <= stale_s
        )


@dataclass(frozen=True, slots=True)
class EnvelopeAnswer:
    """The solver's answer: a target per site, the estimate that it rests on, and how the corners fared."""

    targets: dict[str, Target]
    load_scale: float
    level: str
    worst_loading_percent: float
    worst_element: str
    lowest_voltage_pu: float
    highest_voltage_pu: float
    corners_checked: int
    shrunk: bool


@dataclass(frozen=True)
class CycleRecord:
    """All that one cycle saw and did: enough to show it, to explain each limit, and to replay it."""

    feeder: str
    snapshot: str
    now: float
    epoch: int
    head: HeadReading | None
    readings: dict[str, Reading | None]
    envelope: EnvelopeAnswer | None
    grants: tuple[Grant, ...]
    acknowledgements: tuple[Acknowledgement, ...]
    stages: dict[str, Stage]
    excess_w: dict[str, float]
    problem: str
    withheld: tuple[str, ...]
