"""`manage.py restore_drill --from BACKUP`: restore into a scratch database and ask it what the manifest says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from derms.errors import HeadroomError
from interconnection.services import backups


class Command(BaseCommand):
    """Drill."""

    help = "Restore a backup into a scratch database and check it: exit status 1 when a question is not answered."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--from", dest="place", type=Path, help="the backup's folder")
        parser.add_argument("--look", action="store_true", help="answer the drill's questions about this database, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Drill, or answer."""
        if options["look"]:
            self.stdout.write(json.dumps(backups.look()))
            return
        if options["place"] is None:
            raise CommandError("name a backup: --from FOLDER")
        started = time.monotonic()
        try:
            found = backups.drill(options["place"])
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        for question, answered in found.answers.items():
            self.stdout.write(f"{'yes' if answered else 'NO '}  {question}")
        for name, note in found.notes.items():
            if note:
                self.stdout.write(f"     {name}: {note}")
        self.stdout.write(f"restored and checked in {time.monotonic() - started:.1f} s")
        if not found.passed:
            raise SystemExit(1)
