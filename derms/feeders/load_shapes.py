"""A year of hourly load shapes for the shipped feeders, made by rule: no measured customer is in them.

Three classes, each per unit of the spot load, 8,760 values from January 1st 00:00 (a Thursday: the year 2026):

    value = base + day(hour, weekday) × season(day) × weather(day) + noise(hour)

*season* is a yearly wave: winter evenings for homes, summer afternoons for shops. *weather* is a slow random walk (a warm
or cold spell lasts days). *noise* is small and hourly. The levels are chosen so that all spot loads together peak at about
82 % of what the head conductor of the IEEE 123 feeder carries, and fall to about a quarter of it in a spring night: the
feeder has room in most hours and none in a few, which is the case that a flexible connection is for.

Python's `random.Random` keeps its sequence over versions, so the file is the same wherever it is made:
`python -m derms.feeders.load_shapes` writes `load_shapes.csv` anew; a test compares.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from derms.feeders import FOLDER

HOURS = 8760
SEED = 20260101
FIRST_WEEKDAY = 3  # 2026-01-01 is a Thursday; Monday is 0

# Per unit of the class's own daily peak, hour by hour.
HOME_WORKDAY = (
    .36, .32, .30, .29, .30, .37, .52, .62, .56, .48, .45, .45, .47, .46, .46, .50, .62, .83, .98, 1.0, .95, .84, .66, .48,
)  # fmt: skip
HOME_WEEKEND = (
    .40, .35, .32, .31, .31, .33, .40, .50, .62, .70, .73, .75, .76, .72, .68, .68, .75, .88, .97, .98, .92, .82, .68, .52,
)  # fmt: skip
SHOP_WORKDAY = (
    .34, .32, .31, .31, .33, .38, .48, .64, .82, .92, .96, .98, .99, 1.0, 1.0, .98, .93, .86, .76, .66, .56, .48, .41, .36,
)  # fmt: skip
SHOP_WEEKEND = (
    .33, .31, .30, .30, .31, .33, .36, .42, .52, .60, .65, .68, .69, .69, .68, .65, .60, .54, .48, .44, .41, .38, .35, .33,
)  # fmt: skip
WORKS_WORKDAY = (
    .55, .54, .53, .53, .55, .62, .80, .94, .99, 1.0, 1.0, .98, .94, .98, 1.0, .99, .93, .82, .74, .70, .67, .63, .60, .57,
)  # fmt: skip
WORKS_WEEKEND = (
    .48, .47, .46, .46, .46, .47, .48, .50, .51, .52, .52, .52, .52, .52, .51, .51, .50, .50, .49, .49, .48, .48, .48, .48,
)  # fmt: skip


def _season(day: int, *, winter: float, summer: float) -> float:
    """Return 1 plus a winter wave (coldest in late January) and a summer wave (hottest in late July)."""
    cold = math.cos(2 * math.pi * (day - 25) / 365)
    return 1.0 + winter * max(cold, 0.0) ** 1.5 + summer * max(-cold, 0.0) ** 1.5


def _weather(chance: random.Random, *, swing: float) -> list[float]:
    """Return one factor a day: a walk that is pulled back to 1."""
    level, days = 0.0, []
    for _ in range(365):
        level = 0.75 * level + 0.66 * (chance.random() + chance.random() - 1.0)
        days.append(1.0 + swing * max(-1.0, min(1.0, level)))
    return days


def _shape(
    chance: random.Random,
    workday: Sequence[float],
    weekend: Sequence[float],
    *,
    base: float,
    level: float,
    winter: float,
    summer: float,
    swing: float,
) -> list[float]:
    weather = _weather(chance, swing=swing)
    values = []
    for hour in range(HOURS):
        day, of_day = divmod(hour, 24)
        profile = workday if (day + FIRST_WEEKDAY) % 7 < 5 else weekend
        noise = 0.02 * (chance.random() + chance.random() - 1.0)
        season = _season(day, winter=winter, summer=summer)
        values.append(max(0.05, base + level * profile[of_day] * season * weather[day] + noise))
    return values


def shapes() -> dict[str, list[float]]:
    """Return the three shapes, 8,760 values each, per unit of the spot load."""
    chance = random.Random(SEED)  # noqa: S311  (load shapes, not secrets)
    return {
        "residential": _shape(
            chance, HOME_WORKDAY, HOME_WEEKEND, base=0.06, level=0.46, winter=0.55, summer=0.18, swing=0.16
        ),
        "commercial": _shape(
            chance, SHOP_WORKDAY, SHOP_WEEKEND, base=0.08, level=0.42, winter=0.16, summer=0.38, swing=0.12
        ),
        "light_industrial": _shape(
            chance, WORKS_WORKDAY, WORKS_WEEKEND, base=0.08, level=0.50, winter=0.06, summer=0.10, swing=0.05
        ),
    }


def csv() -> str:
    """Return the file's text: a header and 8,760 rows of four decimals."""
    made = shapes()
    rows = [",".join(made)]
    rows += [",".join(f"{values[hour]:.4f}" for values in made.values()) for hour in range(HOURS)]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    (FOLDER / "load_shapes.csv").write_text(csv())
