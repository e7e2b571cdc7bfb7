"""`manage.py import_feeder PATH --name NAME`: take any OpenDSS master file with its includes, or say why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError
from interconnection.services.feeders import import_feeder


class Command(BaseCommand):
    """Import a feeder."""

    help = "Import an OpenDSS feeder: parsed by an allow-list, compiled in a confined child, stored with findings."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("path", type=Path, help="the master file")
        parser.add_argument("--name", required=True, help="the feeder's name here")
        parser.add_argument("--root", type=Path, help="folder that includes may come from (default: the master's)")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import and report; exit status 2 when the model is refused."""
        try:
            version = import_feeder(options["path"], options["name"], actor="command line", root=options["root"])
        except HeadroomError as error:
            self.stderr.write(
                f"refused: {error.what}\n  at {error.where or options['path'].name}\n  {error.remedy}".rstrip()
            )
            raise SystemExit(2) from error
        if options["json"]:
            facts = {k: v for k, v in version.description.items() if k not in ("buses", "elements")}
            self.stdout.write(
                json.dumps({"feeder": options["name"], "sha256": version.sha256, **facts, "findings": version.findings})
            )
            return
        facts = version.description
        self.stdout.write(
            f"{options['name']}: {len(facts['buses'])} buses, {facts['nodes']} nodes, {len(facts['elements'])} rated "
            f"elements, {facts['hours']} hours of load, {facts['head_kw']:.1f} kW at the head in the first hour"
        )
        self.stdout.write(f"model sha256 {version.sha256}")
        for finding in version.findings:
            times = f" ({finding['count']} times)" if finding["count"] > 1 else ""
            self.stdout.write(f"  {finding['severity']:8} {finding['where']}: {finding['message']}{times}")
