"""The control room's pictures as SVG text: indicators with their limits, trends, the feeder's map. Pure; colours are CSS's.

Watts never come here: kilowatts, import positive. A limit is drawn as a mark across, the value as a bar: the eye compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any

TOLERANCE = 0.02


def over(power_kw: float | None, import_kw: float, export_kw: float) -> bool:
    """Say whether a power is beyond its limits by more than the tolerance of the compliance check and 1 kW."""
    power = power_kw or 0.0
    return power > import_kw * (1 + TOLERANCE) + 1.0 or -power > export_kw * (1 + TOLERANCE) + 1.0


@dataclass(frozen=True, slots=True)
class Gauge:
    """One site's power with what bounds it, kW; limits are magnitudes."""

    power: float | None
    import_limit: float
    export_limit: float
    failsafe_import: float
    failsafe_export: float
    most_import: float
    most_export: float

    @classmethod
    def of(cls, site: Mapping[str, Any]) -> Gauge:
        """Take it from a site's entry of a board."""
        return cls(
            site.get("power_kw"), site["import_limit_kw"], site["export_limit_kw"], site["failsafe_import_kw"],
            site["failsafe_export_kw"], site["flexible_import_kw"], site["flexible_export_kw"],
        )  # fmt: skip

    @property
    def over(self) -> bool:
        """Say whether the power is beyond its limits."""
        return over(self.power, self.import_limit, self.export_limit)

    @property
    def words(self) -> str:
        """Return what the picture shows, for who cannot see it."""
        power = "power not known" if self.power is None else f"{self.power:g} kW"
        return f"{power}; may import {self.import_limit:g} kW and export {self.export_limit:g} kW" + (
            "; BEYOND ITS LIMIT" if self.over else ""
        )


