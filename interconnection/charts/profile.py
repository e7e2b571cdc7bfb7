"""The voltage profile: every wire as a stroke from one bus to the next, along the electrical distance from the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interconnection.charts.svg import Frame, opening, round_steps, rule, words

WIDTH, HEIGHT = 760.0, 300.0
LOW_VOLTAGE_V = 1000 / 3**0.5
"""Line to neutral volts up to which a bus is low voltage (IEC 60038)."""
STYLES = {1: "line", 2: "line two", 3: "line three"}


def voltage_profile(
    buses: Sequence[Sequence[Any]], elements: Sequence[Sequence[Any]], state: Mapping[str, Any], *,
    band: tuple[float, float], site: str, with_site: bool, title: str, scope: str = "mv",
) -> str:  # fmt: skip
    """Return the picture.

    `buses`, `elements`: as a feeder version describes them; `state`: as `derms.grid.picture` gives it; `band`: the lowest
    and highest voltage allowed, per unit; `site`: the bus that is marked; `scope` "mv": buses up to 1 kV are left out.
    """
    which = 2 if with_site else 1
    place = {bus[0]: number for number, bus in enumerate(buses)}
    far: list[float | None] = [
        distance if scope == "all" or bus[2] > LOW_VOLTAGE_V or bus[0] == site else None
        for bus, distance in zip(buses, state["distance"], strict=True)
    ]
    volts = [{entry[0]: entry[which] for entry in entries} for entries in state["v"]]
    seen = [value for number, entry in enumerate(volts) if far[number] is not None for value in entry.values()]
    if not seen:
        return ""
    low, high = min(*seen, band[0]) - 0.005, max(*seen, band[1]) + 0.005
    most = max(value for value in far if value is not None) or 1.0
    frame = Frame(WIDTH, HEIGHT, 50, 38, most, low, high)
    strokes: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for element in elements:
        one, two = place.get(element[4]), place.get(element[5])
        if one is None or two is None:
            continue
        start, end = far[one], far[two]
        if start is None or end is None:
            continue
        for phase in set(volts[one]) & set(volts[two]):
            ends = (frame.x(start), frame.y(volts[one][phase]), frame.x(end), frame.y(volts[two][phase]))
            strokes[phase].append(f"M{ends[0]:.0f} {ends[1]:.1f}L{ends[2]:.0f} {ends[3]:.1f}")
    parts = [opening(WIDTH, HEIGHT, title)]
    parts.append(
        frame.axes(
            "electrical distance from the head, % on 1 MVA", "pu", round_steps(0, most, 6), round_steps(low, high, 5), 2
        )
    )
    for value in band:
        parts.append(rule(frame.left, frame.y(value), WIDTH - frame.right, frame.y(value), "mark bad"))
        parts.append(words(WIDTH - frame.right, frame.y(value) - 4, f"limit {value:g}", "end"))
    for phase, drawn in strokes.items():
        if drawn:
            parts.append(f'<path class="{STYLES[phase]} thin" d="{"".join(drawn)}"/>')
    mine = place.get(site)
    if mine is not None and (at := far[mine]) is not None:
        x = frame.x(at)
        for value in volts[mine].values():
            parts.append(f'<circle class="dot here" cx="{x:.1f}" cy="{frame.y(value):.1f}" r="4"/>')
        parts.append(words(x, frame.y(min(volts[mine].values())) + 16, f"bus {site}", "middle", "strong"))
    return "".join([*parts, "</svg>"])
