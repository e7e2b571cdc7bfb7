"""`manage.py curtailment_report`: measured curtailment of each site against its estimate and its cap."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from interconnection import reports
from telemetry.curtailment_queries import measured


class Command(BaseCommand):
    """Report."""

    help = "Print measured curtailment against estimate and cap as CSV, this year so far or another year."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--year", type=int, help="default: this year")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it; exit status 1 when a site is over its cap."""
        now = timezone.now()
        year = options["year"] or now.year
        end = min(now, datetime(year + 1, 1, 1, tzinfo=UTC))
        rows = reports.curtailment(measured(datetime(year, 1, 1, tzinfo=UTC), end))
        self.stdout.write(reports.as_csv(rows))
        if any(row.over_cap for row in rows):
            raise SystemExit(1)
