"""`manage.py replay_cycle ID`: run a recorded cycle again and compare, byte for byte."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError
from telemetry.replay import replay_cycle


class Command(BaseCommand):
    """Run a cycle again."""

    help = "Run a recorded cycle again (number, or snapshot as a limit's reason shows it): the bytes must be the same."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("cycle", help="its number, or FEEDER:SNAPSHOT")
        parser.add_argument("--json", action="store_true", help="print the whole document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it; exit status 1 when the bytes differ, 2 when there is nothing to run."""
        try:
            found = replay_cycle(options["cycle"])
        except HeadroomError as error:
            self.stderr.write(str(error))
            raise SystemExit(2) from error
        if options["json"]:
            self.stdout.write(found.text)
        else:
            self.stdout.write(f"cycle {found.number}, {found.feeder}, snapshot {found.snapshot}")
            for decision in json.loads(found.text)["decisions"]:
                limit, reason = decision["limit"], decision["reason"]
                self.stdout.write(
                    f"  {decision['site']}: import {limit['import_w'] / 1000:.1f} kW, "
                    f"export {limit['export_w'] / 1000:.1f} kW; "
                    f"{reason['criterion']} at {reason['element']}, share {reason['share']:.3f}"
                )
        if found.same:
            self.stdout.write(f"the same {len(found.text)} bytes, SHA-256 {found.sha256}")
        else:
            self.stderr.write(
                f"DIFFERENT: recorded SHA-256 {found.recorded_sha256}, now {found.sha256}: {found.difference}"
            )
            raise SystemExit(1)
