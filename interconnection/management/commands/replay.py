"""`manage.py replay FOLDER`: run a signed study again and compare it byte for byte."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.errors import HeadroomError
from derms.progress import Bar
from interconnection.services.study_folder import replay


class Command(BaseCommand):
    """Replay a study."""

    help = "Check a study folder's signature, run the study again, compare the bytes; exit status 1 where they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("folder")
        parser.add_argument("--public-key", help="hex: the key that must have signed")
        parser.add_argument("--workers", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay and print."""
        try:
            with Bar("replay", stream=sys.stderr) as bar:
                answer = replay(
                    Path(options["folder"]), public_key=options["public_key"], workers=options["workers"],
                    progress=bar.update,
                )  # fmt: skip
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        self.stdout.write(json.dumps(answer, indent=2))
        if not answer["same_bytes"]:
            raise SystemExit(1)
