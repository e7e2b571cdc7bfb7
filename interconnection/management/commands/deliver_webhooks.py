"""`manage.py deliver_webhooks`: sends what is due, until it is told to stop."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from django.utils import timezone

from interconnection.api.webhook_delivery import deliver_one


class Command(BaseCommand):
    """Send webhooks."""

    help = "Sends webhook messages that are due; several of these may run."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--once", action="store_true", help="send what is due now, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send, look again every second."""
        stop = threading.Event()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: stop.set())
            signal.signal(signal.SIGINT, lambda *_: stop.set())
        while not stop.is_set():
            while deliver_one(timezone.now()):
                if stop.is_set():
                    return
            if options["once"]:
                return
            close_old_connections()
            stop.wait(1.0)
