"""`manage.py capacity_map`: the largest import and export at every bus of a feeder, hour by hour."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandParser

from derms.benchmarks.models import model_text
from derms.errors import HeadroomError
from derms.feeders.load_shapes import shapes
from derms.grid.criteria import CriteriaSettings
from derms.progress import Bar
from derms.sandbox.confine import Bounds
from derms.sandbox.feeder_process import FeederProcess

DAYS = (15, 46, 74, 105, 135, 166, 196, 227, 258, 288, 319, 349)
"""The middle of each month, as day of the year."""


class Command(BaseCommand):
    """Map a feeder."""

    help = "Largest import and export at every bus, in 288, 576 or 8760 hours; writes an npz and prints a summary."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", default="ieee123", help="a shipped name, or a path to a master file")
        parser.add_argument("--root", help="the folder that the model may read from; default: the master file's")
        parser.add_argument("--regulators", help="volts:band for every regulator, for example 122:3")
        parser.add_argument("--hours", type=int, choices=[24, 288, 576, 8760], default=576)
        parser.add_argument("--cap-kw", type=float, default=10_000.0)
        parser.add_argument("--voltage-scope", choices=["mv", "all"], default="all")
        parser.add_argument("--rule", choices=["no_worse", "strict", "masked"], default="no_worse")
        parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
        parser.add_argument("--output", default="var/capacity_map.npz")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, write, print."""
        started = time.perf_counter()
        criteria = CriteriaSettings(rule=options["rule"], participation=0.0, voltage_scope=options["voltage_scope"])
        try:
            with FeederProcess(
                model_text(options["feeder"], options["root"], options["regulators"]), bounds=Bounds(cpu_s=86_400)
            ) as feeder:
                available = feeder.call("describe")["hours"]
                hours = chosen_hours(options["hours"], available)
                cap = options["cap_kw"] * 1000.0
                with Bar("hours", stream=sys.stderr) as bar:
                    answer = feeder.call(
                        "capacity_map",
                        {
                            "hours": hours,
                            "criteria": criteria.to_dict(),
                            "cap_w": [cap, cap],
                            "threads": options["threads"],
                        },
                        timeout_s=86_400.0,
                        progress=bar.update,
                    )
                name = feeder.name
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        summary = write(Path(options["output"]), name, hours, answer)
        summary["seconds"] = round(time.perf_counter() - started, 1)
        summary["threads"] = options["threads"]
        self.stdout.write(json.dumps(summary, indent=None if options["json"] else 2))


def chosen_hours(count: int, available: int) -> list[tuple[int, float]]:
    """Return study hours with a load scale: the model's own hours, or its one hour over our residential shape.

    24 and 288: the middle day of each month (24: of January); 576: the highest and the lowest day of each month by shape.
    """
    if count == 8760:
        hours = list(range(8760))
    else:
        days = {24: DAYS[:1], 288: DAYS, 576: DAYS + tuple(day + 3 for day in DAYS)}[count]
        hours = [day * 24 + hour for day in sorted(days) for hour in range(24)]
    if available > 1:
        return [(hour % available, 1.0) for hour in hours]
    residential = shapes()["residential"]
    return [(0, float(residential[hour])) for hour in hours]


def write(path: Path, name: str, hours: list[tuple[int, float]], answer: dict[str, Any]) -> dict[str, Any]:
    """Write the arrays with their labels and return a summary."""
    with np.load(io.BytesIO(base64.b64decode(answer["arrays"]))) as arrays:
        watts, code = arrays["watts"], arrays["code"]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, watts=watts, code=code, buses=np.array(answer["buses"]), hours=np.array(hours),
        names=np.array(json.dumps(answer["names"])),
    )  # fmt: skip
    firm = watts.min(axis=0)
    return {
        "feeder": name,
        "buses": len(answer["buses"]),
        "hours": len(hours),
        "unsolved": answer["unsolved"],
        "median_firm_kw": {"import": float(np.median(firm[0])) / 1e3, "export": float(np.median(firm[1])) / 1e3},
        "output": str(path),
    }
