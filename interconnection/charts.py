"""Pictures as SVG text: the same numbers go to the page, to the report, and to the table beside them. Pure.

Colours come from the page's CSS (`currentColor`, classes); nothing here needs a script or another host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
CELL_W, CELL_H, LEFT, TOP = 26, 18, 40, 22


@dataclass(frozen=True, slots=True)
class Cell:
    """One month and hour of day: the least limit, what binds there, in how many hours."""

    month: int
    hour: int
    least_kw: float
    binding: str
    limited: int
    hours: int


def cells(hours: Sequence[int], values_kw: Sequence[float], binding: Sequence[str]) -> list[Cell]:
    """Return the 12 × 24 cells of a year's hourly limits (hour of year, kW, criterion or "")."""
    months = [month for month, days in enumerate(MONTH_DAYS) for _ in range(days * 24)]
    groups: dict[tuple[int, int], list[tuple[float, str]]] = {}
    for hour, value, criterion in zip(hours, values_kw, binding, strict=True):
        groups.setdefault((months[hour % 8760], hour % 24), []).append((value, criterion))
    found = []
    for (month, hour_of_day), members in sorted(groups.items()):
        least, criterion = min(members)
        limited = sum(1 for _, reason in members if reason)
        found.append(Cell(month, hour_of_day, least, criterion, limited, len(members)))
    return found


def heat_map(found: Sequence[Cell], asked_kw: float, title: str) -> str:
    """Return the 12 × 24 heat map: full where the request fits, the fainter the less is there; what binds as border."""
    parts = [_open(LEFT + 24 * CELL_W + 8, TOP + 12 * CELL_H + 22, title)]
    for hour in range(0, 24, 3):
        parts.append(_text(LEFT + (hour + 0.5) * CELL_W, TOP - 6, f"{hour:02d}", "middle"))
    for month, name in enumerate(MONTHS):
        parts.append(_text(LEFT - 6, TOP + (month + 0.72) * CELL_H, name, "end"))
    for cell in found:
        share = min(1.0, cell.least_kw / asked_kw) if asked_kw > 0 else 1.0
        kind = {"overvoltage": "voltage", "undervoltage": "voltage"}.get(cell.binding, cell.binding)
        note = f"{MONTHS[cell.month]} {cell.hour:02d}:00 at least {cell.least_kw:g} kW"
        if cell.binding:
            note += f", {cell.binding}, limited in {cell.limited} of {cell.hours} hours"
        parts.append(
            f'<rect class="cell level-{int(share * 10)} by-{escape(kind or "none")}" x="{LEFT + cell.hour * CELL_W + 1}" '
            f'y="{TOP + cell.month * CELL_H + 1}" width="{CELL_W - 2}" height="{CELL_H - 2}">'
            f"<title>{escape(note)}</title></rect>"
        )
    parts.append(
        _text(LEFT, TOP + 12 * CELL_H + 16, "hour of day; solid border: thermal, dashed: voltage, dotted: other", "start")
    )
    return "".join([*parts, "</svg>"])


def duration_curve(values_kw: Sequence[float], asked_kw: float, title: str) -> str:
    """Return the limits sorted from the least to the most, against the hours of the study."""
    width, height, left, bottom = 560, 180, 56, 24
    ordered = sorted(values_kw)
    top_kw = max(asked_kw, ordered[-1], 1.0)
    points = []
    for index in _thin(len(ordered), 400):
        x = left + index / max(1, len(ordered) - 1) * (width - left - 10)
        y = 10 + (1 - ordered[index] / top_kw) * (height - bottom - 10)
        points.append(f"{x:.1f},{y:.1f}")
    parts = [_open(width, height, title), f'<polyline class="line" points="{" ".join(points)}"/>']
    for share in (0.0, 0.5, 1.0):
        y = 10 + (1 - share) * (height - bottom - 10)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 6, y + 4, f"{share * top_kw:,.0f}", "end"))
    parts.append(_text(left, height - 6, "0 h", "start"))
    parts.append(_text(width - 10, height - 6, f"{len(ordered)} h", "end"))
    return "".join([*parts, "</svg>"])


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

    parts = [_open(width, height, title)]
    for hour in range(0, 25, 3):
        across = at(hour, low_value).split(",")[0]
        parts.append(f'<line class="grid" x1="{across}" x2="{across}" y1="10" y2="{height - bottom}"/>')
        if clock:
            parts.append(_text(float(across), height - bottom + 14, f"{(12 + hour) % 24:02d}:00", "middle"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low_value + share * (top_value - low_value)
        y = float(at(0, value).split(",")[1])
        parts.append(_text(left - 6, y + 4, f"{value:,.0f}", "end"))
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
        parts.append(_text(start + 24, height - 6, line.name, "start"))
    parts.append(_text(4, 12, unit, "start"))
    return "".join([*parts, "</svg>"])


def _thin(count: int, most: int) -> list[int]:
    step = max(1, count // most)
    return sorted({*range(0, count, step), count - 1})


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