def bar(gauge: Gauge, width: int = 240) -> str:
    """Return the indicator of a table's row: export to the left, import to the right of the line at zero."""
    span = max(gauge.most_import, gauge.import_limit) + max(gauge.most_export, gauge.export_limit) or 1.0
    left = max(gauge.most_export, gauge.export_limit)

    def at(kw: float) -> float:
        return round(1 + max(0.0, min(1.0, (kw + left) / span)) * (width - 2), 1)

    parts = [
        _svg(width, 22, gauge.words, "gauge"),
        f'<rect class="bar-ground" x="1" y="5" width="{width - 2}" height="12"/>',
        _rect("allowed", at(-gauge.export_limit), at(gauge.import_limit), 5, 12),
    ]
    if gauge.power is not None:
        parts.append(_rect("bar-over" if gauge.over else "bar", at(0), at(gauge.power), 8, 6))
    for kw in (-gauge.failsafe_export, gauge.failsafe_import):
        parts.append(f'<line class="failsafe" x1="{at(kw)}" x2="{at(kw)}" y1="17" y2="22"/>')
    for kw in (-gauge.export_limit, gauge.import_limit):
        parts.append(f'<line class="bar-limit" x1="{at(kw)}" x2="{at(kw)}" y1="1" y2="19"/>')
    parts.append(f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="5" y2="17"/>')
    return "".join([*parts, "</svg>"])


def faceplate(gauge: Gauge) -> str:
    """Return the large indicator of a site's faceplate, import upwards, with its marks named."""
    width, height, x, thick, top, bottom = 230, 330, 70, 46, 14, 316
    most, least = max(gauge.most_import, gauge.import_limit, 1.0), max(gauge.most_export, gauge.export_limit, 1.0)

    def at(kw: float) -> float:
        share = max(0.0, min(1.0, (most - kw) / (most + least)))
        return round(top + share * (bottom - top), 1)

    parts = [_svg(width, height, gauge.words, "gauge")]
    parts.append(f'<rect class="bar-ground" x="{x}" y="{top}" width="{thick}" height="{bottom - top}"/>')
    high, low = at(gauge.import_limit), at(-gauge.export_limit)
    parts.append(f'<rect class="allowed" x="{x}" y="{high}" width="{thick}" height="{max(0.0, low - high):g}"/>')
    if gauge.power is not None:
        a, b = sorted((at(0), at(gauge.power)))
        kind = "bar-over" if gauge.over else "bar"
        parts.append(f'<rect class="{kind}" x="{x + 9}" y="{a}" width="{thick - 18}" height="{max(1.5, b - a):g}"/>')
    zero = at(0)
    parts.append(f'<line class="zero" x1="{x - 6}" x2="{x + thick + 6}" y1="{zero}" y2="{zero}"/>')
    parts.append(_label(x - 10, zero + 4, "0", "end"))
    for kw in _ticks(-least, most):
        if abs(kw) > 1e-9:
            parts.append(f'<line class="tick" x1="{x - 5}" x2="{x}" y1="{at(kw)}" y2="{at(kw)}"/>')
            parts.append(_label(x - 10, at(kw) + 4, f"{kw:,.0f}", "end"))
    for kw in (gauge.failsafe_import, -gauge.failsafe_export):
        parts.append(f'<path class="failsafe-mark" d="M{x + thick + 1} {at(kw)}l9 -5v10z"/>')
    right = x + thick + 14
    marks = [
        (gauge.import_limit, f"may import {gauge.import_limit:g}", True),
        (-gauge.export_limit, f"may export {gauge.export_limit:g}", True),
        (gauge.failsafe_import, f"failsafe {gauge.failsafe_import:g}", False),
        (-gauge.failsafe_export, f"failsafe {gauge.failsafe_export:g}", False),
    ]
    for kw, _, strong in marks:
        if strong:
            parts.append(f'<line class="bar-limit" x1="{x - 3}" x2="{x + thick + 10}" y1="{at(kw)}" y2="{at(kw)}"/>')
    placed = _apart([(at(kw), text, strong) for kw, text, strong in marks], 14.0, top + 2, bottom + 10)
    for y, text, strong in placed:
        parts.append(_label(right, y + 4, text, "start", "strong" if strong else ""))
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a trend: name, CSS class, (moment, kW or None for a gap); `step`: held until the next value."""

    name: str
    css: str
    points: Sequence[tuple[datetime, float | None]]
    step: bool = False


def trend(
    lines: Sequence[Line], since: datetime, until: datetime, title: str, *, size: tuple[int, int] = (620, 300)
) -> str:
    """Return lines over a stretch of time with kW at the left, clock times below and the lines' names at the right."""
    (width, height), left, right, top, bottom = size, 50, 112, 14, 28
    values = [value for line in lines for _, value in line.points if value is not None]
    high, low = max([*values, 1.0]) * 1.04, min([*values, 0.0]) * 1.04
    seconds = max(1.0, (until - since).total_seconds())

    def x_at(moment: datetime) -> float:
        return round(left + (moment - since).total_seconds() / seconds * (width - left - right), 1)

    def y_at(kw: float) -> float:
        return round(top + (high - kw) / (high - low) * (height - top - bottom), 1)

    parts = [_svg(width, height, title, "trend")]
    for kw in _ticks(low, high):
        css = "axis" if abs(kw) < 1e-9 else "grid"
        parts.append(f'<line class="{css}" x1="{left}" x2="{width - right}" y1="{y_at(kw)}" y2="{y_at(kw)}"/>')
        parts.append(_label(left - 6, y_at(kw) + 4, f"{kw:,.0f}", "end"))
    for moment in _moments(since, until):
        x = x_at(moment)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{height - bottom}"/>')
        parts.append(_label(x, height - bottom + 15, f"{moment:%H:%M}", "middle"))
    parts.append(_label(width - right + 22, height - bottom + 15, "UTC", "start"))
    ends = []
    for line in lines:
        parts += [f'<polyline class="line {line.css}" points="{points}"/>' for points in _runs(line, x_at, y_at)]
        known = [value for _, value in line.points if value is not None]
        if known:
            ends.append((y_at(known[-1]), f"{line.name} {round(known[-1]) + 0:,}", line.css))
    for y, text, css in _apart(ends, 15.0, top + 4, height - bottom):
        parts.append(f'<line class="line {css}" x1="{width - right + 4}" x2="{width - right + 18}" y1="{y}" y2="{y}"/>')
        parts.append(_label(width - right + 22, y + 4, text, "start", "strong" if css == "one" else ""))
    parts.append(_label(4, 10, "kW", "start"))
    return "".join([*parts, "</svg>"])


def band(low: float | None, high: float | None, title: str = "voltage", width: int = 120) -> str:
    """Return the spread of voltages against 0.95 to 1.05 pu (ANSI C84.1, range A), on a scale of 0.93 to 1.07."""
    if low is None or high is None:
        return ""

    def at(pu: float) -> float:
        return round(max(0.0, min(1.0, (pu - 0.93) / 0.14)) * (width - 2) + 1, 1)

    bad = low < 0.95 or high > 1.05
    words = f"{title} {low:.3f} to {high:.3f} pu, band 0.95 to 1.05" + ("; OUT OF BAND" if bad else "")
    parts = [
        _svg(width, 18, words, "gauge"),
        f'<rect class="bar-ground" x="1" y="4" width="{width - 2}" height="10"/>',
        _rect("allowed", at(0.95), at(1.05), 4, 10),
        _rect("bar-over" if bad else "bar", at(low), max(at(high), at(low) + 2), 6, 6),
    ]
    for pu in (0.95, 1.05):
        parts.append(f'<line class="bar-limit" x1="{at(pu)}" x2="{at(pu)}" y1="1" y2="17"/>')
    return "".join([*parts, "</svg>"])


def loading(percent: float | None, width: int = 160) -> str:
    """Return a loading against 100 % of the rating, on a scale to 125 %."""
    if percent is None:
        return ""
    end, mark = round(1 + min(1.0, percent / 125) * (width - 2), 1), round(1 + 0.8 * (width - 2), 1)
    words = f"{percent:g} % of its rating" + ("; ABOVE IT" if percent > 100 else "")
    return "".join([
        _svg(width, 18, words, "gauge"), f'<rect class="bar-ground" x="1" y="4" width="{width - 2}" height="10"/>',
        _rect("bar-over" if percent > 100 else "bar", 1, end, 6, 6),
        f'<line class="bar-limit" x1="{mark}" x2="{mark}" y1="1" y2="17"/></svg>',
    ])  # fmt: skip


def _runs(line: Line, x_at: Any, y_at: Any) -> list[str]:
    """Return the stretches between gaps as points."""
    runs: list[list[str]] = [[]]
    before: float | None = None
    for moment, value in line.points:
        if value is None:
            runs.append([])
        else:
            if line.step and before is not None:
                runs[-1].append(f"{x_at(moment)},{y_at(before)}")
            runs[-1].append(f"{x_at(moment)},{y_at(value)}")
        before = value
    return [" ".join(run) for run in runs if len(run) > 1]


def _ticks(low: float, high: float) -> list[float]:
    """Return three to seven round values within a range."""
    span = high - low
    step = next(
        size * 10**power for power in range(-2, 8) for size in (1, 2, 2.5, 5) if span / (size * 10**power) <= 6
    )  # fmt: skip
    first = -int(-low // step) if low > 0 else -int(-low / step)
    return [number * step for number in range(first, int(high / step) + 1)]


def _moments(since: datetime, until: datetime) -> list[datetime]:
    """Return four to nine round clock times within a stretch."""
    seconds = (until - since).total_seconds()
    every = next(
        (step for step in (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600) if seconds / step <= 8), 86_400
    )
    day = since.replace(hour=0, minute=0, second=0, microsecond=0)
    first = int(-(-(since - day).total_seconds() // every))
    found = []
    while (moment := day + timedelta(seconds=first * every)) <= until:
        found.append(moment)
        first += 1
    return found


def _apart(items: list[tuple[float, str, Any]], gap: float, top: float, bottom: float) -> list[tuple[float, str, Any]]:
    """Return labels moved just so far that none covers another."""
    placed: list[tuple[float, str, Any]] = []
    for y, text, more in sorted(items, key=lambda item: item[0]):
        floor = placed[-1][0] + gap if placed else top
        placed.append((max(y, floor), text, more))
    over_by = placed[-1][0] - bottom if placed else 0.0
    if over_by > 0:
        ceiling = bottom
        for place in range(len(placed) - 1, -1, -1):
            y = min(placed[place][0], ceiling)
            placed[place] = (y, *placed[place][1:])
            ceiling = y - gap
    return placed


def _rect(css: str, a: float, b: float, y: float, height: float) -> str:
    low, high = sorted((a, b))
    return f'<rect class="{css}" x="{low:g}" y="{y:g}" width="{high - low:g}" height="{height:g}"/>'


def _svg(width: float, height: float, title: str, css: str) -> str:
    return (
        f'<svg class="chart {css}" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    )


def _label(x: float, y: float, text: str, anchor: str, css: str = "") -> str:
    named = f' class="{css}"' if css else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
