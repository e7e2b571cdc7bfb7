"""The largest multiple of a direction that keeps every criterion: chords between exact power-flow points.

The direction is anything that a number in 0..1 scales: one site's power in a study, all sites' limits together in an
envelope. Each step solves the AC power flow exactly; for every constraint a chord between the last good and the first
bad point says where it would be met, and the least of these is the next point. The answer is always a point that was
itself solved and found good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from derms.errors import NotConverged
from derms.grid.criteria import Criteria
from derms.grid.opendss import Snapshot

SolveAt = Callable[[float], Snapshot]
MOST_STEPS = 60


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: how far (0..1), what stops it there ("" when nothing does), and the state at that point."""

    fraction: float
    criterion: str
    element: str
    state: Snapshot
    solves: int


@dataclass(slots=True)
class _Point:
    at: float
    state: Snapshot | None
    margins: np.ndarray | None


def furthest(solve_at: SolveAt, start: Snapshot, base: Snapshot, criteria: Criteria, *, resolution: float) -> Found:
    """Return the largest fraction in 0..1 for which all criteria hold.

    `start`: the solved state at 0; `base`: the state that "no worse" compares with; `resolution`: in fractions.
    A point where the power flow does not converge counts as broken ("convergence").
    """
    names = [(item.criterion, item.index) for item in criteria.margins(start, base)]

    def look(at: float) -> _Point:
        try:
            state = solve_at(at)
        except NotConverged:
            return _Point(at, None, None)
        return _Point(at, state, np.concatenate([item.margin for item in criteria.margins(state, base)]))

    low = _Point(0.0, start, np.concatenate([item.margin for item in criteria.margins(start, base)]))
    if low.margins is not None and low.margins.min() < 0.0:
        criterion, element = _what(low, names, criteria)
        return Found(0.0, criterion, element, start, 0)
    high = look(1.0)
    solves = 1
    if _good(high):
        assert high.state is not None
        return Found(1.0, "", "", high.state, solves)
    side = 0
    while high.at - low.at > resolution and solves < MOST_STEPS:
        at, side = _next(low, high, resolution, side)
        point = look(at)
        solves += 1
        if _good(point):
            low = point
        else:
            high = point
    criterion, element = _what(high, names, criteria)
    assert low.state is not None
    return Found(low.at, criterion, element, low.state, solves)


def _good(point: _Point) -> bool:
    return point.margins is not None and bool(point.margins.min() >= 0.0)


def _next(low: _Point, high: _Point, resolution: float, side: int) -> tuple[float, int]:
    """Return where to look next: just inside and just outside the chord's crossing in turn, else the middle."""
    width = high.at - low.at
    if high.margins is None or low.margins is None or side >= 6:
        return low.at + width / 2.0, 0
    broken = high.margins < 0.0
    share = low.margins[broken] / (low.margins[broken] - high.margins[broken])
    crossing = low.at + width * float(share.min())
    step = resolution * 0.45
    guess = crossing + (step if side % 2 else -step)
    edge = min(resolution * 0.5, width * 0.25)
    return min(max(guess, low.at + edge), high.at - edge), side + 1


def _what(point: _Point, names: list[tuple[str, np.ndarray]], criteria: Criteria) -> tuple[str, str]:
    """Return the criterion and element that are broken worst at a point, relative to nothing but their own scale."""
    if point.margins is None:
        return "convergence", "power flow"
    place = int(point.margins.argmin())
    for criterion, index in names:
        if place < len(index):
            return criterion, criteria.name(criterion, int(index[place]))
        place -= len(index)
    raise AssertionError("a margin without a criterion")
