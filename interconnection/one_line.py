"""Where a feeder's buses stand on paper: its own coordinates, or a one-line form where the model states too few. Pure.

The one-line form is a tree from the head: to the right by the number of elements in between, a line of its own for each
end. A mesh is drawn along its shortest ways; what closes a loop is drawn between the places that it joins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

STATED = 0.5
"""With coordinates at fewer than this part of the buses the one-line form is drawn."""
SHAPE = 1.6
"""How much wider than high the one-line form is drawn."""
Place = tuple[float, float]


def places(description: Mapping[str, Any]) -> tuple[dict[str, Place], bool]:
    """Return each bus's place, and whether this is the one-line form.

    `description`: buses as (name, phases, base V, x, y, km), elements as (name, kind, amps, origin, bus, bus, phases).
    In the feeder's own coordinates a bus without any is left out; in the one-line form every bus that an element reaches
    has one.
    """
    own = {bus[0]: (float(bus[3]), float(bus[4])) for bus in description["buses"] if bus[3] is not None}
    if len(own) >= max(2, STATED * len(description["buses"])):
        return own, False
    found = one_line(description)
    wide = max((x for x, _ in found.values()), default=0.0)
    high = -min((y for _, y in found.values()), default=0.0)
    stretch = SHAPE * high / wide if wide and high else 1.0
    return {bus: (x * stretch, y) for bus, (x, y) in found.items()}, True


def one_line(description: Mapping[str, Any]) -> dict[str, Place]:
    """Return a place for each bus that an element reaches: x in elements from the head, y in lines downwards."""
    beside: dict[str, list[str]] = {bus[0]: [] for bus in description["buses"]}
    for element in description["elements"]:
        one, two = element[4], element[5]
        if one != two and one in beside and two in beside:
            beside[one].append(two)
            beside[two].append(one)
    found: dict[str, Place] = {}
    line = 0.0
    # The head first, then whatever is not joined to it.
    for bus in sorted(description["buses"], key=lambda bus: (bus[5], bus[0])):
        if bus[0] not in found and beside[bus[0]]:
            line = _tree(bus[0], beside, found, line)
    return found


def _tree(head: str, beside: Mapping[str, list[str]], found: dict[str, Place], line: float) -> float:
    """Place a tree from its head, the first free line being `line`; return the next free one."""
    depth, below, order = {head: 0}, {head: list[str]()}, [head]
    waiting = deque([head])
    while waiting:
        bus = waiting.popleft()
        for other in beside[bus]:
            if other not in depth:
                depth[other], below[other] = depth[bus] + 1, []
                below[bus].append(other)
                order.append(other)
                waiting.append(other)
    ends = dict.fromkeys(order, 0)
    for bus in reversed(order):
        ends[bus] = sum(ends[other] for other in below[bus]) or 1
    first = {head: line}
    for bus in order:
        at = first[bus]
        # The longest branch goes straight on, the others turn off below it.
        for other in sorted(below[bus], key=lambda other: -ends[other]):
            first[other] = at
            at += ends[other]
        found[bus] = (float(depth[bus]), -first[bus])
    return line + ends[head]
