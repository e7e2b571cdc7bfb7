"""`manage.py annunciator`: turns conditions into alarms. A process of its own: it speaks when the others are dead."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from derms.clock import Clock, SystemClock
from telemetry import alarm_services
from telemetry.alarm_sources import Sources
from telemetry.progress import Progress

LOG = logging.getLogger(__name__)
EVERY_S = 2.0


class Command(BaseCommand):
    """Announce alarms."""

    help = "Look at cycles, processes, certificates and clocks every two seconds and keep the alarm list and its journal."

    def handle(self, *args: Any, **options: Any) -> None:
        """Look until told to stop. Two annunciators do no harm: of two writers one wins."""
        stop = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
        work = Annunciator(SystemClock())
        while not stop.wait(EVERY_S):
            work.step()
        work.counter.end()


class Annunciator:
    """One look after the other; what a test calls is what the process runs."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.sources, self.counter, self.well = clock, Sources(clock), Progress("annunciator"), True

    def step(self) -> bool:
        """Look once; False when the list could not be kept, and then the counter stands still for the watchdog to see."""
        try:
            looks, covered = self.sources.look()
            alarm_services.report(looks, self.clock.now(), covered=covered)
        except DatabaseError:
            if self.well:  # once an outage, not every two seconds
                LOG.exception("the alarm list cannot be kept: the watchdog will say so")
            self.well = False
            close_old_connections()
            return False
        self.well = True
        self.counter.move()
        return True
