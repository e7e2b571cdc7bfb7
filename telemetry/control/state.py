"""The feeder as the control room sees it in one cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from derms.limits import Limit
from telemetry.control.compliance import Stage
from telemetry.control.decide import Decision, Target
from telemetry.control.evidence import Bundle
from telemetry.control.grant import Acknowledgement, Grant, Quality, Reading, Reason
from telemetry.control.orders import Orders


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
    margin_w: tuple[float, float] | None = None
    """What the margins cost all sites together, watts of import and export; None where it was not found."""
    engine: str = ""
    inputs: str = ""
    """Canonical JSON of what the solver was asked: enough for it to say the same again. Empty: cannot be replayed."""
    outputs: str = ""


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a site would have been lent in mode shadow, and by how much it is beyond that now, watts."""

    limit: Limit
    reason: Reason
    beyond_w: float


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
    decisions: tuple[Decision, ...] = ()
    orders: Orders = field(default_factory=Orders)
    level: str = ""
    clock_offset_s: float = 0.0
    shadow: dict[str, Shadow] = field(default_factory=dict)
    evidence: tuple[Bundle, ...] = ()
    document: str = ""
    """Canonical JSON of the cycle's inputs and decisions: what `replay_cycle` runs again."""
