"""`manage.py utility_tariff FILE.json`: publish prices over IEEE 2030.5 to the devices of some sites.

{"name": "depot-tou", "currency": 36, "multiplier": -5, "rate_code": "TOU", "sites": ["depot-1"],
 "components": [{"name": "Consumption", "exported": false,
   "prices": [{"start": "2026-12-01T00:00:00+00:00", "duration_s": 1800, "tier": 0, "blocks": [[0, 0.21], [1000, 0.25]]}]}]}

Prices are in units of the currency for a kWh; `multiplier` is the power of ten that they are rounded to.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from derms.errors import HeadroomError
from telemetry import utility_offers as offers
from telemetry.protocols.ieee2030_5 import outbox
from telemetry.utility_models import Assignment


class Command(BaseCommand):
    """Publish a tariff."""

    help = __doc__.splitlines()[0] if __doc__ else ""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, check, publish, tell the subscribers: all or nothing."""
        now = datetime.now(UTC)
        seconds = int(now.timestamp())
        try:
            raw = json.loads(options["file"].read_text())
            with transaction.atomic():
                tariff, count = _publish(raw, seconds)
                outbox.enqueue(offers.touched(tariff), seconds)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise CommandError(f"{options['file']}: {error!r}") from error
        except HeadroomError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{tariff.name}: {count} prices for {tariff.assignments.count()} assignments")


def _publish(raw: dict[str, Any], now: int) -> tuple[Any, int]:
    groups = list(Assignment.objects.filter(device__site__in=raw["sites"]))
    if not groups:
        raise ValueError("no device speaks for one of these sites, or none has a program yet")
    multiplier, count = int(raw.get("multiplier", -5)), 0
    tariff = offers.publish_tariff(
        raw["name"], groups, currency=int(raw["currency"]), multiplier=multiplier, rate_code=raw.get("rate_code", "")
    )
    for part in raw["components"]:
        prices = [
            offers.Price(
                int(datetime.fromisoformat(item["start"]).timestamp()),
                int(item["duration_s"]),
                tuple((int(start), round(price / 10.0**multiplier)) for start, price in item["blocks"]),
                int(item.get("tier", 0)),
            )
            for item in part["prices"]
        ]
        count += len(prices)
        offers.publish_prices(
            tariff, part["name"], prices, now=now, pen=settings.UTILITY_PEN, exported=bool(part.get("exported"))
        )
    return tariff, count
