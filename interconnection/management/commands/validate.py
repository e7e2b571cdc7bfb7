"""`manage.py validate`: every outside answer that we have, pass or fail, with figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError
from derms.grid.study_request import ENGINE_VERSION
from derms.validation.answers import Check, run, skipped_by_name
from interconnection.study_models import EngineHealth


class Command(BaseCommand):
    """Validate the engine."""

    help = "Compare the engine with every outside answer; --feeders FOLDER adds those on feeders that are not shipped."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeders", help="folder with ieee/, epri/ and ieee1729/")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--store", action="store_true", help="keep the result: the page 'Engine health' shows it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print; exit status 1 when a check fails that is not known to."""
        quiet = options["json"]

        def show(check: Check) -> None:
            if not quiet:
                mark = "pass" if check.passed else "KNOWN" if check.known else "FAIL"
                why = f" [{check.known}]" if check.known and not check.passed else ""
                self.stdout.write(
                    f"{mark:5} {check.name}: {check.found:g}, expected {check.expected:g} ± {check.tolerance:g}{why}"
                )

        try:
            checks = run(Path(options["feeders"]) if options["feeders"] else None, show)
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        skipped = skipped_by_name(bool(options["feeders"]))
        failed = [check for check in checks if not check.passed and not check.known]
        answer = {"passed": not failed, "checks": [check.to_dict() for check in checks], "skipped": skipped}
        if options["store"]:
            EngineHealth.objects.create(engine=ENGINE_VERSION, passed=not failed, document=answer)
        if quiet:
            self.stdout.write(json.dumps(answer))
        else:
            for name in skipped:
                self.stdout.write(f"skip  {name}")
            self.stdout.write(f"{len(checks)} checks, {len(failed)} failed")
        if failed:
            raise SystemExit(1)
