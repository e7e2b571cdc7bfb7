"""`manage.py control`: the control process of one feeder. It needs no web, no queue and no Redis.

Two of them on one feeder are a leader and a hot standby: the standby takes over within 10 s of the leader's silence.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from derms.clock import SystemClock
from derms.errors import HeadroomError
from telemetry import lead_services
from telemetry.control_session import Session, facts
from telemetry.progress import Progress
from telemetry.protocols.dnp3.master import Dnp3Pool


class Command(BaseCommand):
    """Control one feeder."""

    help = "Run the control loop of a feeder: measure, estimate, decide, publish, verify, record."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", default="ieee123")
        parser.add_argument("--cycle", type=float, default=10.0)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop; exit status 3 when there is nothing to control."""
        lead_services.bound_transactions()
        try:
            asyncio.run(self._control(options["feeder"], options["cycle"]))
        except HeadroomError as error:
            self.stderr.write(str(error))
            raise SystemExit(1) from error

    async def _control(self, feeder: str, cycle_s: float) -> None:
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        clock = SystemClock()
        master: Dnp3Pool | None = None
        try:
            while not stop.is_set():
                found = await sync_to_async(facts, thread_sensitive=False)(feeder, clock.now())
                if found is None:
                    Progress(f"control-{feeder}").idle("no model or no agreement in force")
                    self.stderr.write(f"feeder {feeder}: no model or no agreement in force; nothing to control")
                    raise SystemExit(3)
                if master is None:
                    master = Dnp3Pool(settings.DNP3_PROCESSES, stack=settings.DNP3_STACK)
                    await master.start()
                session = Session(found, cycle_s=cycle_s, clock=clock, master=master, stop=stop)
                await session.run()
                if stop.is_set():
                    session.progress.end()
        finally:
            if master is not None:
                await master.close()
