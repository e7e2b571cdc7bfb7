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
from interconnection.services.switching import MOST, generated, tables


class Command(BaseCommand):
    """Study every declared state."""

    help = "Study a site in each switching state: STATES.json is a list of {name, opened, closed, ties, thermal_pu}."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", required=True)
        parser.add_argument("--states", help="JSON file of declared states")
        parser.add_argument("--generate", action="store_true", help="also every state with one element less")
        parser.add_argument("--tie", nargs=2, action="append", default=[], metavar="BUS", help="buses that can be joined")
        parser.add_argument("--most", type=int, default=MOST, help="generated states; each is studied over every hour")
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
            states = _states(Path(options["states"])) if options["states"] else []
            if options["generate"]:
                found_states, more = generated(version, [tuple(pair) for pair in options["tie"]], most=options["most"])
                states += [state for state in found_states if state.name not in {item.name for item in states}]
                if more:
                    self.stderr.write(f"{more} more states with one element less are left out: see --most")
            if not states:
                raise InputError("no state is declared", where="--states", remedy="Name a file, or say --generate.")
            found = tables(version, states, request, certify=not options["no_certificate"])
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
