"""`manage.py commission SITE`: the commissioning test over the wire, thirteen steps; its result permits operation.

The control room leaves a site alone until it is permitted. A person at the site is asked to charge, discharge and take the
supply away, or `--rig COMMAND` does it (called with `charge`, `discharge`, `power-cycle`).
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Max

from derms.agreement import Terms
from derms.clock import SystemClock
from derms.errors import Conflict, HeadroomError, InputError, LocalError, NotFound
from interconnection import states
from interconnection.models import Agreement
from interconnection.services import commissioning
from telemetry import lead_services, services
from telemetry.commissioning.bench import FIRST_EPOCH, Bench
from telemetry.commissioning.rigs import Person, RigCommand
from telemetry.commissioning.steps import Verdict, run
from telemetry.commissioning.wires import Dnp3Wire, SunSpecWire, UtilityWire
from telemetry.models import LeaderLease, SiteEndpoint

MAY_BE_TESTED = (states.ACCEPTED, states.COMMISSIONING, states.SUSPENDED)


class Command(BaseCommand):
    """Test a site."""

    help = "Run the commissioning test of a site over its wire, store the result, and say what failed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("site")
        parser.add_argument("--by", required=True, help="user who runs the test and answers for it")
        parser.add_argument("--host", help="where the wire ends, if the control room does not know it yet")
        parser.add_argument("--port", type=int)
        parser.add_argument("--rig", help="command that does at the site what the test needs")
        parser.add_argument("--dry", action="store_true", help="test, and store nothing")
        parser.add_argument("--json", metavar="FILE", help="write the result with its trace")

    def handle(self, *args: Any, **options: Any) -> None:
        """Test; exit status 0 when every step held."""
        try:
            passed = self._test(options)
        except HeadroomError as error:
            self.stderr.write(str(error))
            raise SystemExit(2) from error
        raise SystemExit(0 if passed else 1)

    def _test(self, options: dict[str, Any]) -> bool:
        agreement = Agreement.objects.filter(site=options["site"]).select_related("offer__application").first()
        if agreement is None:
            raise NotFound(f"no agreement is about a site {options['site']!r}", where="site")
        application, terms = agreement.offer.application, agreement.terms
        user = get_user_model().objects.filter(username=options["by"]).first()
        if user is None:
            raise NotFound(f"there is no user {options['by']!r}", where="by")
        if application.state not in MAY_BE_TESTED:
            raise Conflict(
                f"the application is {application.state}", where=application.reference,
                remedy="Suspend a permitted site first: the control room must let go of its wire.",
            )  # fmt: skip
        wire = self._wire(terms, options)
        rig = RigCommand(options["rig"]) if options["rig"] else Person(input)
        # A site that was under control before refuses what is below its last order: the leader's epoch, and a sequence
        # that no leader reaches; afterwards the epoch is raised, so that the leader's own grants count as newer.
        epoch = LeaderLease.objects.filter(feeder=terms.feeder).aggregate(last=Max("epoch"))["last"] or FIRST_EPOCH
        epoch = epoch if application.state == states.SUSPENDED else FIRST_EPOCH
        bench = Bench(terms, wire, rig, SystemClock(), asyncio.sleep, epoch=epoch, sequence=int(time.time()))
        verdicts = asyncio.run(_run(bench, wire, self._tell))
        if epoch != FIRST_EPOCH:
            lead_services.raise_epoch(terms.feeder)
        passed = bool(verdicts) and all(item.passed for item in verdicts)
        document = {
            "site": terms.site, "protocol": terms.protocol, "passed": passed, "at": datetime.now(UTC).isoformat(),
            "steps": [vars_of(item) for item in verdicts], "trace_sha256": bench.trace.sha256(),
            "trace": bench.trace.document(),
        }  # fmt: skip
        if options["json"]:
            Path(options["json"]).write_text(json.dumps(document, indent=1) + "\n")
        if options["dry"]:
            return passed
        if isinstance(wire, Dnp3Wire) and wire.dialect is not None:
            services.describe_device(terms.site, wire.dialect.document())
        steps = [commissioning.Step(item.name, item.passed, item.value, item.limit, item.note) for item in verdicts]
        trace = {**bench.trace.document(), "sha256": bench.trace.sha256()}
        stored = commissioning.record(
            application, commissioning.Result("wire", steps, at=datetime.now(UTC), trace=trace), by=user
        )
        self.stdout.write(f"{'passed' if passed else 'FAILED'}; stored as result {stored.pk}, sha256 {stored.sha256}")
        return passed

    def _wire(self, terms: Terms, options: dict[str, Any]) -> Dnp3Wire | SunSpecWire | UtilityWire:
        if options["host"] and options["port"]:
            services.place_site(terms.site, terms.protocol, options["host"], options["port"])
        if terms.protocol == "ieee2030_5":
            return UtilityWire(terms, SystemClock(), pen=settings.UTILITY_PEN)
        place = SiteEndpoint.objects.filter(site=terms.site).first()
        if place is None:
            raise InputError("nobody said where this site's wire ends", where="host", remedy="Give --host and --port.")
        if terms.protocol == "dnp3":
            return Dnp3Wire(terms, place.host, place.port, SystemClock(), stack=settings.DNP3_STACK)
        if terms.protocol == "sunspec":
            return SunSpecWire(terms, place.host, place.port, SystemClock())
        raise LocalError(f"no wire is named {terms.protocol!r}", where=terms.site)

    def _tell(self, number: int, verdict: Verdict) -> None:
        held = "held  " if verdict.passed else "FAILED"
        self.stdout.write(
            f"{number:2d} {held} {verdict.name}: {verdict.value} (asked: {verdict.limit}) {verdict.note}".rstrip()
        )


def vars_of(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as it is written down."""
    return {name: getattr(verdict, name) for name in ("name", "passed", "value", "limit", "note")}


async def _run(bench: Bench, wire: Dnp3Wire | SunSpecWire | UtilityWire, told: Any) -> list[Verdict]:
    try:
        return await run(bench, told)
    finally:
        await wire.close()
