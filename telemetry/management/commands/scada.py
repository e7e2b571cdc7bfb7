"""`manage.py scada`: the DNP3 outstation towards the utility's SCADA, a process of its own.

Without a configuration it serves one control centre on loopback in plain TCP. A TOML file names the centres:

    [tls]                                  # needed where a centre has an allow-list
    certificate = "server.pem"
    key = "server.key"
    authority = "authority.pem"

    [[centre]]
    name = "main"
    host = "10.0.0.5"
    port = 20000
    master = 1
    allow = ["sha256:0f3a…", "scada-main.example"]
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from derms.clock import SystemClock
from derms.errors import HeadroomError, InputError, LocalError
from telemetry import progress, scada_queries, scada_services
from telemetry.protocols.dnp3 import scada_points as p
from telemetry.protocols.dnp3.quiet import spare
from telemetry.protocols.dnp3.scada_outstation import ScadaOutstation, tls_context
from telemetry.protocols.dnp3.scada_ports import Centre

LOG = logging.getLogger(__name__)
EVERY_S = 0.5
REMAP_S = 10.0
KEYS = {"name", "host", "port", "master", "commands", "unsolicited", "allow", "plain_beyond_loopback"}


class Command(BaseCommand):
    """Serve SCADA."""

    help = "Serve feeders, sites and commands to the utility's control centres over DNP3 (IEEE 1815)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--config", help="TOML file naming the control centres and TLS")
        parser.add_argument("--host", default="127.0.0.1", help="without --config: where to listen, plain TCP")
        parser.add_argument("--port", type=int, default=20_000, help="without --config: port; 0 picks a free one")
        parser.add_argument("--points", metavar="FILE", help="write the point map as JSON for checkers, then end")
        parser.add_argument("--try-below", type=int, default=65_536, help="with --points: try outputs of lower index only")
        parser.add_argument("--profile", metavar="FILE", help="write the Device Profile XML, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write what was asked for, or serve until told to stop."""
        try:
            centres, tls = configuration(options)
            if options["points"]:
                Path(options["points"]).write_text(
                    json.dumps(points_document(centres[0], options["try_below"]), indent=1) + "\n"
                )
                return
            if options["profile"]:
                Path(options["profile"]).write_text(profile_document(centres))
                return
            spare(SystemClock().monotonic, "py1815", "asyncio")
            asyncio.run(_serve(centres, tls))
        except HeadroomError as error:
            self.stderr.write(str(error))
            raise SystemExit(1) from error


def configuration(options: dict[str, Any]) -> tuple[list[Centre], dict[str, str]]:
    """Return the control centres and the TLS files; raises InputError that says which key is wrong."""
    if not options["config"]:
        return [Centre("main", host=options["host"], port=options["port"])], {}
    path = Path(options["config"])
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"not a TOML file: {error}", where=str(path)) from error
    if unknown := set(raw) - {"tls", "centre"}:
        raise InputError(f"unknown part {sorted(unknown)[0]!r}", where=str(path), remedy="Only [tls] and [[centre]].")
    centres = []
    for item in raw.get("centre", []):
        if unknown := set(item) - KEYS:
            raise InputError(f"unknown key {sorted(unknown)[0]!r}", where=f"{path} centre", remedy=", ".join(sorted(KEYS)))
        try:
            centres.append(Centre(**{**item, "allow": frozenset(item.get("allow", ()))}))
        except TypeError as error:
            raise InputError(str(error), where=f"{path} centre") from error
    if not centres:
        raise InputError("no control centre is named", where=str(path), remedy="Add a [[centre]].")
    if len({centre.name for centre in centres}) != len(centres):
        raise InputError("two control centres have one name", where=str(path))
    return centres, {key: str(path.parent / value) for key, value in raw.get("tls", {}).items()}


def build(centres: list[Centre], executor: ThreadPoolExecutor) -> ScadaOutstation:
    """Return the outstation of this installation's feeders and sites; call it outside the event loop."""
    clock = SystemClock()
    desk = scada_services.DatabaseDesk(clock, _watchdog)
    return ScadaOutstation(current_points(clock), centres, desk, executor, clock.monotonic)


def current_points(clock: SystemClock) -> tuple[p.ScadaPoint, ...]:
    """Return the point map of the agreements in force, giving new feeders and sites their slots."""
    terms = scada_queries.terms_in_force(clock.now())
    slots = {
        p.FEEDER: scada_services.give_slots(p.FEEDER, {item.feeder for item in terms}),
        p.SITE: scada_services.give_slots(p.SITE, {item.site for item in terms}),
    }
    return p.point_map(*scada_queries.subjects(terms, slots))


def points_document(centre: Centre, below: int) -> dict[str, object]:
    """Return the map for an independent checker, with the outputs it may try."""
    points = current_points(SystemClock())
    tests: dict[tuple[str, int], float] = {}
    for point in points:
        if point.index >= below:
            continue
        if point.kind == "BO":
            tests[point.address] = 1
        elif point.key == "duration" and point.kind == "AO":
            tests[point.address] = 600
        elif point.key in ("scada_import", "scada_export") and point.kind == "AO" and point.most:
            tests[point.address] = round(0.6 * point.most, 1)
    return p.kit_document(points, master=centre.master, tests=tests)


def profile_document(centres: list[Centre]) -> str:
    """Return the Device Profile XML of this installation."""
    with ThreadPoolExecutor(1) as executor:
        return build(centres, executor).profile(today=date.today())  # noqa: DTZ011  (a document's date)


def _watchdog() -> tuple[bool, int]:
    """Say whether limits are under control, and the watchdog's count: a dead page or alarm list is not SCADA's alarm."""
    said = progress.watchdog_says()
    return said.verdict.state in ("controlling", "degraded"), said.count


async def _serve(centres: list[Centre], tls: dict[str, str]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    context = tls_context(tls["certificate"], tls["key"], tls["authority"]) if tls else None
    counter = progress.Progress("scada", within_s=10.0)
    with ThreadPoolExecutor(1, thread_name_prefix="orders") as executor:
        while not stop.is_set():
            scada = await loop.run_in_executor(executor, build, centres, executor)
            await scada.start(context)
            for association in scada.associations:
                assert association.server is not None
                LOG.info("control centre %s: port %d, %d points", association.centre.name, association.server.port,
                         len(scada.points))  # fmt: skip
            try:
                await _keep(scada, executor, counter, stop)
            finally:
                await scada.close()
    counter.end()


async def _keep(
    scada: ScadaOutstation, executor: ThreadPoolExecutor, counter: progress.Progress, stop: asyncio.Event
) -> None:
    """Show the house twice a second; return when the point map has changed or it is told to stop."""
    loop, clock = asyncio.get_running_loop(), SystemClock()
    looked = clock.monotonic()
    while not stop.is_set():
        try:
            scada.show(await loop.run_in_executor(executor, scada.desk.house))
            if clock.monotonic() - looked >= REMAP_S:
                looked = clock.monotonic()
                if await loop.run_in_executor(executor, current_points, clock) != scada.points:
                    LOG.warning("agreements changed: the point map is served anew, the control centres reconnect")
                    return
            counter.move()
        except LocalError:
            LOG.exception("SCADA's picture could not be taken: its data grow old, and say so")
            scada.age(clock.monotonic())
        scada.push()
        try:
            await asyncio.wait_for(stop.wait(), EVERY_S)
        except TimeoutError:
            continue
