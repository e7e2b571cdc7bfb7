"""`manage.py what_if`: what a site may do at a place, and what would pass, in seconds."""

from __future__ import annotations

import json
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError, InputError
from derms.grid.study_request import INVERTERS
from derms.units import kilowatts_to_watts
from interconnection.services.feeders import feeder_version
from interconnection.services.what_if import answer


class Command(BaseCommand):
    """Ask what if."""

    help = "Largest power, binding element, margins and what would pass, for one place on a feeder."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", required=True, help="stored or shipped name, or a path to a master file")
        parser.add_argument("--bus", required=True)
        parser.add_argument("--phases", default="123")
        parser.add_argument("--import-kw", type=float, default=0.0)
        parser.add_argument("--export-kw", type=float, default=0.0)
        parser.add_argument("--hours", type=int, default=288)
        parser.add_argument("--inverter", choices=list(INVERTERS), default="unity")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask and print."""
        try:
            phases = options["phases"].replace(",", "")
            if not re.fullmatch("[123]{1,3}", phases):
                raise InputError(f"{phases!r} are no phases", where="--phases", remedy="For example 123, or 2.")
            found = answer(
                feeder_version(options["feeder"], actor="command line"), options["bus"],
                tuple(int(phase) for phase in phases),
                kilowatts_to_watts(options["import_kw"], where="--import-kw"),
                kilowatts_to_watts(options["export_kw"], where="--export-kw"),
                hours=options["hours"], inverter=options["inverter"],
            )  # fmt: skip
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        if options["json"]:
            self.stdout.write(json.dumps(found, sort_keys=True))
            return
        for side in ("import", "export"):
            if side not in found:
                continue
            one = found[side]
            verdict = "passes" if one["passes"] else f"{one['largest_kw']:g} kW would pass"
            self.stdout.write(
                f"{side}: {one['asked_kw']:g} kW: {verdict} ({one['criterion'] or 'nothing'} {one['element']}, "
                f"hour {one['hour']})"
            )
            for item in one["criteria"]:
                state = "" if item["in_use"] else " (not in use)"
                self.stdout.write(
                    f"  {item['criterion']}: {item['value']:g} against {item['limit']:g} {item['unit']}, "
                    f"{item['element']}, hour {item['hour']}{state}"
                )
        for item in found["passing"]["inverters"]:
            kw = ", ".join(f"{side} {item[f'{side}_kw']:g} kW" for side in ("import", "export") if f"{side}_kw" in item)
            self.stdout.write(f"{item['inverter']}: {kw}{', passes' if item['passes'] else ''}")
