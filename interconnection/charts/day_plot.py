"""Lines over a day, for the demo's report and a site's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from interconnection.charts.svg import opening, words


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a day's plot: name, CSS class, (hour, value) points."""

    name: str
    css: str
    points: Sequence[tuple[float, float]]


def day_plot(series: Sequence[Series], title: str, unit: str, *, mark: float | None = None, clock: bool = True) -> str:
    """Return lines over the 24 hours from noon, with a mark (a limit) across; without a clock, over any span."""
    width, height, left, bottom = 720, 220, 56, 40
    top_value = max([mark or 0.0, 1.0] + [value for line in series for _, value in line.points]) * 1.05
    low_value = min([0.0] + [value for line in series for _, value in line.points])

    def at(hour: float, value: float) -> str:
        x = left + hour / 24 * (width - left - 10)
        y = 10 + (top_value - value) / (top_value - low_value) * (height - bottom - 10)
        return f"{x:.1f},{y:.1f}"

    parts = [opening(width, height, title)]
    for hour in range(0, 25, 3):
        across = at(hour, low_value).split(",")[0]
        parts.append(f'<line class="grid" x1="{across}" x2="{across}" y1="10" y2="{height - bottom}"/>')
        if clock:
            parts.append(words(float(across), height - bottom + 14, f"{(12 + hour) % 24:02d}:00", "middle"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low_value + share * (top_value - low_value)
        y = float(at(0, value).split(",")[1])
        parts.append(words(left - 6, y + 4, f"{value:,.0f}", "end"))
    if mark is not None:
        level = at(0, mark).split(",")[1]
        parts.append(f'<line class="mark" x1="{left}" x2="{width - 10}" y1="{level}" y2="{level}"/>')
    for place, line in enumerate(series):
        points = " ".join(at(hour, value) for hour, value in line.points)
        parts.append(f'<polyline class="line {escape(line.css)}" points="{points}"/>')
        start = left + 8 + place * 130
        parts.append(
            f'<line class="line {escape(line.css)}" x1="{start}" x2="{start + 18}" y1="{height - 10}" y2="{height - 10}"/>'
        )
        parts.append(words(start + 24, height - 6, line.name, "start"))
    parts.append(words(4, 12, unit, "start"))
    return "".join([*parts, "</svg>"])
