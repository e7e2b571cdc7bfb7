"""`manage.py twin`: simulated sites and feeder in real time, so that the board lives on a machine without a network."""

from __future__ import annotations

import asyncio
import random
import signal
from datetime import UTC, date, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.core.management.base import BaseCommand, CommandParser

from derms.agreement import Terms
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import FeederVersion
from interconnection.queries import agreements_in_force
from telemetry import services
from telemetry.twin.run import METER_NOISE_W, Site

STEP_S = 2.0
CHARGER_W = 30_000
DAY_S = 86_400.0


class Command(BaseCommand):
    """Run the twin."""

    help = "Simulated V2G sites for the agreements in force, and the feeder as a plant, in real time."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", default="ieee123")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        version = FeederVersion.objects.filter(feeder__name=options["feeder"]).first()
        terms = agreements_in_force(date.today(), options["feeder"])  # noqa: DTZ011
        if version is None or not terms:
            self.stderr.write("nothing to simulate: no model or no agreement in force (run the demo once)")
            raise SystemExit(3)
        asyncio.run(_live(version, terms))


async def _live(version: FeederVersion, terms: list[Terms]) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    sites = [await Site.start(_config(item)) for item in terms]
    try:
        for item, site in zip(terms, sites, strict=True):
            assert site.link is not None
            place = sync_to_async(services.place_site)
            await place(item.site, item.protocol, "127.0.0.1", site.link.port)
        with FeederProcess(version.text) as plant:
            places = [[item.bus, list(item.phases), 0.1 * max(item.flexible.import_w, 1)] for item in terms]
            elements = plant.call("participants", {"sites": places})["elements"]
            began = asyncio.get_running_loop().time()
            chance = random.Random(1)  # noqa: S311  (a meter's noise)
            while not stop.is_set():
                now = asyncio.get_running_loop().time() - began
                await asyncio.gather(*(site.step(now) for site in sites))
                state = plant.call("plant", _plant(terms, sites, elements))
                for site in sites:
                    site.volts = state["site_v_pu"][site.config["bus"]]
                measured = sync_to_async(services.measure_head)
                noise = METER_NOISE_W * chance.uniform(-1.0, 1.0)
                await measured(terms[0].feeder, datetime.now(UTC), state["head_w"] + noise, state["head_var"])
                try:
                    await asyncio.wait_for(stop.wait(), STEP_S)
                except TimeoutError:
                    continue
    finally:
        for site in sites:
            if site.link is not None:
                await site.link.cut()
            if site.process.returncode is None:
                site.process.kill()
            await site.process.wait()


def _plant(terms: list[Terms], sites: list[Site], elements: list[str]) -> dict[str, Any]:
    now = datetime.now(UTC)
    hour = int((now - datetime(now.year, 1, 1, tzinfo=UTC)).total_seconds() // 3600) % 8760
    places = [[item.bus, list(item.phases), site.answer["p"], 0.0] for item, site in zip(terms, sites, strict=True)]
    return {"hour": hour, "load_scale": 1.0, "sites": places, "elements": elements}


def _config(item: Terms) -> dict[str, Any]:
    """Return a site whose vehicles are all there and need most of a battery: something to see at any hour."""
    count = max(1, item.flexible.import_w // CHARGER_W)
    nameplate = [item.flexible.import_w, item.flexible.export_w]
    return {
        "site": item.site,
        "bus": item.bus,
        "phases": list(item.phases),
        "nameplate": nameplate,
        "failsafe": [item.failsafe.import_w, item.failsafe.export_w],
        "lease_s": item.lease_s,
        "kind": "obeys",
        "wire": item.protocol,
        "visits": [[0.0, DAY_S, 0.2 + 0.5 * place / count, 0.95] for place in range(count)],
        "charger": [float(CHARGER_W), CHARGER_W / 10, 1000.0, 400_000.0],
    }
