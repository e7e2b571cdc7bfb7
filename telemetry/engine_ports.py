"""What the control loop needs from outside, as ports: the solver, the recorder, the lead, the orders, the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from derms.grid.envelope import Site
from telemetry.control.compliance import Ladder
from telemetry.control.grant import Grant
from telemetry.control.orders import Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.state import CycleRecord, EnvelopeAnswer, HeadReading


class EnvelopeSolver(Protocol):
    """What the wires can take, given what was measured.

    A solver whose `without_head` is true is asked with `head` None too: then it must keep the study's whole band free.
    """

    async def solve(
        self, *, hour: int, head: HeadReading, asks: Sequence[Site], settings: ControlSettings
    ) -> EnvelopeAnswer:
        """Return targets that are feasible together at every corner; raises NotConverged or LocalError."""
        ...


class Recorder(Protocol):
    """Where records go. `audit` must have succeeded before a raise may go out; `record` never makes the loop wait."""

    async def audit(self, grants: Sequence[Grant]) -> bool:
        """Write raises to the audit log; False when it could not be written."""
        ...

    def record(self, record: CycleRecord) -> None:
        """Take a cycle's record for later writing."""
        ...


class Leadership(Protocol):
    """Which engine may act, and under which epoch."""

    def epoch(self) -> int | None:
        """Return the epoch held now, or None when another engine leads."""
        ...


class OrderSource(Protocol):
    """Where operators' orders come from."""

    async def read(self) -> Orders | None:
        """Return mode and orders in force now, or None when they cannot be read just now."""
        ...


class Memory(Protocol):
    """What outlives an engine: where each site stands on the ladder."""

    async def recall(self, now: float) -> Mapping[str, Ladder] | None:
        """Return the ladders that the leaders before kept, None when they cannot be read; `now`: our monotonic seconds."""
        ...
