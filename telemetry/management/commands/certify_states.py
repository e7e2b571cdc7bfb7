"""`manage.py certify_states`: failsafe certificates of all switching states that the desk knows, before they are needed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError, InputError
from interconnection.models import FeederVersion
from interconnection.queries import agreements_in_force
from telemetry.certificate_services import certify_known


class Command(BaseCommand):
    """Certify states."""

    help = "All sites of a feeder at their failsafe limits, checked in each state of 'manage.py switching' and kept."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", required=True)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print; exit status 1 where a state has no certificate that holds."""
        now = datetime.now(UTC)
        try:
            version = FeederVersion.objects.filter(feeder__name=options["feeder"]).select_related("feeder").first()
            if version is None:
                raise InputError(f"no feeder is named {options['feeder']!r}", where="--feeder")
            terms = agreements_in_force(now.date(), options["feeder"])
            if not terms:
                raise InputError("no agreement is in force", where=options["feeder"], remedy="There is nothing to certify.")
            found = certify_known(version, terms, now=now)
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        if options["json"]:
            self.stdout.write(json.dumps({name: row.detail for name, row in found.items()}, sort_keys=True))
        else:
            for name, row in found.items():
                broken = row.detail
                self.stdout.write(
                    f"{name}: holds" if row.holds
                    else f"{name}: FAILS at {broken['criterion']} {broken['element']}, hour {broken['hour']}"
                )  # fmt: skip
        if not all(row.holds for row in found.values()):
            raise SystemExit(1)
