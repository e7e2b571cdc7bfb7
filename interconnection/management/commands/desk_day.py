"""`manage.py desk_day`: what a new day brings to the planning desk; run it once a day (cron, systemd timer)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from interconnection.services.day import turn


class Command(BaseCommand):
    """Turn the day."""

    help = "Let offers lapse and agreements end that are past their day, and list overdue clocks."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and print what was done as JSON; exit status 1 when a case failed."""
        done = turn(timezone.now())
        self.stdout.write(json.dumps(asdict(done), indent=2))
        if done.failed:
            raise SystemExit(1)
