"""An engine process: the product's loop on a machine that can die, hang and be cut off."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from derms.grid.envelope import Site
from telemetry.control.compliance import Ladder
from telemetry.control.grant import Grant
from telemetry.control.ladder_keeper import LadderKeeper
from telemetry.control.orders import Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.state import CycleRecord, EnvelopeAnswer, HeadReading
from telemetry.engine import ControlEngine
from telemetry.protocols.dnp3.dialect import OURS
from telemetry.protocols.dnp3.master import Dnp3Master, Dnp3Site
from telemetry.protocols.ports import SitePort
from tests.simulation.clockwork import MachineClock
from tests.simulation.feeder import FAILSAFE, TreeSolver
from tests.simulation.modbus import SunSpecSimulatedSite, sunspec_port
from tests.simulation.network import Silent
from tests.simulation.sites import SimulatedSite
from tests.simulation.store import LEASE_S, StoreDown

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")
AUDIT_S, READ_S = 5.0, 2.0


class EngineProcess:
    """One control process. `gate` is open while the process runs; closed, nothing after an `await` goes on (SIGSTOP)."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.clock = MachineClock(asyncio.get_running_loop(), zero=world.chance.random() * 1e5)
        self.gate = asyncio.Event()
        self.gate.set()
        self.tasks: list[asyncio.Task[None]] = []
        self.engine: ControlEngine | None = None
        self.incarnation = 0
        self.at_write: Callable[[], None] | None = None
        """A fault that waits for the `writes`-th next write to a SunSpec site: half-way is where that wire can be hurt."""
        self.writes = 0

    @property
    def alive(self) -> bool:
        """Say whether the process exists."""
        return bool(self.tasks)

    @property
    def running(self) -> bool:
        """Say whether it exists and is not stopped."""
        return self.alive and self.gate.is_set()

    async def through(self, work: Awaitable[T]) -> T:
        """Await something as this process would: what comes while it is stopped is seen when it goes on."""
        try:
            return await work
        finally:
            await self.gate.wait()

    def start(self) -> None:
        """Start a new incarnation, with empty books."""
        self.incarnation += 1
        self.gate.set()
        self.leadership = Leadership(self)
        self.solver, self.recorder = TreeSolver(), Recorder(self)
        self.engine = self.world.engine_for(self)
        works = (self._lead(), self._cycle(), self.recorder.write())
        self.tasks = [asyncio.create_task(work) for work in works]

    def kill(self) -> None:
        """End it at once, wherever it is."""
        for task in self.tasks:
            task.cancel()
        self.tasks, self.engine = [], None

    def raise_failures(self) -> None:
        """A defect that ended a task of the process is the simulation's failure too."""
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _lead(self) -> None:
        while True:
            try:
                await self.leadership.renew()
            except StoreDown:
                pass  # the lease it has runs out by itself
            await self.through(asyncio.sleep(LEASE_S / 4))

    async def _cycle(self) -> None:
        assert self.engine is not None
        while True:
            started = self.clock.monotonic()
            self.solver.state, self.solver.broken = self.world.confirmed_state(), self.world.solver_broken
            await self.engine.cycle(await self._head(), hour=0)
            rest = max(0.0, self.engine.settings.cycle_s - (self.clock.monotonic() - started))
            await self.through(asyncio.sleep(rest))

    async def _head(self) -> HeadReading | None:
        try:
            row = await self.through(self.world.store.read_head())
        except StoreDown:
            return None
        if row is None:
            return None
        age = asyncio.get_running_loop().time() - row.at
        return HeadReading(self.clock.monotonic() - age, row.power_w)


class Leadership:
    """The product's rule: what the row says is as old as the question, and is believed for less than the lease."""

    def __init__(self, process: EngineProcess) -> None:
        self._process = process
        self._holder = f"{process.name}.{process.incarnation}"
        self._epoch: int | None = None
        self._highest = 0
        self._until = -math.inf

    def epoch(self) -> int | None:
        """Return the epoch while the lease certainly runs."""
        return self._epoch if self._process.clock.monotonic() < self._until else None

    async def renew(self) -> None:
        """Renew the lease, or take it when it is free."""
        process, store = self._process, self._process.world.store
        asked = process.clock.monotonic()
        foreign = process.engine.foreign_epoch if process.engine is not None else 0
        if self._epoch is not None and foreign >= self._epoch:  # a site holds a grant that this leader did not lend
            self._epoch = await process.through(store.outrank(self._holder, self._epoch, foreign))
        elif self._epoch is not None and not await process.through(store.keep_lead(self._holder, self._epoch)):
            self._epoch = None
        if self._epoch is None:
            self._epoch = await process.through(store.take_lead(self._holder, max(foreign, self._highest)))
        self._highest = max(self._highest, self._epoch or 0)
        self._until = asked + LEASE_S if self._epoch is not None else -math.inf


