"""`manage.py serve`: all processes on one machine, one parent that ends them all."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandParser

from interconnection.models import Agreement
from interconnection.roles import APPLICANT, ENGINEER, OPERATOR
from interconnection.services.feeders import feeder_version

BACK_OFF_S = (1.0, 2.0, 5.0, 15.0, 30.0)
STOP_S = 12.0
NOTHING_TO_DO = 3
LOOK_AGAIN_S, STEADY_S = 60.0, 300.0
STANDBY_AFTER_S = 15.0
"""The first control process finds the certificate and leads; the standby then finds both there."""


@dataclass
class Child:
    """A process that is kept running."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    start_at: float = 0.0
    started: float = 0.0

    def tend(self, now: float) -> None:
        """Start it when it is due; note its end."""
        if self.process is not None and self.process.poll() is not None:
            idle, self.process = self.process.returncode == NOTHING_TO_DO, None
            if idle:  # an agreement may come
                self.failures, self.start_at = 0, now + LOOK_AGAIN_S
            else:
                if now - self.started > STEADY_S:
                    self.failures = 0
                self.start_at = now + BACK_OFF_S[min(self.failures, len(BACK_OFF_S) - 1)]
                self.failures += 1
        if self.process is None and now >= self.start_at:
            self.process, self.started = subprocess.Popen(self.command, cwd=settings.BASE_DIR), now

    def stop(self, deadline: float) -> None:
        """End it: asked first, killed after the deadline."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Command(BaseCommand):
    """Run everything."""

    help = "Web, study queue, control with its standby and (without --no-twin) simulated sites, as one process group."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--feeder", default="ieee123")
        parser.add_argument("--scada-port", type=int, default=20_000, help="DNP3 outstation towards SCADA, on loopback")
        parser.add_argument("--no-twin", action="store_true", help="real sites and SCADA write their own addresses")
        parser.add_argument("--no-standby", action="store_true", help="one control process: nobody takes over from it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, tend, stop."""
        self._first_time(options["feeder"])
        manage = [sys.executable, "manage.py"]
        control = [*manage, "control", "--feeder", options["feeder"]]
        children = [
            Child("web", [sys.executable, "-m", "uvicorn", "derms.asgi:application", "--host", "127.0.0.1", "--port",
                          str(options["port"]), "--log-level", "warning"]),
            Child("studies", [*manage, "qcluster"]),
            Child("webhooks", [*manage, "deliver_webhooks"]),
            Child("control", control),
            Child("annunciator", [*manage, "annunciator"]),
            Child("scada", [*manage, "scada", "--port", str(options["scada_port"])]),
            Child("watchdog", [*manage, "watchdog", "--expect", f"control-{options['feeder']}", "--expect", "web",
                               "--expect", "annunciator", "--expect", "scada"]),
        ]  # fmt: skip
        if settings.UTILITY_SOCKET or (settings.UTILITY_CERT and settings.UTILITY_KEY and settings.UTILITY_CA):
            children.append(Child("utility", [*manage, "utility_server"]))
            next(child for child in children if child.name == "watchdog").command += ["--expect", "utility"]
        if not options["no_standby"]:
            children.append(Child("standby", control, start_at=time.monotonic() + STANDBY_AFTER_S))
        if not options["no_twin"]:
            children.append(Child("twin", [*manage, "twin", "--feeder", options["feeder"]]))
        stop = False

        def end(*_: object) -> None:
            nonlocal stop
            stop = True

        signal.signal(signal.SIGINT, end)
        signal.signal(signal.SIGTERM, end)
        self.stdout.write(f"Headroom: http://127.0.0.1:{options['port']}/ (Ctrl-C ends it)")
        if not Agreement.objects.exists():
            self.stdout.write("No agreement yet: 'make demo' makes one; then control and twin have something to do.")
        while not stop:
            for child in children:
                child.tend(time.monotonic())
            time.sleep(0.2)
        for child in children:
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_S
        for child in children:
            child.stop(deadline)

    def _first_time(self, feeder: str) -> None:
        """Import the shipped feeder and, outside production, make one user with a password shown once."""
        feeder_version(feeder, actor="serve")
        users = get_user_model().objects
        if settings.PRODUCTION or users.filter(username="local").exists():
            return
        password = secrets.token_urlsafe(12)
        user = users.create_user("local", password=password)
        for role in (APPLICANT, ENGINEER, OPERATOR):
            user.groups.add(Group.objects.get_or_create(name=role)[0])
        self.stdout.write(f"First start: sign in as 'local' with the password {password} (shown once; "
                          "'manage.py changepassword local' sets another)")  # fmt: skip
