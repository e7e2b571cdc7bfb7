"""`manage.py bench …`: measurements against named peers, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.benchmarks.models import model_text
from derms.errors import HeadroomError
from derms.grid.criteria import CriteriaSettings
from derms.grid.opendss import Circuit
from derms.progress import Bar


class Command(BaseCommand):
    """Measure."""

    help = "Measure our engine against named peers in the same run; prints JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        kinds = parser.add_subparsers(dest="kind", required=True)
        hosting = kinds.add_parser("hosting_capacity", help="all buses, both ways, against OpenDSS")
        hosting.add_argument("--feeder", default="ieee123", help="a shipped name, or a path to a master file")
        hosting.add_argument("--root", help="the folder that the model may read from; default: the master file's")
        hosting.add_argument("--hours", type=int, default=10)
        hosting.add_argument("--cases", type=int, default=12, help="buses compared in each hour, both ways")
        hosting.add_argument("--ordinary-cases", type=int, default=4)
        hosting.add_argument("--seed", type=int, default=1)
        hosting.add_argument("--regulators", help="volts:band for every regulator, for example 122:3")
        hosting.add_argument("--voltage-scope", choices=["mv", "all"], default="all")
        hosting.add_argument("--json", action="store_true")
        many = kinds.add_parser("envelope", help="limits of many sites together, by sharing rule")
        many.add_argument("--feeder", default="ieee123")
        many.add_argument("--root")
        many.add_argument("--regulators")
        many.add_argument("--sites", type=int, nargs="+", default=[10, 100, 1000])
        many.add_argument("--rules", nargs="+", help="default: all")
        many.add_argument("--voltage-scope", choices=["mv", "all"], default="all")
        many.add_argument("--seed", type=int, default=1)
        many.add_argument("--json", action="store_true")

        served = kinds.add_parser("ieee2030_5", help="the utility server against plain Django with the peer's models")
        served.add_argument("--sites", type=int, nargs="+", default=[1000, 10_000])
        served.add_argument("--controls", type=int, default=48)
        served.add_argument("--seconds", type=float, default=6.0, help="of each scenario and round")
        served.add_argument("--rounds", type=int, default=3)
        served.add_argument("--connections", type=int, default=8)
        served.add_argument("--clients", type=int, default=0, help="also a fleet over mutual TLS: how many (2000)")
        served.add_argument("--fleet-seconds", type=float, default=180.0)
        served.add_argument("--json", action="store_true")

        paged = kinds.add_parser("pages", help="the desk's pages on this database: ms, queries, bytes (see demo_data)")
        paged.add_argument("--rounds", type=int, default=5)
        paged.add_argument("--json", action="store_true")

        wired = kinds.add_parser(
            "dnp3", help="thousands of sites, py1815's master beside it, and the way from SCADA to a site"
        )
        wired.add_argument("--sites", type=int, default=2000)
        wired.add_argument("--seconds", type=float, default=20.0)
        wired.add_argument("--peer-sites", type=int, default=200)
        wired.add_argument("--path-sites", type=int, default=10, help="0 leaves the way from SCADA out")
        wired.add_argument("--changes", type=int, default=30)
        wired.add_argument("--seed", type=int, default=1)
        wired.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print."""
        if options["kind"] in ("ieee2030_5", "dnp3", "pages"):
            getattr(self, f"_{options['kind']}")(options)
            return
        try:
            circuit = Circuit.compile(model_text(options["feeder"], options.get("root"), options.get("regulators")))
            answer = getattr(self, f"_{options['kind']}")(circuit, options)
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        self.stdout.write(json.dumps(answer, indent=None if options["json"] else 2))

    def _hosting_capacity(self, circuit: Circuit, options: dict[str, Any]) -> dict[str, Any]:
        from derms.benchmarks.hosting_capacity import bench

        settings = CriteriaSettings(rule="masked", participation=0.0, voltage_scope=options["voltage_scope"])
        with Bar("bench", stream=sys.stderr) as bar:
            return bench(
                circuit, settings=settings, hours=options["hours"], cases_an_hour=options["cases"],
                ordinary_cases=options["ordinary_cases"], seed=options["seed"], report=bar.update,
            )  # fmt: skip

    def _pages(self, options: dict[str, Any]) -> None:
        from interconnection.page_bench import bench

        self.stdout.write(json.dumps(bench(rounds=options["rounds"]), indent=None if options["json"] else 2))

    def _dnp3(self, options: dict[str, Any]) -> None:
        from telemetry.benchmarks.dnp3 import bench

        try:
            answer = bench(
                sites=options["sites"], seconds=options["seconds"], peer_sites=options["peer_sites"],
                path_sites=options["path_sites"], changes=options["changes"], seed=options["seed"],
                report=self.stderr.write,
            )  # fmt: skip
        except HeadroomError as error:
            self.stderr.write(str(error))
            raise SystemExit(2) from error
        self.stdout.write(json.dumps(answer, indent=None if options["json"] else 2))

    def _ieee2030_5(self, options: dict[str, Any]) -> None:
        from telemetry.benchmarks.utility import bench

        try:
            answer = bench(
                sites=options["sites"], controls=options["controls"], seconds=options["seconds"], rounds=options["rounds"],
                connections=options["connections"], fleet=options["clients"], fleet_s=options["fleet_seconds"],
                report=self.stderr.write,
            )  # fmt: skip
        except HeadroomError as error:
            self.stderr.write(str(error))
            raise SystemExit(2) from error
        self.stdout.write(json.dumps(answer, indent=None if options["json"] else 2))

    def _envelope(self, circuit: Circuit, options: dict[str, Any]) -> dict[str, Any]:
        from derms.benchmarks.envelope import bench
        from derms.grid.sharing_rules import RULES

        settings = CriteriaSettings(participation=0.0, voltage_scope=options["voltage_scope"], slack_pu=0.001)
        with Bar("bench", stream=sys.stderr) as bar:
            return bench(
                circuit, settings=settings, counts=options["sites"], rules=options["rules"] or RULES,
                seed=options["seed"], report=bar.update,
            )  # fmt: skip
