"""`manage.py switching`: limits of a site in each switching state of its feeder, and the failsafe certificate of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError, InputError
from derms.grid.switching_states import SwitchingState
from derms.units import kilowatts_to_watts
from interconnection.services.feeders import feeder_version
from interconnection.services.studies import build_request
from interconnection.services.switching import tables


class Command(BaseCommand):
    """Study every declared state."""

    help = "Study a site in each switching state: STATES.json is a list of {name, opened, closed, ties, thermal_pu}."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", required=True)
        parser.add_argument("--states", required=True, help="JSON file")
        parser.add_argument("--bus", required=True)
        parser.add_argument("--phases", default="123")
        parser.add_argument("--import-kw", type=float, default=0.0)
        parser.add_argument("--export-kw", type=float, default=0.0)
        parser.add_argument("--hours", type=int, default=8760, help="fewer leave hours that the certificate may find")
        parser.add_argument("--no-certificate", action="store_true")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print."""
        try:
            version = feeder_version(options["feeder"], actor="command line")
            request = build_request(
                version, options["bus"], tuple(int(phase) for phase in options["phases"]),
                kilowatts_to_watts(options["import_kw"], where="--import-kw"),
                kilowatts_to_watts(options["export_kw"], where="--export-kw"), hours=options["hours"],
            )  # fmt: skip
            found = tables(version, _states(Path(options["states"])), request, certify=not options["no_certificate"])
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        if options["json"]:
            self.stdout.write(json.dumps({row.state: row.document for row in found}, sort_keys=True))
            return
        for row in found:
            document = row.document
            if not document["supplied"]:
                self.stdout.write(f"{row.state}: the site has no supply ({document['dead_buses']} buses without)")
                continue
            firm = ", ".join(f"{side} {watts / 1000:g} kW" for side, watts in document["firm_w"].items())
            held = document.get("certificate", {}).get("holds")
            said = {True: "certificate holds", False: "CERTIFICATE FAILS", None: "no certificate"}[held]
            if held is False:
                broken = document["certificate"]
                said += f" at {broken['criterion']} {broken['element']}, hour {broken['hour']}, {broken['side']}"
            self.stdout.write(f"{row.state}: firm {firm}; {said}")


def _states(path: Path) -> list[SwitchingState]:
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError("this is no list of states", where=path.name) from error
    if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
        raise InputError("this is no list of states", where=path.name, remedy='[{"name": "tie", "opened": ["line.sw2"]}]')
    return [SwitchingState.from_dict(item) for item in raw]
