"""A feeder's map from its own coordinates or in one-line form: lines grey, sites and the most loaded element named. Pure.

Nothing is drawn where a bus has no place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from interconnection.one_line import places

WIDTH, HEIGHT, EDGE = 640.0, 400.0, 22.0


@dataclass(frozen=True, slots=True)
class Place:
    """One site on the map: its bus, its name, the word of its state."""

    bus: str
    name: str
    state: str
    link: str = ""


def feeder_map(description: Mapping[str, Any], sites: Sequence[Place], element: str = "", overloaded: bool = False) -> str:
    """Return the map, or an empty text where there is nothing to draw.

    `description`: buses as (name, phases, base V, x, y, km) and elements as (name, kind, amps, origin, bus, bus, phases).
    """
    at = _places(description)
    if len(at) < 2:
        return ""
    parts = [
        f'<svg class="chart oneline" role="img" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(_words(description, sites, element))}</title>'
    ]
    lines: dict[str, list[str]] = {"three": [], "one": []}
    transformers, marked = [], ""
    for name, kind, _, _, bus1, bus2, phases in description["elements"]:
        ends = at.get(bus1), at.get(bus2)
        if ends[0] is None or ends[1] is None:
            continue
        path = f"M{ends[0][0]} {ends[0][1]}L{ends[1][0]} {ends[1][1]}"
        lines["three" if phases >= 3 else "one"].append(path)
        if kind == "transformer":
            transformers.append(ends[1])
        if name == element:
            marked = path
    for css, paths in lines.items():
        parts.append(f'<path class="wire {css}" d="{"".join(paths)}"/>')
    parts += [f'<circle class="device" cx="{x}" cy="{y}" r="3.4"/>' for x, y in transformers[:200]]
    if marked:
        parts.append(
            f'<path class="wire worst{" bad" if overloaded else ""}" d="{marked}"><title>{escape(element)}</title></path>'
        )
    head = min(description["buses"], key=lambda bus: bus[5])[0]
    if head in at:
        x, y = at[head]
        parts.append(f'<rect class="head" x="{x - 5}" y="{y - 5}" width="10" height="10"/>{_text(x + 9, y + 4, "head")}')
    seen = [place for place in sites if place.bus in at]
    for place, y in zip(seen, _label_heights([at[place.bus] for place in seen]), strict=True):
        parts.append(_site(place, *at[place.bus], y))
    return "".join([*parts, "</svg>"])


def _label_heights(points: Sequence[tuple[float, float]]) -> list[float]:
    """Return where each site's name stands: beside its mark, moved up where another name is near."""
    taken: list[tuple[float, float]] = []
    for x, y in points:
        height = y - 8
        while any(abs(x - other_x) < 150 and abs(height - other_y) < 13 for other_x, other_y in taken) and height > 12:
            height -= 13
        taken.append((x, height))
    return [height for _, height in taken]


def _site(place: Place, x: float, y: float, label_y: float) -> str:
    """Return a site's mark: its shape says its state, its colour only that it is abnormal."""
    shapes = {
        "lease": f'<circle class="site" cx="{x}" cy="{y}" r="6"/>',
        "not permitted": f'<circle class="site off" cx="{x}" cy="{y}" r="5"/>',
        "failsafe": f'<rect class="site caution" x="{x - 5.5}" y="{y - 5.5}" width="11" height="11"/>',
        "silent": f'<path class="site cross" d="M{x - 6} {y - 6}L{x + 6} {y + 6}M{x + 6} {y - 6}L{x - 6} {y + 6}"/>',
    }
    shape = shapes.get(place.state, f'<path class="site bad" d="M{x} {y - 8}L{x + 8} {y + 6}L{x - 8} {y + 6}Z"/>')
    mark = f"{shape}<title>{escape(place.name)}: {escape(place.state)}</title>"
    end = x > WIDTH - 150
    label = _text(x - 10 if end else x + 10, label_y, place.name, "end" if end else "start")
    inner = f"<g>{mark}</g>{label}"
    return f'<a href="{escape(place.link)}" aria-label="{escape(place.name)}">{inner}</a>' if place.link else inner


def _places(description: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the pixel of each bus; one scale for both directions, north upwards."""
    known = places(description)[0] if description.get("buses") else {}
    if not known:
        return {}
    xs, ys = [x for x, _ in known.values()], [y for _, y in known.values()]
    span_x, span_y = max(xs) - min(xs) or 1.0, max(ys) - min(ys) or 1.0
    scale = min((WIDTH - 2 * EDGE) / span_x, (HEIGHT - 2 * EDGE) / span_y)
    left, low = (WIDTH - scale * span_x) / 2, (HEIGHT - scale * span_y) / 2
    return {
        name: (round(left + (x - min(xs)) * scale, 1), round(HEIGHT - low - (y - min(ys)) * scale, 1))
        for name, (x, y) in known.items()
    }


def _words(description: Mapping[str, Any], sites: Sequence[Place], element: str) -> str:
    said = ", ".join(f"{place.name} at bus {place.bus}: {place.state}" for place in sites) or "no site"
    return f"map of {description.get('name', 'the feeder')}; {said}" + (f"; most loaded: {element}" if element else "")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="strong" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def rating_kw(description: Mapping[str, Any], element: str) -> float | None:
    """Return an element's rating in kilowatts at nominal voltage and unity power factor; None for an unknown one."""
    found = next((item for item in description.get("elements", ()) if item[0] == element), None)
    base = next((bus[2] for bus in description.get("buses", ()) if found is not None and bus[0] == found[4]), None)
    return None if found is None or base is None else float(found[2]) * float(base) * min(int(found[6]), 3) / 1000.0
