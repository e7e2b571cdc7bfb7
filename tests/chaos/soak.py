"""`--soak 30`: the same house without a fault: is a cycle missed, does memory grow?"""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import psycopg

from tests.chaos.house import CYCLE_S, House
from tests.chaos.room import Room, children

EVERY_S = 10.0
WARM_SHARE = 1 / 3
"""What a process takes in its first third is its start, not a leak."""
MISSED = 1.5
"""A gap between two cycles of more than so many cycles is a missed one."""
MOST_GROWTH_PERCENT_H = 1.0


def soak(room: Room, minutes: float) -> dict[str, Any]:
    """Return cycles, missed ones, and by process the megabytes and the growth in percent an hour."""
    began, memory = time.monotonic(), defaultdict(list)  # type: ignore[var-annotated]
    first = _newest(room.house)
    while (now := time.monotonic()) - began < 60.0 * minutes:
        for name in room.house.everything():
            process = room.house.processes[name]
            for pid in (process.pid, *children(process.pid)):
                if (kept := _private_kb(pid)) is not None:
                    memory[f"{name} {pid}"].append((now - began, kept))
        time.sleep(EVERY_S)
    gaps = _gaps(room.house, first)
    growth = {name: _growth(points, 60.0 * minutes) for name, points in memory.items() if len(points) > 10}
    return {
        "minutes": minutes, "cycle_s": CYCLE_S, "cycles": len(gaps) + 1, "longest_gap_s": round(max(gaps, default=0.0), 2),
        "missed": sum(round(gap / CYCLE_S) - 1 for gap in gaps if gap > MISSED * CYCLE_S),
        "memory": growth, "worst_growth_percent_h": max((line["percent_h"] for line in growth.values()), default=None),
    }  # fmt: skip


def holds(found: dict[str, Any]) -> bool:
    """Say whether no cycle was missed and no process grew by 1 % an hour."""
    return not found["missed"] and found["cycles"] > 1 and found["worst_growth_percent_h"] < MOST_GROWTH_PERCENT_H


def show(found: dict[str, Any]) -> None:
    """Print it."""
    for key in ("minutes", "cycle_s", "cycles", "missed", "longest_gap_s", "worst_growth_percent_h"):
        print(f"{key:40} {found[key]}")
    for name, line in sorted(found["memory"].items(), key=lambda item: -item[1]["percent_h"]):
        print(f"  {name:28} {line['mb']:8.1f} MB  {line['percent_h']:+.2f} %/h")


def _newest(house: House) -> int:
    with psycopg.connect(house.cluster.connection) as link:
        row = link.execute("select coalesce(max(id), 0) from telemetry_cyclerow").fetchone()
    return int(row[0]) if row else 0


def _gaps(house: House, first: int) -> list[float]:
    with psycopg.connect(house.cluster.connection) as link:
        rows = link.execute("select at from telemetry_cyclerow where id > %s order by id", (first,)).fetchall()
    moments = [row[0].timestamp() for row in rows]
    return [after - before for before, after in pairwise(moments)]


def _growth(points: list[tuple[float, float]], length_s: float) -> dict[str, float]:
    """Return the slope of a straight line through the points after the warm-up, percent of their mean an hour."""
    kept = [point for point in points if point[0] >= WARM_SHARE * length_s] or points
    times, sizes = [point[0] for point in kept], [point[1] for point in kept]
    middle, mean = fmean(times), fmean(sizes)
    spread = sum((at - middle) ** 2 for at in times)
    slope = sum((at - middle) * (size - mean) for at, size in kept) / spread if spread else 0.0
    return {"mb": round(mean / 1024, 1), "percent_h": round(100.0 * slope * 3600.0 / mean, 2)}


def _private_kb(pid: int) -> float | None:
    """Return a process's proportional share of memory, kB: what is shared with another is not counted twice."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return None
