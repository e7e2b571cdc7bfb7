"""What the thirteen steps work with: the wire, the person or rig at the site, the clock, and the trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from derms.agreement import Terms
from derms.clock import Clock
from derms.errors import OutcomeUnknown, RemoteError
from derms.limits import Limit
from telemetry.commissioning.trace import Sample, Trace
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Reading, Reason
from telemetry.protocols.ports import SitePort

TOLERANCE = 0.02
"""Of the larger flexible limit: what a meter and a charger's steps may add (the control law's own tolerance)."""
LEAST_TOLERANCE_W = 500.0
EVERY_S = 1.0
TRY_S, LEAST_WAIT_S = 0.5, 25.0
FIRST_EPOCH = 0


class Rig(Protocol):
    """What is done at the site: by a person who is told to, or by a test rig."""

    async def charge(self) -> None:
        """Let the vehicles charge with all they can."""
        ...

    async def discharge(self) -> None:
        """Let the vehicles discharge with all they can."""
        ...

    async def power_cycle(self) -> None:
        """Take the controller's supply away for some seconds; return when it is up again."""
        ...


class Wire(Protocol):
    """The way to the site's wire, opened and closed by the test itself."""

    protocol: str
    patience_s: float
    """How long this wire may take, beyond response and ramp, to carry a limit there and a reading back."""
    every_s: float
    """How often the test looks."""

    async def identity(self) -> dict[str, str]:
        """Ask who is there, before anything moves."""
        ...

    async def open(self) -> SitePort:
        """Open the wire."""
        ...

    async def prove_sides(self, swapped: bool) -> None:
        """Take the meter's proof of which of two outputs limits charging; wires without the question do nothing."""
        ...

    async def withdraw(self) -> bool:
        """Take back what was lent before its end; False where the wire has no word for it: then a lower grant says it."""
        ...

    async def volt_var(self) -> str | None:
        """Read the reactive-power setting back; None where the device shows none."""
        ...


@dataclass
class Bench:
    """One test of one site. `sleep` and `clock` are arguments: the steps know no time of their own."""

    terms: Terms
    wire: Wire
    rig: Rig
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    epoch: int = FIRST_EPOCH
    sequence: int = 0
    trace: Trace = field(default_factory=Trace)
    step: int = 0
    port: SitePort | None = None
    last: Reading | None = None
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()

    @property
    def now(self) -> float:
        """Return seconds since the test began."""
        return self.clock.monotonic() - self._began

    @property
    def tolerance_w(self) -> float:
        """Return what a power may exceed its limit by and still count as obeying."""
        flexible = self.terms.flexible
        return max(LEAST_TOLERANCE_W, TOLERANCE * max(flexible.import_w, flexible.export_w))

    def allowed_s(self, swing_w: float) -> float:
        """Return how long a change of power may take: response, ramp, and what the wire needs."""
        return self.terms.response_s + swing_w / self.terms.ramp_w_per_s + self.wire.patience_s + 2 * self.wire.every_s

    @property
    def swing_w(self) -> float:
        """Return the swing from full import to full export."""
        return float(self.terms.flexible.import_w + self.terms.flexible.export_w)

    def note(self, text: str) -> None:
        """Write a remark into the trace."""
        self.trace.notes.append((self.now, text))

    async def connect(self) -> None:
        """Open the wire and wait for a first reading; raises RemoteError when none comes in the wire's time."""
        self.port = await self.wire.open()
        until = self.now + max(LEAST_WAIT_S, self.wire.patience_s)
        while True:
            try:
                await self.sample()
                return
            except RemoteError:
                if self.now >= until:
                    raise
                await self.sleep(TRY_S * self.wire.every_s)

    async def disconnect(self, why: str) -> None:
        """Fall silent; the trace knows that it was meant."""
        assert self.port is not None
        self.note(f"silent: {why}")
        self.trace.silences.append((self.now, self.now))
        await self.port.close()
        self.port = None

    async def reconnect(self) -> None:
        """End a silence."""
        start, _ = self.trace.silences[-1]
        await self.connect()
        self.trace.silences[-1] = (start, self.now)
        self.note("speaking again")

    async def sample(self) -> Reading:
        """Read once into the trace."""
        assert self.port is not None
        reading = await self.port.read()
        measured = min(self.now, reading.received - self._began)
        self.trace.samples.append(
            Sample(self.now, reading.power_w, reading.limit_in_force, reading.in_failsafe, self.step, measured)
        )
        self.last = reading
        return reading

    async def grant(self, limit: Limit, *, order: tuple[int, int] | None = None) -> Acknowledgement:
        """Lend a limit for one lease, by a fresh reading; `order` overrides epoch and sequence to try a refusal."""
        assert self.port is not None
        await self.sample()
        assert self.last is not None
        self.sequence += 1
        epoch, sequence = order or (self.epoch, self.sequence)
        reason = Reason("commissioning", f"step {self.step}", 1.0, "test")
        grant = Grant(
            self.terms.site, limit.meet(self.terms.flexible), epoch, sequence, self.clock.monotonic(),
            float(self.terms.lease_s), self.last.stamp, reason,
        )  # fmt: skip
        try:
            return await self.port.publish(grant)
        except OutcomeUnknown as error:
            return Acknowledgement(grant, Outcome.UNKNOWN, None, str(error))

    async def hold(self, limit: Limit, seconds: float) -> list[Sample]:
        """Hold a limit for a time, renewing it as the control room would; return the samples of that time."""
        began, first = self.now, len(self.trace.samples)
        answer = await self.grant(limit)
        self.note(f"limit {limit.import_w} / {limit.export_w} W: {answer.outcome.value} {answer.detail}".strip())
        renewed = self.now
        while self.now - began < seconds:
            await self.sleep(self.wire.every_s)
            if self.now - renewed >= self.terms.lease_s / 3:
                await self.grant(limit)
                renewed = self.now
            else:
                await self.sample()
        return self.trace.samples[first:]

    async def watch(self, seconds: float) -> list[Sample]:
        """Only read for a time; return the samples."""
        began, first = self.now, len(self.trace.samples)
        await self.sample()
        while self.now - began < seconds:
            await self.sleep(self.wire.every_s)
            await self.sample()
        return self.trace.samples[first:]
