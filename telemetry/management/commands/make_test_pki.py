"""`manage.py make_test_pki FOLDER`: certificates for trying the utility server. Never for production."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from telemetry.protocols.ieee2030_5 import pki


class Command(BaseCommand):
    """Make a PKI."""

    help = "Root, issuer, server, devices, aggregators and a stranger, ECDSA P-256, in a new folder."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("out", type=Path)
        parser.add_argument("--host", action="append", help="name or address of the server; repeat")
        parser.add_argument("--devices", type=int, default=3)
        parser.add_argument("--aggregators", type=int, default=2)
        parser.add_argument("--pen", type=int, default=12345)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write and list it."""
        try:
            index = pki.make(
                options["out"], hosts=options["host"] or ["localhost", "127.0.0.1"], devices=options["devices"],
                aggregators=options["aggregators"], pen=options["pen"], now=datetime.now(UTC),
            )  # fmt: skip
        except FileExistsError as error:
            raise CommandError(f"{options['out']} exists already: give a new folder") from error
        for name, row in index.items():
            self.stdout.write(f"{name:12} lfdi={row['lfdi']} sfdi={row['sfdi']}")
