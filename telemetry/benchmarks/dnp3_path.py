"""From SCADA to a site: real processes on a database of their own, measured where it counts, at the site's own lease."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from socket import create_server
from typing import Any

from py1815.master import Outstation, Tasks

from derms.errors import LocalError
from derms.limits import Limit
from telemetry.benchmarks.dnp3 import _at
from telemetry.control.site_lease import SiteLease
from telemetry.protocols.dnp3 import scada_points as p
from telemetry.protocols.dnp3.master import PROJECT
from telemetry.protocols.dnp3.outstation import Dnp3SiteServer, serve_dnp3
from telemetry.protocols.site_device import Measurements

FAILSAFE, FLEXIBLE = Limit(20_000, 20_000), Limit(100_000, 100_000)
READY_S, REACH_S, CYCLE_S = 180.0, 20.0, 2.0
HEAD_KW = 1_500.0
HEAD_EVERY_S = 4.0


class Plant:
    """A site that draws a little and notes when its limit changed, on the clock of this process."""

    def __init__(self, name: str) -> None:
        self.site, self.nameplate = name, FLEXIBLE
        self.lease = SiteLease(FAILSAFE, FLEXIBLE, longest_s=60.0)

    def monotonic(self) -> float:
        return time.monotonic()

    def measurements(self) -> Measurements:
        return Measurements(5_000.0, 0.0, 1.0, 50.0, 1e5, 80_000.0, 80_000.0)

    def limit_in_force(self) -> Limit:
        return self.lease.limit(time.monotonic())


def path(*, sites: int, changes: int, report: Callable[[str], object]) -> dict[str, Any]:
    """Return how long SCADA's orders take to the site: curtail all, and single limits."""
    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as folder:
        env = {**os.environ, "HEADROOM_STATE_DIR": folder, "DJANGO_SETTINGS_MODULE": "derms.settings",
               "HEADROOM_LOG_LEVEL": "WARNING", "PYTHONPATH": str(PROJECT)}  # fmt: skip
        env.pop("DATABASE_URL", None)
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=PROJECT, env=env, check=True, timeout=300)
        return asyncio.run(_path(sites, changes, env, Path(folder), report))


async def _path(
    count: int, changes: int, env: dict[str, str], folder: Path, report: Callable[[str], object]
) -> dict[str, Any]:
    plants = [Plant(f"bench-{number}") for number in range(count)]
    servers = [await serve_dnp3(plant) for plant in plants]
    places = [f"{plant.site}:{server.port}" for plant, server in zip(plants, servers, strict=True)]
    seeded = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemetry.benchmarks.dnp3_seed", *places, cwd=PROJECT, env=env
    )
    if await asyncio.wait_for(seeded.wait(), 120):
        raise LocalError("the benchmark's agreements could not be stored", where="bench dnp3")
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    commands = (["control", "--feeder", "ieee13", "--cycle", str(CYCLE_S)], ["scada", "--port", str(port)], ["watchdog"])
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "manage.py", *command, cwd=PROJECT, env=env, stdout=log, stderr=log
        )
        for command in commands
    ]
    fresh = asyncio.create_task(_refresh(servers))
    centre = Outstation(
        "scada", host="127.0.0.1", port=port, outstation_address=p.OUTSTATION_ADDRESS, master_address=1,
        tasks=Tasks.none(), reconnect=1.0, response_timeout=10.0,
    )  # fmt: skip
    try:
        report("SCADA to site: control and outstation start")
        await centre.connect(wait=READY_S, every=1.0)
        await _head(centre, READY_S)
        pushing = asyncio.create_task(_push(centre))
        report("SCADA to site: waiting until every site is lent more than its failsafe")
        await _until(lambda: all(not FAILSAFE.cover(plant.limit_in_force()) == FAILSAFE for plant in plants), READY_S)
        report("SCADA to site: curtail all, then single limits")
        curtailed = await _curtail_all(centre, plants)
        singles = await _changes(centre, plants, changes)
        pushing.cancel()
        return {"sites": count, "cycle_s": CYCLE_S, "curtail_all_s": curtailed, "changes": len(singles), "change_s": {
                "p50": _at(singles, 0.5), "p99": _at(singles, 0.99), "max": round(max(singles), 3),
        }}  # fmt: skip
    except TimeoutError as error:
        text = (folder / "log").read_text()[-2000:]
        raise LocalError(f"the processes were not ready in time: {text}", where="bench dnp3") from error
    finally:
        fresh.cancel()
        await centre.close()
        for child in children:
            child.terminate()
        for child in children:
            await child.wait()
        for server in servers:
            await server.close()
        log.close()


async def _refresh(servers: list[Dnp3SiteServer]) -> None:
    while True:
        for server in servers:
            server.refresh()
        await asyncio.sleep(0.5)


async def _head(centre: Outstation, wait_s: float) -> None:
    """Push the head's measurement until it is taken: the outstation may still be learning its feeders."""
    end = time.monotonic() + wait_s
    base = p.FEEDERS_AT
    while time.monotonic() < end:
        one = await centre.operate(analog_outputs={base + 5: 0}, mode="select", variation=1)
        two = await centre.operate(analog_outputs={base + 4: int(HEAD_KW * 10)}, mode="select", variation=1)
        if one.accepted and two.accepted:
            return
        await asyncio.sleep(1.0)
    raise TimeoutError


async def _push(centre: Outstation) -> None:
    while True:
        await asyncio.sleep(HEAD_EVERY_S)
        await _head(centre, 30.0)


async def _until(holds: Callable[[], bool], seconds: float) -> float:
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise TimeoutError
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def _curtail_all(centre: Outstation, plants: list[Plant]) -> float:
    began = time.monotonic()
    done = await centre.operate(binary_outputs={0: True}, mode="select")
    if not done.accepted:
        raise LocalError("the outstation refused to curtail all", where="bench dnp3")
    await _until(lambda: all(plant.limit_in_force().within(FAILSAFE) for plant in plants), REACH_S)
    return round(time.monotonic() - began, 3)


async def _changes(centre: Outstation, plants: list[Plant], changes: int) -> list[float]:
    """Lower one site's import limit after another, each below what it has; return the seconds to each site."""
    found = []
    for number in range(changes):
        place = number % len(plants)
        limit = Limit(
            int(FAILSAFE.import_w * (1 - (1 + number // len(plants)) / (2 + changes / len(plants)))), FAILSAFE.export_w
        )
        began = time.monotonic()
        output = p.SITES_AT + place * p.SITE_WIDTH
        done = await centre.operate(analog_outputs={output: limit.import_w // 100}, mode="select", variation=1)
        if not done.accepted:
            raise LocalError(f"the outstation refused limit {number}", where="bench dnp3")
        await _until(partial(_obeys, plants[place], limit), REACH_S)
        found.append(time.monotonic() - began)
    return found


def _obeys(plant: Plant, limit: Limit) -> bool:
    return plant.limit_in_force().import_w <= limit.import_w
