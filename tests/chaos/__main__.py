"""`python -m tests.chaos`: real faults on real processes; a table of detection and recovery; exit 1 for anything unsafe."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.house import CONTROLS, House
from tests.chaos.injections import KINDS, Injection, Room
from tests.chaos.judge import Judge

WARM_S = 240.0
RECOVERY_S = 60.0
GOALS = {"kill -9 control": 10.0, "SIGSTOP control": 10.0, "kill -9 both controls": 30.0, "kill -9 watchdog": 30.0}
"""Seconds within which it must be known (failsafe.md)."""


def main(arguments: list[str] | None = None) -> int:
    """Build the house, warm it up, break it, print the table."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--injections", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=45.0, help="stop after so long, whatever was asked for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="headroom-chaos-")) / "run"
    folder.parent.chmod(0o755)  # PostgreSQL's own user must reach it
    try:
        house = House.build(folder)
    except (FileNotFoundError, RuntimeError) as error:
        print(f"chaos cannot run here: {error}")
        return 2
    judge = Judge(house)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends us wants the disks and networks gone too
    try:
        report = _run(house, judge, options)
    finally:
        house.end()
        if not options.keep:
            shutil.rmtree(folder.parent, ignore_errors=True)
    _print(report)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1))
    return 0 if not report["unsafe"] and report["raises"] else 1


def _run(house: House, judge: Judge, options: argparse.Namespace) -> dict[str, Any]:
    for name in house.everything():
        house.start(name)
        if name == "watchdog":
            judge.start()
    room = Room(house, judge, random.Random(options.seed))
    _wait(lambda: room.leader() is not None, WARM_S)
    if room.leader() is None:
        raise SystemExit("no control process came up: " + (house.folder / "control-a.out").read_text()[-2000:])
    began, rows = time.monotonic(), []
    for number in range(options.injections):
        if time.monotonic() - began > 60.0 * options.minutes:
            break
        rows.append(_inject(room, KINDS[number % len(KINDS)] if number < len(KINDS) else room.chance.choice(KINDS)))
        row = rows[-1]
        print(f"{number + 1:4} {row['kind']:24} {row['what']:22} known {row['known_s']}  whole {row['whole_s']}  "
              f"possible {judge.possible:.2f}  unsafe {len(judge.unsafe)}", flush=True)  # fmt: skip
    judge.stop()
    return {
        "injections": len(rows), "minutes": round((time.monotonic() - began) / 60.0, 1), "unsafe": judge.unsafe,
        "raises": judge.raises, "judge_steps": judge.steps, "worst_loading_percent": round(100 * judge.worst_loading, 1),
        "worst_if_all_used_their_limits_percent": round(100 * judge.worst_possible, 1), "table": _table(rows),
    }  # fmt: skip


def _inject(room: Room, kind: Any) -> dict[str, Any]:
    injection: Injection = kind(room)
    began, known_s = time.monotonic(), None
    while time.monotonic() - began < injection.seconds or (injection.known and known_s is None):
        if injection.known is not None and known_s is None and injection.known():
            known_s = round(time.monotonic() - began, 2)
        if time.monotonic() - began > injection.seconds + 30.0:
            break
        time.sleep(0.05)
    injection.undo()
    undone = time.monotonic()
    whole = _wait(lambda: _whole(room), RECOVERY_S)
    whole_s = round(time.monotonic() - undone, 2) if whole else None
    return {"kind": injection.kind, "what": injection.what, "expects": injection.known is not None, "known_s": known_s,
            "whole_s": whole_s}  # fmt: skip


def _whole(room: Room) -> bool:
    """Everything runs, somebody leads, the watchdog is content, and every site's word is fresh."""
    house, now = room.house, time.monotonic()
    fresh = all((seen := house.seen(name)) is not None and now - seen["t"] < 2.0 for name in house.ports)
    both = sorted(house.speaks(name) for name in CONTROLS) == ["active", "standby"]
    return fresh and both and house.watchdog().get("controlling") is True and all(map(house.alive, house.everything()))


def _wait(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def _table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["kind"]].append(row)
    table = []
    for kind, group in sorted(groups.items()):
        known = [row["known_s"] for row in group if row["known_s"] is not None]
        whole = [row["whole_s"] for row in group if row["whole_s"] is not None]
        table.append({
            "kind": kind, "count": len(group), "known_median_s": median(known) if known else None,
            "known_longest_s": max(known, default=None), "goal_s": GOALS.get(kind),
            "not_known": sum(1 for row in group if row["expects"] and row["known_s"] is None),
            "whole_median_s": median(whole) if whole else None, "whole_longest_s": max(whole, default=None),
            "not_whole": sum(1 for row in group if row["whole_s"] is None),
        })  # fmt: skip
    return table


def _print(report: dict[str, Any]) -> None:
    columns = ("kind", "count", "known_median_s", "known_longest_s", "goal_s", "not_known", "whole_median_s",
               "whole_longest_s", "not_whole")  # fmt: skip
    print("  ".join(f"{name:>24}" if name == "kind" else f"{name:>15}" for name in columns))
    for row in report["table"]:
        print("  ".join(f"{row[name]!s:>24}" if name == "kind" else f"{row[name]!s:>15}" for name in columns))
    for key in ("injections", "minutes", "raises", "judge_steps", "worst_loading_percent",
                "worst_if_all_used_their_limits_percent"):  # fmt: skip
        print(f"{key:40} {report[key]}")
    print(f"{'unsafe':40} {len(report['unsafe'])}")
    for line in report["unsafe"][:10]:
        print("  ", line)


if __name__ == "__main__":
    sys.exit(main())
