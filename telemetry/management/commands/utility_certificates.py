"""`manage.py utility_certificates`: which client certificates of the utility server end soon. Exit 1 while one does."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from telemetry.utility_queries import certificate_alarms, server_certificate


class Command(BaseCommand):
    """List what ends within 90 days."""

    help = "Certificates that end within 90, 30, 7 or 1 days, or have ended; the server's own too."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them."""
        now = datetime.now(UTC)
        found = certificate_alarms(now)
        if settings.UTILITY_CERT and (own := server_certificate(settings.UTILITY_CERT, now)) is not None:
            found.insert(0, own)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(item) for item in found], default=str))
        else:
            for item in found:
                left = "ENDED" if item.step_days == 0 else f"within {item.step_days} d"
                places = ", ".join(item.sites) or "-"
                self.stdout.write(
                    f"{item.expires:%Y-%m-%d} {left:12} {item.role:10} {item.lfdi} {item.name} sites {places}"
                )
            if not found:
                self.stdout.write("no certificate ends within 90 days")
        if found:
            raise SystemExit(1)
