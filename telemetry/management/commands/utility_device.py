"""`manage.py utility_device`: register a device or an aggregator out of band, revoke a certificate, list them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from derms.errors import HeadroomError
from telemetry import utility_services
from telemetry.protocols.ieee2030_5.certificates import read_identity
from telemetry.utility_models import EndDevice, WireIdentity


class Command(BaseCommand):
    """Who may come in over IEEE 2030.5."""

    help = "add (a device, for a site), aggregator, revoke, restore, list."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("action", choices=["add", "aggregator", "revoke", "restore", "list"])
        parser.add_argument("identity", nargs="?", help="an LFDI, or the PEM file of a certificate")
        parser.add_argument("--site", default="", help="the agreement's site that the device speaks for")
        parser.add_argument("--through", default="", help="LFDI of the aggregator that manages the device")
        parser.add_argument("--pin", type=int, help="five digits and their check digit; made where not given")
        parser.add_argument("--group", action="append", default=[], help="a group of the device, widest first; repeat")
        parser.add_argument("--topology", action="store_true", help="the seven topology groups of CSIP")
        parser.add_argument("--name", default="", help="what people call it")
        parser.add_argument("--host", action="append", default=[], help="where an aggregator may be called back; repeat")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it."""
        if options["action"] == "list":
            self._list()
            return
        if not options["identity"]:
            raise CommandError("give an LFDI or a certificate's PEM file")
        try:
            self._change(options["action"], read_identity(_text(options["identity"]))[0], options)
        except HeadroomError as error:
            raise CommandError(str(error)) from error

    def _change(self, action: str, lfdi: str, options: dict[str, Any]) -> None:
        now = int(time.time())
        if action == "aggregator":
            utility_services.enrol(
                _text(options["identity"]),
                now=now,
                role=WireIdentity.AGGREGATOR,
                hosts=options["host"],
                name=options["name"],
            )
        elif action == "add":
            groups = [*(utility_services.TOPOLOGY if options["topology"] else ()), *options["group"]]
            row = utility_services.enrol(
                _text(options["identity"]), now=now, site=options["site"], through=options["through"], groups=groups,
                pin=options["pin"], name=options["name"],
            )  # fmt: skip
            self.stdout.write(f"PIN {row.pin:06d}")
        else:
            utility_services.allow(lfdi, granted=action == "restore")
        self.stdout.write(f"{action}: {lfdi}")

    def _list(self) -> None:
        for identity in WireIdentity.objects.order_by("lfdi"):
            self.stdout.write(f"{identity.lfdi} {identity.role:10} {'in' if identity.granted else 'REVOKED'}")
        for device in EndDevice.objects.filter(own=False).select_related("aggregator"):
            through = f" through {device.aggregator.lfdi}" if device.aggregator else ""
            self.stdout.write(f"{device.lfdi} device     site {device.site or '-'}{through}")


def _text(identity: str) -> str:
    """Return the PEM in the file that a text names, or the text itself: an LFDI."""
    path = Path(identity)
    return path.read_text() if path.is_file() else identity
