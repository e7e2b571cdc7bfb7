"""Many seeded nights, and what came of them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from tests.simulation import clockwork
from tests.simulation.faults import PER_HOUR, Entry, Faults
from tests.simulation.invariants import Violation
from tests.simulation.world import World


@dataclass(frozen=True)
class Night:
    """What one seed did: hours lived, violations, faults, how useful it was, the worst overload."""

    seed: int
    hours: float
    violations: tuple[Violation, ...]
    journal: tuple[Entry, ...]
    counts: dict[str, int] = field(default_factory=dict)
    lent_share: float = 0.0
    cycles: int = 0
    worst_over: float = 0.0
    longest_over_s: float = 0.0

    def story(self, before_s: float = 900.0) -> str:
        """Return the first violation and the faults that came before it."""
        if not self.violations:
            return f"seed {self.seed}: nothing in {self.hours:g} h"
        first = self.violations[0]
        earlier = [str(entry) for entry in self.journal if first.at - before_s <= entry.at <= first.at]
        return "\n".join([f"seed {self.seed}: {first}", *earlier])


def night(seed: int, hours: float, *, per_hour: float = PER_HOUR, stop_at_first: bool = True) -> Night:
    """Live `hours` under faults drawn from `seed`; the same seed gives the same night."""
    return clockwork.run(_night(seed, hours, per_hour, stop_at_first))


async def _night(seed: int, hours: float, per_hour: float, stop_at_first: bool) -> Night:
    world = World(seed)
    faults = Faults(world, random.Random(f"faults {seed}"), per_hour)
    for process in world.processes:
        process.start()
    for _ in range(round(hours * 3600)):
        await asyncio.sleep(1.0)
        faults.step()
        world.step()
        if world.checker.violations and stop_at_first:
            break
    for process in world.processes:
        process.kill()
    checker = world.checker
    return Night(
        seed, world.now / 3600.0, tuple(checker.violations), tuple(faults.journal), faults.counts, world.useful.share,
        world.useful.cycles, checker.worst_over, checker.longest_over_s,
    )  # fmt: skip
