"""`manage.py ladder`: which fix frees how many kW at a site, searched automatically, with illustrative costs."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError
from derms.progress import Bar
from derms.sandbox.confine import Bounds
from derms.sandbox.feeder_process import FeederProcess
from derms.units import kilowatts_to_watts
from interconnection.services.feeders import feeder_version
from interconnection.services.studies import build_request
from interconnection.upgrades import priced


class Command(BaseCommand):
    """Climb."""

    help = "Search the upgrade ladder of a site: settings, then the elements that bind, each with the kW it frees."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", required=True)
        parser.add_argument("--bus", required=True)
        parser.add_argument("--phases", default="123")
        parser.add_argument("--kw", type=float, required=True)
        parser.add_argument("--side", choices=["import", "export"], default="import")
        parser.add_argument("--hours", type=int, default=8760)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Search and print."""
        try:
            version = feeder_version(options["feeder"], actor="command line")
            watts = kilowatts_to_watts(options["kw"], where="--kw")
            both = (watts, 0) if options["side"] == "import" else (0, watts)
            phases = tuple(int(phase) for phase in options["phases"])
            request = build_request(version, options["bus"], phases, *both, hours=options["hours"])
            with (
                FeederProcess(version.text, bounds=Bounds(cpu_s=36_000)) as feeder,
                Bar("ladder", stream=sys.stderr) as bar,
            ):
                found = feeder.call(
                    "ladder", {"request": request.to_dict(), "side": options["side"]}, timeout_s=36_000.0,
                    progress=bar.update,
                )  # fmt: skip
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        answer = priced(found)
        if options["json"]:
            self.stdout.write(json.dumps(answer))
            return
        for rung in answer["rungs"]:
            binding = rung["binding"]
            after = f"after {rung['change']} {rung['element']}".rstrip()
            cost = f"${rung['usd']:,}, {rung['months']} months [{rung['origin']}]"
            then = f"{binding['criterion'] or 'nothing'} {binding['element']}".rstrip()
            self.stdout.write(
                f"{rung['firm_kw']:>9.1f} kW firm (+{rung['gained_kw']:g}) {after}: {cost}; then binds {then}"
            )
