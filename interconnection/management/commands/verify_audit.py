"""`manage.py verify_audit`: walk the audit log's hash chain and compare it with the anchor outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from interconnection import audit


class Command(BaseCommand):
    """Verify the audit log."""

    help = "Verify the audit log's hash chain against its anchor file; exit status 1 when it is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--anchor", type=Path, help="default: HEADROOM_AUDIT_ANCHOR")
        parser.add_argument("--write-anchor", action="store_true", help="append the newest digest when the chain holds")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify and say so."""
        found = audit.verify(anchor_path=options["anchor"])
        if found.holds and options["write_anchor"]:
            audit.anchor_now()
        if options["json"]:
            answer = {"entries": found.entries, "anchors": found.anchors, "digest": found.digest, "problem": found.problem}
            self.stdout.write(json.dumps(answer, sort_keys=True))
        elif found.holds:
            self.stdout.write(f"the chain holds: {found.entries} entries, {found.anchors} anchors, ends in {found.digest}")
        else:
            self.stderr.write(f"THE AUDIT LOG IS BROKEN: {found.problem} ({found.entries} entries were good)")
        if not found.holds:
            raise SystemExit(1)
