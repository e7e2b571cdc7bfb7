"""The 12 × 24 heat map: the limit as colour, what binds as the border of its region, and the same cells for the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from interconnection.charts.svg import MONTH_DAYS, MONTHS, opening, words

CELL_W, CELL_H, LEFT, TOP = 21, 17, 32, 18
FAMILIES = {"thermal": "thermal", "overvoltage": "voltage", "undervoltage": "voltage"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One month and hour of day: the least limit, what binds there, in how many hours."""

    month: int
    hour: int
    least_kw: float
    binding: str
    limited: int
    hours: int

    @property
    def family(self) -> str:
        """Return thermal, voltage or other, and "" where the request fits."""
        return FAMILIES.get(self.binding, "other") if self.binding else ""

    @property
    def letter(self) -> str:
        """Return T, V or O for the table, "" where the request fits."""
        return self.family[:1].upper()


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


def rows(found: Sequence[Cell]) -> list[tuple[str, list[Cell | None]]]:
    """Return the cells as twelve named rows of 24, None where a quick study has no hour."""
    places = {(cell.month, cell.hour): cell for cell in found}
    return [(name, [places.get((month, hour)) for hour in range(24)]) for month, name in enumerate(MONTHS)]


def heat_map(found: Sequence[Cell], asked_kw: float, title: str, say: Callable[[Cell], str] | None = None) -> str:
    """Return the picture: pale where the request fits, deeper the less is there; a region's border says what binds.

    `say`: what a cell says when it is pointed at, instead of `note`.
    """
    say = say or note
    parts = [opening(LEFT + 24 * CELL_W + 4, TOP + 12 * CELL_H + 4, title)]
    for hour in range(0, 24, 2):
        parts.append(words(LEFT + (hour + 0.5) * CELL_W, TOP - 5, f"{hour:02d}", "middle"))
    for month, name in enumerate(MONTHS):
        parts.append(words(LEFT - 6, TOP + (month + 0.72) * CELL_H, name, "end"))
    there = {(cell.month, cell.hour) for cell in found}
    for month in range(12):
        for hour in (hour for hour in range(24) if (month, hour) not in there):
            parts.append(
                f'<rect class="unknown" x="{LEFT + hour * CELL_W + 1}" y="{TOP + month * CELL_H + 1}" '
                f'width="{CELL_W - 2}" height="{CELL_H - 2}">'
                f"<title>{MONTHS[month]} {hour:02d}:00 not studied</title></rect>"
            )
    for cell in found:
        share = min(1.0, cell.least_kw / asked_kw) if asked_kw > 0 else 1.0
        parts.append(
            f'<rect class="cell level-{int(share * 10)}" x="{LEFT + cell.hour * CELL_W}" y="{TOP + cell.month * CELL_H}" '
            f'width="{CELL_W}" height="{CELL_H}"><title>{escape(say(cell))}</title></rect>'
        )
    edges = _edges(found)
    for family, path in edges.items():
        parts.append(f'<path class="halo" d="{path}"/><path class="edge by-{family}" d="{path}"/>')
    return "".join([*parts, "</svg>"])


def note(cell: Cell) -> str:
    """Return a cell in words."""
    text = f"{MONTHS[cell.month]} {cell.hour:02d}:00 at least {cell.least_kw:g} kW"
    if cell.binding:
        text += f", {cell.binding}, limited in {cell.limited} of {cell.hours} hours"
    return text


def _edges(found: Sequence[Cell]) -> dict[str, str]:
    """Return for each family the outline of its regions as a path: an edge stands where a studied neighbour differs."""
    family = {(cell.month, cell.hour): cell.family for cell in found}
    paths: dict[str, list[str]] = {}
    for (month, hour), mine in family.items():
        if not mine:
            continue
        x, y = LEFT + hour * CELL_W, TOP + month * CELL_H
        inset = 0.8
        for other, path in (
            ((month - 1, hour), f"M{x},{y + inset:g}h{CELL_W}"),
            ((month + 1, hour), f"M{x},{y + CELL_H - inset:g}h{CELL_W}"),
            ((month, hour - 1), f"M{x + inset:g},{y}v{CELL_H}"),
            ((month, hour + 1), f"M{x + CELL_W - inset:g},{y}v{CELL_H}"),
        ):
            outside = not (0 <= other[0] < 12 and 0 <= other[1] < 24)
            if outside or family.get(other, mine) != mine:
                paths.setdefault(mine, []).append(path)
    return {name: "".join(path) for name, path in sorted(paths.items())}
