"""`python -m tests.simulation --hours 1000`: nights in parallel, planted bugs on request, a table, JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.simulation.campaign import Night, night
from tests.simulation.faults import PER_HOUR
from tests.simulation.planted import BUGS, by_name

NIGHT_H = 10.0
HUNT_H = 6.0
HUNT_SEEDS = range(1000, 1004)


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--hours", type=float, default=50.0, help="simulated hours in all")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; each night takes the next one")
    parser.add_argument("--per-hour", type=float, default=PER_HOUR, help="faults an hour")
    parser.add_argument("--bugs", action="store_true", help="plant each bug of the list and say how quickly it is found")
    parser.add_argument("--json", type=Path, help="write the report here")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    nights = nights_of(options.hours, options.seed, options.per_hour)
    hunts = hunt() if options.bugs else []
    report = _report(nights, hunts, time.monotonic() - began)
    _print(report, nights)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1))
    return 0 if not report["violations"] and all(item["found"] for item in hunts) else 1


def nights_of(hours: float, first_seed: int, per_hour: float = PER_HOUR) -> list[Night]:
    """Return the nights that make up so many hours, on all cores."""
    lengths = [NIGHT_H] * int(hours // NIGHT_H) + ([hours % NIGHT_H] if hours % NIGHT_H else [])
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(night, first_seed + number, length, per_hour=per_hour) for number, length in enumerate(lengths)]
        return [job.result() for job in jobs]


def hunt() -> list[dict[str, Any]]:
    """Plant each bug and return by which invariant, in which night and after how many hours it was found."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(hunted, [bug.name for bug in BUGS]))


def hunted(name: str) -> dict[str, Any]:
    """Plant one bug and live nights until an invariant breaks."""
    lived, began = 0.0, time.monotonic()
    with by_name(name).plant():
        for seed in HUNT_SEEDS:
            found = night(seed, HUNT_H)
            lived += found.hours
            if found.violations:
                first = found.violations[0]
                return {"bug": name, "found": True, "invariant": first.rule, "hours": round(lived, 2), "seed": seed,
                        "what": first.what, "wall_s": round(time.monotonic() - began, 1)}  # fmt: skip
    return {"bug": name, "found": False, "hours": round(lived, 2), "wall_s": round(time.monotonic() - began, 1)}


def _report(nights: list[Night], hunts: list[dict[str, Any]], wall_s: float) -> dict[str, Any]:
    faults: Counter[str] = Counter()
    for item in nights:
        faults.update(item.counts)
    hours = sum(item.hours for item in nights)
    return {
        "hours": round(hours, 2),
        "nights": len(nights),
        "faults": sum(faults.values()),
        "faults_by_kind": dict(sorted(faults.items())),
        "cycles": sum(item.cycles for item in nights),
        "violations": [f"seed {item.seed}: {violation}" for item in nights for violation in item.violations[:3]],
        "worst_overload_percent": round(100 * max((item.worst_over for item in nights), default=0.0), 2),
        "longest_overload_s": round(max((item.longest_over_s for item in nights), default=0.0), 1),
        "lent_share_of_flexible": round(sum(item.lent_share * item.hours for item in nights) / hours, 3) if hours else 0.0,
        "times_real_time": round(hours * 3600 / wall_s) if wall_s else None,
        "planted": hunts,
    }


def _print(report: dict[str, Any], nights: list[Night]) -> None:
    for key in ("hours", "faults", "cycles", "worst_overload_percent", "longest_overload_s", "lent_share_of_flexible",
                "times_real_time"):  # fmt: skip
        print(f"{key:26} {report[key]}")
    print(f"{'violations':26} {len(report['violations'])}")
    for item in nights:
        if item.violations:
            print(item.story())
    for item in report["planted"]:
        where = (
            f"invariant {item['invariant']} after {item['hours']} h" if item["found"] else f"NOT FOUND in {item['hours']} h"
        )
        print(f"{item['bug'][:76]:78}{where}")


if __name__ == "__main__":
    sys.exit(main())
