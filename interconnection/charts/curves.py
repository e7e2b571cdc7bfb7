"""Duration curves and bars: how often how much, and because of what."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from interconnection.charts.svg import Frame, opening, polyline, round_steps, rule, thin, words

WIDTH, HEIGHT = 540.0, 184.0


def duration_curve(values_kw: Sequence[float], asked_kw: float, title: str, firm_kw: float | None = None) -> str:
    """Return the limits sorted from the least to the most against the hours of the study, with firm as a mark."""
    ordered = sorted(values_kw)
    frame = Frame(WIDTH, HEIGHT, 52, 36, max(1, len(ordered)), 0.0, max(asked_kw, ordered[-1], 1.0))
    points = [(frame.x(place), frame.y(ordered[place])) for place in thin(len(ordered), 300)]
    if len(ordered) == 1:
        points.append((frame.x(1), frame.y(ordered[0])))
    parts = [opening(WIDTH, HEIGHT, title), _axes(frame, "hours of the study, least first", "kW")]
    base = frame.y(0)
    area = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(points[0][0], base), *points, (points[-1][0], base)])
    parts += [f'<polygon class="area" points="{area}"/>', polyline(points, "line")]
    if firm_kw is not None:
        parts.append(rule(frame.left, frame.y(firm_kw), WIDTH - frame.right, frame.y(firm_kw), "mark"))
        parts.append(words(WIDTH - frame.right, frame.y(firm_kw) - 4, f"firm {firm_kw:,g}", "end", "strong"))
    return "".join([*parts, "</svg>"])


def curtailment_curve(values_kw: Sequence[float], asked_kw: float, title: str) -> str:
    """Return what is missing from the request, the most first, over the hours in which something is."""
    missing = sorted((asked_kw - value for value in values_kw if value < asked_kw), reverse=True)
    if not missing:
        return ""
    frame = Frame(WIDTH, HEIGHT, 52, 36, len(missing), 0.0, max(missing[0], 1.0))
    points = [(frame.x(place), frame.y(missing[place])) for place in thin(len(missing), 300)] + [
        (frame.x(len(missing)), frame.y(0.0))
    ]
    base = frame.y(0)
    area = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(frame.left, base), *points])
    parts = [opening(WIDTH, HEIGHT, title), _axes(frame, "hours in which something is missing", "kW missing")]
    return "".join([*parts, f'<polygon class="area" points="{area}"/>', polyline(points, "line"), "</svg>"])


def _axes(frame: Frame, along: str, up: str) -> str:
    return frame.axes(along, up, round_steps(0, frame.x_most, 5), round_steps(0, frame.y_high, 4))


def bars(rows: Sequence[tuple[str, float, str]], title: str) -> str:
    """Return horizontal bars: (name, value, words at the end), the longest across the whole width."""
    if not rows:
        return ""
    line, left, width = 22, 210, 540.0
    most = max(value for _, value, _ in rows) or 1.0
    parts = [opening(width, line * len(rows) + 4, title)]
    for place, (name, value, tail) in enumerate(rows):
        y = place * line + 3
        length = max(1.0, value / most * (width - left - 90))
        short = name if len(name) <= 34 else name[:33] + "…"
        parts.append(words(left - 8, y + 12, short, "end", "strong"))
        parts.append(
            f'<rect class="bar" x="{left}" y="{y}" width="{length:.1f}" height="15"><title>{escape(name)}</title></rect>'
        )
        parts.append(words(left + length + 6, y + 12, tail))
    return "".join([*parts, "</svg>"])
