"""`python -m tests.chaos`: real faults on real processes; a table of detection and recovery; exit 1 for anything unsafe."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.chaos import soak
from tests.chaos.house import House
from tests.chaos.judge import Judge
from tests.chaos.lanes import Run, wait, whole
from tests.chaos.report import passes, power, show, table
from tests.chaos.room import Room
from tests.chaos.take_overs import take_overs

WARM_S = 600.0


def main(arguments: list[str] | None = None) -> int:
    """Build the house, warm it up, break it, print the table."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--injections", type=int, default=240)
    parser.add_argument("--take-overs", type=int, default=0, help="instead: kill and stop the leader so often, in turn")
    parser.add_argument("--soak", type=float, default=0.0, help="instead: so many minutes without a fault")
    parser.add_argument("--minutes", type=float, default=45.0, help="stop after so long, whatever was asked for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="headroom-chaos-")) / "run"
    folder.parent.chmod(0o755)  # PostgreSQL's own user must reach it
    try:
        house = House.build(folder, controls=3 if options.take_overs else 2)
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
    soaking = "soak" in report
    (soak.show(report["soak"]) if soaking else show(report))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1))
    return 0 if (soak.holds(report["soak"]) if soaking else passes(report)) else 1


def _run(house: House, judge: Judge, options: argparse.Namespace) -> dict[str, Any]:
    room = Room(house, judge, random.Random(options.seed))
    for name in house.everything():
        house.start(name)
        if name == "watchdog":
            judge.start()
        if name == house.controls[0]:  # it finds the certificate that the others then find stored
            wait(lambda: room.leader() is not None, WARM_S)
    if not wait(lambda: whole(room) and room.powered() > 0, WARM_S):
        raise SystemExit(
            f"the room did not come up: {[house.speaks(name) for name in house.controls]}, {room.powered()} sites raised; "
            + (house.folder / "control-a.out").read_text()[-2000:]
        )
    threading.Thread(target=house.tend, daemon=True).start()
    judge.begin()
    began = time.monotonic()
    if options.soak:
        return {"soak": soak.soak(room, options.soak)}
    until = began + 60.0 * options.minutes
    run = Run(room, 0 if options.take_overs else options.injections, until)
    taken = take_overs(room, options.take_overs, until) if options.take_overs else {}
    run.live()
    minutes = round((time.monotonic() - began) / 60.0, 1)
    judge.stop()
    return {
        "asked": options.take_overs or options.injections, "time_over": time.monotonic() >= until,
        "injections": len(run.rows) + sum(line["count"] for line in taken.values()), "minutes": minutes,
        "power": power(run.rows), "power_of_seconds": judge.power, "unsafe": judge.unsafe, "broken": run.broken,
        "ended_by_themselves": house.ended,
        "raises": judge.raises, "judge_steps": judge.steps, "time_to_safe_s": round(judge.time_to_safe_s, 1),
        "worst_loading_percent": round(100 * judge.worst_loading, 1),
        "worst_if_all_used_their_limits_percent": round(100 * judge.worst_possible, 1), "take_overs": taken,
        "table": table(run.rows), "rows": run.rows,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
