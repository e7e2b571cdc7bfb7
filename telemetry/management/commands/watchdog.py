"""`manage.py watchdog`: says whether anybody controls. No database, no broker, no socket: it outlives them all."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from telemetry import progress
from telemetry.control.watch import Watch

LOG = logging.getLogger(__name__)
EVERY_S = 1.0


class Command(BaseCommand):
    """Watch the progress counters."""

    help = "Read every process's progress counter and write the verdict that the banner and SCADA's heartbeat show."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--expect", action="append", default=[], help="a subject that must appear, e.g. control-ieee123"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look once a second until told to stop."""
        stop = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
        watch, count, said = Watch(frozenset(options["expect"])), 0, ""
        while not stop.wait(EVERY_S if count else 0.0):
            seen = progress.marks()
            verdict = watch.judge(seen, time.monotonic())
            count += 1
            try:
                progress.publish(verdict, count)
            except OSError:
                LOG.exception("the verdict cannot be written: whoever reads it will see that it is old")
            progress.forget_the_dead(seen)
            if verdict.state != said:
                said = verdict.state
                LOG.warning("%s: %s", verdict.state, verdict.message or "all counters move")
