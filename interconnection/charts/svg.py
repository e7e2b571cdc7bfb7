"""SVG text: one door for numbers and words on a picture. Colours come from the page's CSS by class; no script, no host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def opening(width: float, height: float, title: str) -> str:
    """Return the start of a picture with its accessible name."""
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    )


def words(x: float, y: float, text: str, anchor: str = "start", css: str = "") -> str:
    """Return a text; anchor start, middle or end."""
    kind = f' class="{css}"' if css else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """Return a straight line."""
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def polyline(points: Iterable[tuple[float, float]], css: str) -> str:
    """Return a line through points."""
    return f'<polyline class="{css}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def round_steps(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers from low to high, `about` of them, for an axis."""
    span = max(high - low, 1e-9)
    rough = span / about
    power = 10.0 ** (len(f"{int(rough)}") - 1) if rough >= 1 else 10.0 ** -_leading_zeros(rough)
    step = next((factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough), 10 * power)
    first = int(low / step) * step
    if first < low - 1e-9:
        first += step
    return [round(first + step * number, 9) for number in range(int((high - first) / step + 1e-9) + 1)]


def _leading_zeros(value: float) -> int:
    count = 0
    while value < 1 and count < 12:
        value *= 10
        count += 1
    return count


def thin(count: int, most: int) -> list[int]:
    """Return at most about `most` of the places 0..count-1, both ends among them."""
    step = max(1, count // most)
    return sorted({*range(0, count, step), count - 1})


@dataclass(frozen=True, slots=True)
class Frame:
    """The box of a plot: pixels outside, values inside."""

    width: float
    height: float
    left: float
    bottom: float
    x_most: float
    y_low: float
    y_high: float
    top: float = 20.0
    right: float = 12.0

    def x(self, value: float) -> float:
        """Return the pixel of a value along."""
        return self.left + value / (self.x_most or 1.0) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Return the pixel of a value up."""
        share = (self.y_high - value) / ((self.y_high - self.y_low) or 1.0)
        return self.top + share * (self.height - self.bottom - self.top)

    def axes(self, x_words: str, y_words: str, x_steps: Sequence[float], y_steps: Sequence[float], digits: int = 0) -> str:
        """Return grid lines with their numbers, and what stands along and up."""
        base = self.height - self.bottom
        parts = [rule(self.left, self.y(v), self.width - self.right, self.y(v), "grid") for v in y_steps]
        parts += [words(self.left - 6, self.y(v) + 4, f"{v:,.{digits}f}", "end") for v in y_steps]
        parts += [words(self.x(v), base + 14, f"{v:,g}", "middle") for v in x_steps]
        parts += [rule(self.left, base, self.width - self.right, base, "axis")]
        parts += [words(self.width - self.right, self.height - 4, x_words, "end"), words(2, 9, y_words)]
        return "".join(parts)
