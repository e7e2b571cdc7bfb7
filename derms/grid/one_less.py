"""The states of a feeder with one element less (N-1), found and not only declared.

For each declared tie: every line on the loop that the tie closes, opened, with the tie closed, so that every load keeps its
supply; switches first. Without a tie: each line whose loss leaves every load supplied all the same (a mesh), and on any
feeder the loss of each capacitor, generator, PV system and storage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from derms.errors import InputError
from derms.grid.opendss import Circuit
from derms.grid.switching_states import SwitchingState

BANKS = ("capacitor", "generator", "pvsystem", "storage")
MOST = 60
"""States that are returned; each is studied over every hour."""

Edge = tuple[str, str, str]


def one_less(circuit: Circuit, ties: Sequence[tuple[str, str]] = (), most: int = MOST) -> tuple[list[SwitchingState], int]:
    """Return the states, and how many more there are than `most`; raises InputError for a tie to no bus.

    `ties`: pairs of buses that the utility can join.
    """
    edges = _series(circuit)
    for pair in ties:
        for bus in pair:
            circuit.bus(bus)
    switches = _switches(circuit)
    found: list[SwitchingState] = []
    for number, tie in enumerate(ties, start=1):
        for element in _ranked(_loop(edges, circuit.source_bus, tie), switches):
            found.append(
                SwitchingState(
                    _name(f"lost-{element}-tie-{number}"), opened=(element,), ties=(tie,),
                    description=f"{element} is open, {tie[0]} and {tie[1]} are joined",
                )
            )  # fmt: skip
    bridges = _bridges(edges, circuit.source_bus)
    meshed = [name for name, _, _ in edges if name.startswith("line.") and name not in bridges]
    for element in [*_ranked(meshed, switches), *_banks(circuit)]:
        found.append(SwitchingState(_name(f"lost-{element}"), opened=(element,), description=f"{element} is out"))
    return found[:most], max(0, len(found) - most)


def _series(circuit: Circuit) -> list[Edge]:
    """Return name, bus, bus of every closed line, transformer and series reactor."""
    dss, found = circuit.engine, []
    for name in dss.PDElements.AllNames():
        element = str(name).lower()
        dss.Circuit.SetActiveElement(element)
        buses = [str(bus).split(".", 1)[0].lower() for bus in dss.CktElement.BusNames()]
        shut = dss.CktElement.Enabled() and not any(dss.CktElement.IsOpen(end + 1, 0) for end in range(len(buses)))
        if element.split(".", 1)[0] in ("line", "transformer", "reactor") and shut:
            found += [(element, buses[0], other) for other in buses[1:] if other != buses[0]]
    return found


def _switches(circuit: Circuit) -> set[str]:
    lines, found = circuit.engine.Lines, set()
    for name in lines.AllNames():
        lines.Name(name)
        if lines.IsSwitch():
            found.add(f"line.{str(name).lower()}")
    return found


def _banks(circuit: Circuit) -> list[str]:
    names = (str(name).lower() for name in circuit.engine.Circuit.AllElementNames())
    return sorted(name for name in names if name.split(".", 1)[0] in BANKS)


def _ranked(elements: Iterable[str], switches: set[str]) -> list[str]:
    return sorted(set(elements), key=lambda name: (name not in switches, name))


def _neighbours(edges: Sequence[Edge]) -> dict[str, list[tuple[str, int]]]:
    around: dict[str, list[tuple[str, int]]] = {}
    for number, (_, one, two) in enumerate(edges):
        around.setdefault(one, []).append((two, number))
        around.setdefault(two, []).append((one, number))
    return around


def _loop(edges: Sequence[Edge], source: str, tie: tuple[str, str]) -> set[str]:
    """Return the lines on the two ways from the source to the tie's ends that are not common to both: the loop's."""
    around, came = _neighbours(edges), {source: (source, -1)}
    waiting = [source]
    for bus in waiting:
        for other, number in around.get(bus, ()):
            if other not in came:
                came[other] = (bus, number)
                waiting.append(other)
    ways: list[set[int]] = []
    for end in tie:
        way, bus = set(), end.lower()
        while bus in came and bus != source:
            bus, number = came[bus]
            way.add(number)
        ways.append(way)
    return {edges[number][0] for number in ways[0] ^ ways[1] if edges[number][0].startswith("line.")}


def _bridges(edges: Sequence[Edge], source: str) -> set[str]:
    """Return the elements whose opening cuts something off (Tarjan); parallel elements cut nothing."""
    around, found = _neighbours(edges), set()
    order: dict[str, int] = {source: 0}
    low: dict[str, int] = {source: 0}
    stack: list[tuple[str, int, Any]] = [(source, -1, iter(around.get(source, ())))]
    while stack:
        bus, by, rest = stack[-1]
        for other, number in rest:
            if number == by:
                continue
            if other in order:
                low[bus] = min(low[bus], order[other])
            else:
                order[other] = low[other] = len(order)
                stack.append((other, number, iter(around.get(other, ()))))
                break
        else:
            stack.pop()
            if stack:
                before = stack[-1][0]
                low[before] = min(low[before], low[bus])
                if low[bus] > order[before]:
                    found.add(edges[by][0])
    return found


def _name(text: str) -> str:
    """Return a state's name made of an element's: small letters, digits and dashes, at most 40."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower())
    if len(name) > 40:  # keep both ends: the element's own number is at the end
        name = f"{name[:18]}--{name[-20:]}"
    if not name:
        raise InputError("no name", where="state")
    return name
