"""`manage.py backup --to FOLDER`: the database and the audit anchor, with a manifest that a drill can hold it to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from derms.errors import HeadroomError
from interconnection.services import backups


class Command(BaseCommand):
    """Back up."""

    help = (
        "Copy the database (SQLite online, PostgreSQL by pg_dump) and the audit anchor into a new folder with a manifest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--to", type=Path, required=True, help="folder of the backups; best on another machine's mount")
        parser.add_argument("--keep", type=int, default=0, help="afterwards remove all but the newest so many; 0 keeps all")

    def handle(self, *args: Any, **options: Any) -> None:
        """Back up and say where."""
        try:
            place = backups.backup(options["to"], now=timezone.now())
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        size = sum(path.stat().st_size for path in place.iterdir())
        self.stdout.write(f"{place} ({size / 1e6:.1f} MB)")
        self.stdout.write("Not in it: SECRET_KEY, signing key, TLS keys. Keep them where secrets are kept.")
        if options["keep"] > 0:
            for name in backups.prune(options["to"], options["keep"]):
                self.stdout.write(f"removed {name}")