class Recorder:
    """The audit log through the process's own connection, the ladders' rows, and the checker that sees every record."""

    def __init__(self, process: EngineProcess) -> None:
        self._process = process
        self._keeper = LadderKeeper()
        self._waiting: asyncio.Queue[tuple[int, dict[str, dict[str, Any]]]] = asyncio.Queue()

    async def audit(self, grants: Sequence[Grant]) -> bool:
        """Write raises first; a failure or a slow disk blocks the raise."""
        write = asyncio.wait_for(self._process.world.store.audit(grants), AUDIT_S)
        try:
            return await self._process.through(write)
        except (StoreDown, TimeoutError):
            return False

    def record(self, record: CycleRecord) -> None:
        """Give the record to the checker, and what moved on the ladders to the writer."""
        self._process.world.recorded(self._process, record)
        assert self._process.engine is not None
        ladders = self._keeper.moved(self._process.engine.ladders, record.now, record.epoch)
        if ladders:
            self._waiting.put_nowait((record.epoch, ladders))

    async def write(self) -> None:
        """Write what waits, as the product's recorder thread does: a failure gives the ladders back to the keeper."""
        while True:
            epoch, ladders = await self._waiting.get()
            try:
                await self._process.through(self._process.world.store.keep_ladders(epoch, ladders))
            except StoreDown:
                self._keeper.lost(ladders)


class Memory:
    """The ladders that earlier leaders kept, read through the process's own connection."""

    def __init__(self, process: EngineProcess) -> None:
        self._process = process

    async def recall(self, now: float) -> dict[str, Ladder] | None:
        """Return them, None when the database does not answer in time."""
        work = asyncio.wait_for(self._process.world.store.read_ladders(), READ_S)
        try:
            stored_now, rows = await self._process.through(work)
        except (StoreDown, TimeoutError):
            return None
        return {name: Ladder.from_dict(state, now, stored_now - at) for name, (at, state) in rows.items()}


class Master(Dnp3Master):
    """The DNP3 master process replaced by a message through the simulated network; `Dnp3Site` is the product's."""

    def __init__(self, process: EngineProcess, site: SimulatedSite) -> None:
        super().__init__(timeout_s=3.0)
        self._owner, self._far = process, site

    async def ask(self, request: dict[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        """Carry a poll, or one select-and-operate after the other as the master process does."""
        loop, far = asyncio.get_running_loop(), self._far
        try:
            if request["do"] == "read":
                return await self._carry(lambda: far.polled(loop.time()))
            for kind, index, value in request["points"]:
                taken = await self._carry(self._control(far, str(kind), int(index), int(value)))
                if not taken["ok"]:
                    return {"ok": False, "why": f"{kind}{index} refused", "refused": True}
            return {"ok": True, "why": ""}
        except Silent:
            return {"ok": False, "why": "FAILURE_RESPONSE_TIMEOUT", "refused": False}

    async def _carry(self, question: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        await self._owner.gate.wait()
        exchange = self._owner.world.network.exchange(self._owner.name, self._far.site, question)
        return await self._owner.through(exchange)

    @staticmethod
    def _control(far: SimulatedSite, kind: str, index: int, value: int) -> Callable[[], dict[str, Any] | None]:
        loop = asyncio.get_running_loop()

        def take() -> dict[str, Any] | None:
            taken = far.operated(loop.time(), kind, index, value)
            return None if taken is None else {"ok": taken}

        return take


class GatedSolver:
    """The solver runs in the process: a stopped process does not go on with its answer."""

    def __init__(self, process: EngineProcess) -> None:
        self._process = process

    async def solve(
        self, *, hour: int, head: HeadReading, asks: Sequence[Site], settings: ControlSettings
    ) -> EnvelopeAnswer:
        """Ask the tree solver, which takes its time."""
        await self._process.through(asyncio.sleep(0.05))
        return await self._process.solver.solve(hour=hour, head=head, asks=asks, settings=settings)


def site_port(process: EngineProcess, site: SimulatedSite) -> SitePort:
    """Return the product's port to one site, by what it speaks."""
    if isinstance(site, SunSpecSimulatedSite):
        return sunspec_port(process, site)
    return Dnp3Site(Master(process, site), site.site, process.clock, FAILSAFE, OURS)


class OrderDesk:
    """Orders as the process reads them: through its own connection; None when the database does not answer."""

    def __init__(self, process: EngineProcess) -> None:
        self._process = process

    async def read(self) -> Orders | None:
        """Return what is ordered now, and whether the switching state is known."""
        world = self._process.world
        try:
            items = await self._process.through(world.store.read_orders())
        except StoreDown:
            return None
        state = world.confirmed_state()
        return Orders(items=items, topology="" if state else "a switch moved and nobody confirmed the new state")
