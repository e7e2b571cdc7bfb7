"""The search's limits brought inside the criteria that the compiled search does not know: exact points, the good end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from derms.grid.fast import HourGroup
from derms.grid.hosting import Limits
from derms.grid.judge import CRITERIA, IN_THE_SEARCH, Point, Scene, extras, point_at
from derms.grid.limits_kernel import NOT_FOUND
from derms.grid.network import FloatArray

MOST_TURNS = 40


@dataclass(frozen=True)
class Tightened:
    """Watts (2, hours), import first, and what stops each: ("", "") where the search's own answer stands."""

    watts: FloatArray
    stopped: tuple[list[tuple[str, str]], list[tuple[str, str]]]


def tighten(group: HourGroup, scene: Scene, limits: Limits, cap_w: tuple[float, float], tolerance_w: float) -> Tightened:
    """Return the search's limits brought inside the extra criteria: exact points, the good end of a bracket."""
    watts = np.minimum(limits.watts, np.array(cap_w)[:, None])
    names = extras(scene)
    stopped: tuple[list[tuple[str, str]], list[tuple[str, str]]] = (
        [("", "")] * watts.shape[1], [("", "")] * watts.shape[1],
    )  # fmt: skip
    _bracket_the_stuck(group, scene, limits, Tightened(watts, stopped), cap_w, tolerance_w)
    if not names:
        return Tightened(watts, stopped)
    for side, sign in ((0, 1.0), (1, -1.0)):
        if cap_w[side] > 0.0:
            watts[side], stopped[side][:] = _inside(group, scene, names, watts[side], sign, tolerance_w)
    return Tightened(watts, stopped)


def _bracket_the_stuck(
    group: HourGroup, scene: Scene, limits: Limits, found: Tightened, cap_w: tuple[float, float], tolerance_w: float
) -> None:
    """Close a bracket where the compiled search did not end: an inverter's var bends what its parabola follows."""
    for side, sign in ((0, 1.0), (1, -1.0)):
        stuck = np.flatnonzero(limits.code[side] == int(NOT_FOUND))
        if stuck.size and cap_w[side] > 0.0:
            most = found.watts[side].copy()
            most[stuck] = cap_w[side]
            watts, what = _inside(group, scene, IN_THE_SEARCH, most, sign, tolerance_w)
            for lane in stuck:
                found.watts[side, lane], found.stopped[side][lane] = watts[lane], what[lane]


def _inside(
    group: HourGroup, scene: Scene, names: tuple[str, ...], most: FloatArray, sign: float, tolerance_w: float
) -> tuple[FloatArray, list[tuple[str, str]]]:
    margin, which = _least(scene, names, point_at(group, scene.site, sign * most))
    low, high, answer, what = np.zeros_like(most), most.copy(), most.copy(), [("", "")] * len(most)
    broken = ~(margin >= 0.0)
    if not broken.any():
        return answer, what
    at_high = np.where(broken, margin, -1.0)
    at_low, none = _least(scene, names, point_at(group, scene.site, np.zeros_like(most)))
    for lane in np.flatnonzero(broken):
        what[lane] = which[lane]
        if not at_low[lane] >= 0.0:  # strict, and broken without the site
            high[lane], what[lane] = 0.0, none[lane]
    for turn in range(MOST_TURNS):
        wide = broken & (high - low > tolerance_w)
        if not wide.any():
            break
        # Just inside and just outside the straight line's crossing in turn closes the bracket; every fourth time the
        # middle, for the least of many margins bends.
        width = high - low
        part = at_low / np.maximum(at_low - at_high, 1e-12)
        crossing = low + width * np.where(np.isfinite(part), part, 0.5)
        edge = np.minimum(0.45 * tolerance_w, 0.25 * width)
        guess = crossing + (-edge, edge, -edge, 0.0)[turn % 4]
        guess = low + 0.5 * width if turn % 4 == 3 else np.clip(guess, low + edge, high - edge)
        middle = np.where(wide, guess, low)
        now, which = _least(scene, names, point_at(group, scene.site, sign * middle))
        for lane in np.flatnonzero(wide):
            if now[lane] >= 0.0:
                low[lane], at_low[lane] = middle[lane], now[lane]
            else:
                high[lane], at_high[lane], what[lane] = middle[lane], now[lane], which[lane]
    return np.where(broken, low, answer), what


def _least(scene: Scene, names: tuple[str, ...], point: Point) -> tuple[FloatArray, list[tuple[str, str]]]:
    """Return each hour's least margin over the criteria, per unit of nothing but its sign, and whose it is."""
    best = np.where(point.good, np.inf, -np.inf)
    what = [("", "") if good else ("convergence", "power flow") for good in point.good]
    for name in names:
        judged = CRITERIA[name](scene, point)
        margin, place = judged.worst()
        scale = 1e6 if judged.unit == "W" else 1.0
        for lane in np.flatnonzero(margin / scale < best):
            best[lane], what[lane] = margin[lane] / scale, (name, judged.names[place[lane]])
    return best, what
