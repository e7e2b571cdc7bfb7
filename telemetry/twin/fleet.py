"""A fleet's day: who arrives when, with how much, and must leave when. Seeded, so that every run meets the same fleet."""

from __future__ import annotations

import random
from dataclasses import dataclass

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Visit:
    """One vehicle's stay: seconds since noon, state of charge 0..1 at arrival and wanted at departure."""

    arrives_s: float
    leaves_s: float
    arrives_with: float
    leaves_with: float


def depot_night(count: int, seed: int = 7) -> tuple[Visit, ...]:
    """Return the night of a school-bus depot: back 15:45-17:00 with 15-30 %, away 05:00-06:30 with 95 %."""
    chance = random.Random(seed)  # noqa: S311  (a simulated fleet)
    return tuple(
        Visit(
            arrives_s=chance.uniform(3.75, 5.0) * HOUR,
            leaves_s=chance.uniform(17.0, 18.5) * HOUR,
            arrives_with=chance.uniform(0.15, 0.30),
            leaves_with=0.95,
        )
        for _ in range(count)
    )


def workplace_day(count: int, seed: int = 11) -> tuple[Visit, ...]:
    """Return a small workplace: some cars stay until the evening, some come for the night shift."""
    chance = random.Random(seed)  # noqa: S311  (a simulated fleet)
    visits = []
    for place in range(count):
        late = place % 2 == 1
        arrives = chance.uniform(9.0, 10.0) if late else chance.uniform(0.0, 1.0)
        stays = chance.uniform(6.0, 8.0)
        visits.append(Visit(arrives * HOUR, (arrives + stays) * HOUR, chance.uniform(0.3, 0.6), 0.85))
    return tuple(visits)
