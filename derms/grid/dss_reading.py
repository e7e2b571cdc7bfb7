"""What a compiled circuit is made of, read out of OpenDSS once: buses, rated elements, length of the load shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.grid.dss_context import each
from derms.grid.line_ratings import stated_line_ratings


@dataclass(frozen=True, slots=True)
class Bus:
    """A bus: its phases, base volts (line to neutral), place in the feeder's own coordinates, km from the head."""

    name: str
    phases: tuple[int, ...]
    base_v: float
    x: float | None
    y: float | None
    distance_km: float


@dataclass(frozen=True, slots=True)
class Element:
    """A line or transformer with its normal ampere rating and where that number comes from."""

    name: str
    kind: str
    normal_amps: float
    rating_origin: str
    bus1: str
    bus2: str
    phases: int


def longest_shape(dss: Any) -> int:
    """Return how many hours the longest yearly shape that a load uses has; 1 where none has any."""
    used = set()
    for _ in each(dss.Loads):
        used.add(dss.Loads.Yearly().lower())
    longest = 1
    for _ in each(dss.LoadShape):
        if dss.LoadShape.Name().lower() in used:
            longest = max(longest, int(dss.LoadShape.Npts()))
    return longest


def read_buses(dss: Any) -> dict[str, Bus]:
    """Return the buses by name, small letters."""
    buses = {}
    distances = dss.Circuit.AllBusDistances()
    for number, name in enumerate(dss.Circuit.AllBusNames()):
        dss.Circuit.SetActiveBusi(number)
        placed = bool(dss.Bus.Coorddefined())
        phases = tuple(sorted(node for node in dss.Bus.Nodes() if 1 <= node <= 3))
        buses[name.lower()] = Bus(
            name.lower(),
            phases,
            float(dss.Bus.kVBase()) * 1000.0,
            float(dss.Bus.X()) if placed else None,
            float(dss.Bus.Y()) if placed else None,
            float(distances[number]),
        )
    return buses


def read_elements(dss: Any) -> tuple[tuple[Element, ...], NDArray[np.int64]]:
    """Return the rated lines and transformers, and each one's place among OpenDSS's power delivery elements."""
    stated = stated_line_ratings(dss)
    elements, columns = [], []
    for column, name in enumerate(item.lower() for item in dss.PDElements.AllNames()):
        kind = name.split(".", 1)[0]
        if kind not in ("line", "transformer"):
            continue
        dss.Circuit.SetActiveElement(name)
        amps = float(dss.CktElement.NormalAmps())
        if not dss.CktElement.Enabled() or amps <= 0:
            continue
        buses = [bus.split(".", 1)[0].lower() for bus in dss.CktElement.BusNames()]
        origin = "nameplate" if kind == "transformer" else "stated" if name[5:] in stated else "default"
        elements.append(Element(name, kind, amps, origin, buses[0], buses[1], int(dss.CktElement.NumPhases())))
        columns.append(column)
    return tuple(elements), np.array(columns, dtype=np.int64)
