"""The whole: two engine processes, four sites, a database, a network and a feeder, lived second by second."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace

from derms.agreement import Terms
from telemetry.control.compliance import Stage
from telemetry.control.grant import Acknowledgement, Grant, Reading
from telemetry.control.settings import ControlSettings
from telemetry.control.state import CycleRecord
from telemetry.engine import ControlEngine
from telemetry.protocols.ports import SitePort
from tests.simulation.feeder import FAILSAFE, FLEXIBLE, HEAD, NORMAL, STATES, Plant
from tests.simulation.invariants import CYCLE_S, Checker
from tests.simulation.modbus import SunSpecSimulatedSite
from tests.simulation.network import Network
from tests.simulation.processes import EngineProcess, GatedSolver, Memory, OrderDesk, site_port
from tests.simulation.sites import SimulatedSite
from tests.simulation.store import HeadRow, Store
from tests.simulation.sunspec_leases import SunSpecLeases
from tests.unit.terms import terms

SITES = ("a", "b", "c", "d")
SUNSPEC = ("d",)
"""The others speak DNP3."""
SCADA_S = 2.0
TRIP_S = 4 * 3600.0


@dataclass
class Useful:
    """How much of the flexible part the sites were lent: safety by never lending anything does not count."""

    seconds: float = 0.0
    lent: float = 0.0
    cycles: int = 0

    @property
    def share(self) -> float:
        """Return the mean share of the flexible part, 0 to 1."""
        return self.lent / self.seconds if self.seconds else 0.0


class World:
    """One seeded night. `step()` is one second."""

    def __init__(self, seed: int) -> None:
        loop = asyncio.get_running_loop()
        self.chance = random.Random(seed)
        self.loop = loop
        self.network = Network(random.Random(seed + 1))
        self.store = Store(random.Random(seed + 2))
        self.plant = Plant(random.Random(seed + 3))
        self.sites: dict[str, SimulatedSite] = {
            name: (SunSpecSimulatedSite if name in SUNSPEC else SimulatedSite)(name, loop, random.Random(f"{seed}{name}"))
            for name in SITES
        }
        self.checker = Checker(self)
        self.leases = SunSpecLeases(self)
        self.useful = Useful()
        self.head_fault, self.head_fault_since = "", 0.0
        self.solver_broken = False
        self._confirmed: tuple[float, str] = (0.0, "normal")
        self._unconfirmed_from = 0.0
        self._known = "normal"
        self._frozen_w = 0.0
        for site in self.sites.values():
            if isinstance(site, SunSpecSimulatedSite):
                site.leased = lambda now, engine, sent, site=site: self.leases.leased(site, engine, sent)  # type: ignore[method-assign, misc]
            else:
                site.accepted = lambda now, site=site: self.checker.accepted(site)  # type: ignore[method-assign, misc]
        self.processes = [EngineProcess(name, self) for name in ("A", "B")]

    @property
    def now(self) -> float:
        """Return the true second."""
        return self.loop.time()

    def engine_for(self, process: EngineProcess) -> ControlEngine:
        """Return a fresh engine of the product for a process."""
        return ControlEngine(
            feeder="tree",
            terms=[_terms(name) for name in SITES],
            ports={name: Watched(site_port(process, site), self, process.name) for name, site in self.sites.items()},
            solver=GatedSolver(process),
            recorder=process.recorder,
            leadership=process.leadership,
            orders=OrderDesk(process),
            memory=Memory(process),
            clock=process.clock,
            settings=ControlSettings(cycle_s=CYCLE_S, most_head_w=1.5 * NORMAL[HEAD].rating_w),
        )

    def leaders(self) -> list[EngineProcess]:
        """Return the running processes that lead and whose engine has begun to act on it."""
        return [
            process for process in self.processes
            if process.running and process.engine is not None and process.leadership.epoch() is not None
            and process.engine.epoch == process.leadership.epoch()
        ]  # fmt: skip

    def recorded(self, process: EngineProcess, record: CycleRecord) -> None:
        """Take a cycle's record; SCADA trips a locked site that still does not obey."""
        self.useful.cycles += 1
        self.checker.recorded(process, record)
        for name, stage in record.stages.items():
            if stage is Stage.LOCKED and record.excess_w.get(name, 0.0) > 0:
                self.sites[name].tripped_until = self.now + TRIP_S

    def switch(self, state: str, noticed_s: float, confirmed_s: float) -> None:
        """Switch the feeder; SCADA notices after `noticed_s` and the control room confirms after `confirmed_s`."""
        self.plant.state = state
        self._unconfirmed_from = self.now + noticed_s
        self._confirmed = (self.now + noticed_s + confirmed_s, state)

    def confirmed_state(self) -> str:
        """Return the switching state that the control room may rely upon; "" while it is not sure."""
        at, state = self._confirmed
        if self.now >= at:
            self._known = state
            return state
        return "" if self.now >= self._unconfirmed_from else self._known

    def step(self) -> None:
        """Live one second."""
        now, seconds = self.now, 1.0
        for process in self.processes:
            process.raise_failures()
        for site in self.sites.values():
            site.step(seconds, now)
        self.plant.step(seconds, now, {name: site.power_w for name, site in self.sites.items()})
        if now % SCADA_S < seconds:
            self._scada(now)
        if now % 600.0 < seconds:
            self.store.back_up()
        self.checker.tick()
        self._tally(seconds)

    def _scada(self, now: float) -> None:
        true_w = self.plant.flows["head"] * (1.0 + self.chance.gauss(0.0, 0.001))
        if self.head_fault == "stale":
            return
        if self.head_fault != "frozen":
            self._frozen_w = true_w
        shown = {"x1000": true_w * 1000.0, "sign": -true_w, "nan": float("nan")}.get(self.head_fault, self._frozen_w)
        self.store.head = HeadRow(now, shown)

    def _tally(self, seconds: float) -> None:
        for site in self.sites.values():
            limit = site.limit_in_force()
            lent = limit.import_w - FAILSAFE.import_w + limit.export_w - FAILSAFE.export_w
            span = FLEXIBLE.import_w - FAILSAFE.import_w + FLEXIBLE.export_w - FAILSAFE.export_w
            self.useful.seconds += seconds
            self.useful.lent += seconds * max(0, lent) / span


def _terms(name: str) -> Terms:
    found = terms(name, failsafe=FAILSAFE, flexible=FLEXIBLE)
    return replace(found, protocol="sunspec") if name in SUNSPEC else found


class Watched:
    """A site's port that tells the checker what goes out, before it goes out."""

    def __init__(self, inner: SitePort, world: World, engine: str) -> None:
        self._inner, self._world, self._engine = inner, world, engine
        self.site, self.protocol = inner.site, inner.protocol

    async def read(self) -> Reading:
        """Read."""
        return await self._inner.read()

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Note the grant, then send it."""
        if grant.stamp is None:  # SunSpec knows no stamp: the device counts from the write
            self._world.checker.was_sent(grant, self._world.now)
            self._world.leases.sent(grant, self._engine)
        else:
            self._world.checker.was_sent(grant, self._world.sites[self.site].stamped[grant.stamp])
        return await self._inner.publish(grant)

    def messages(self) -> int:
        """Return how many requests went out."""
        return self._inner.messages()

    async def close(self) -> None:
        """Close the wire."""
        await self._inner.close()


__all__ = ["STATES", "Useful", "Watched", "World"]
