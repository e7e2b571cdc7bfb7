"""`manage.py bench dnp3`: our master with thousands of sites, py1815's beside it, and the way from SCADA to a site.

Three parts, in one run: polls and commands at scale (yadnp3 in its process, pinned to one core, and then py1815 with fewer
sites, whose processor time a response is the ratio); "failsafe" at every site at once; and the whole path, SCADA's master →
outstation → order → engine → master → site, with real processes on a database of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derms.clock import SystemClock
from derms.errors import LocalError, RemoteError
from derms.limits import Limit
from telemetry.control.grant import Grant, Reason
from telemetry.protocols.dnp3.master import PROJECT, Dnp3Master, Dnp3Site

FAILSAFE = Limit(20_000, 20_000)
PERIOD_S = 2.0
COMMANDS_A_SECOND = 50.0
CONNECT_S = 120.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Load:
    """One master under load: its name, its sites, and how long."""

    stack: str
    sites: int
    seconds: float


async def at_scale(load: Load, *, seed: int, report: Callable[[str], object]) -> dict[str, Any]:
    """Poll every site at 2 s, command at random beside it, then send every site to its failsafe at once."""
    _files()
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemetry.benchmarks.dnp3_sites", str(load.sites), cwd=PROJECT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    assert simulator.stdin is not None
    assert simulator.stdout is not None
    master = Dnp3Master(timeout_s=5.0, stack=load.stack)
    try:
        ports = json.loads(await simulator.stdout.readline())
        await master.start()
        core = _pin(master.pid)
        clock = SystemClock()
        sites = [await master.site(f"s{number}", "127.0.0.1", port, clock, failsafe=FAILSAFE)
                 for number, port in enumerate(ports)]  # fmt: skip
        report(f"{load.stack}: {load.sites} sites connect")
        await _connected(sites)
        report(f"{load.stack}: polls for {load.seconds:.0f} s")
        figures = await _polls(master, sites, load.seconds, random.Random(seed), simulator.pid)  # noqa: S311
        report(f"{load.stack}: every site to its failsafe")
        figures["failsafe_everywhere"] = await _failsafe_everywhere(sites, simulator)
        return {"stack": load.stack, "sites": load.sites, "core": core, **figures}
    finally:
        await master.close()
        simulator.kill()
        await simulator.wait()


async def _connected(sites: Sequence[Dnp3Site]) -> None:
    async def first(site: Dnp3Site) -> None:
        while True:
            try:
                await site.read()
                return
            except RemoteError:
                await asyncio.sleep(1.0)

    try:
        await asyncio.wait_for(asyncio.gather(*(first(site) for site in sites)), CONNECT_S)
    except TimeoutError as error:
        raise LocalError(f"not every site answered within {CONNECT_S:.0f} s", where="bench dnp3") from error


async def _polls(
    master: Dnp3Master, sites: Sequence[Dnp3Site], seconds: float, chance: random.Random, simulator: int
) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    polls: list[float] = []
    commands: list[float] = []
    failed = missed = 0

    async def poll(site: Dnp3Site, offset: float) -> None:
        nonlocal failed, missed
        due = loop.time() + offset
        while due < end:
            await asyncio.sleep(max(0.0, due - loop.time()))
            began = loop.time()
            try:
                await site.read()
                polls.append(loop.time() - began)
            except RemoteError:
                failed += 1
            due += PERIOD_S
            while due < loop.time() - PERIOD_S:
                due, missed = due + PERIOD_S, missed + 1

    async def command() -> None:
        nonlocal failed
        while loop.time() < end:
            site = chance.choice(sites)
            began = loop.time()
            answer = await master.ask({"do": "operate", "site": site.site, "points": [["AO", 85, 60]]})
            if answer["ok"]:
                commands.append(loop.time() - began)
            else:
                failed += 1
            await asyncio.sleep(1.0 / COMMANDS_A_SECOND)

    before = {name: _cpu_s(pid) for name, pid in (("master", master.pid), ("control", os.getpid()), ("sites", simulator))}
    began = loop.time()
    await asyncio.gather(command(), *(poll(site, PERIOD_S * place / len(sites)) for place, site in enumerate(sites)))
    wall = loop.time() - began
    used = {
        name: _cpu_s(pid) - before[name]
        for name, pid in (("master", master.pid), ("control", os.getpid()), ("sites", simulator))
    }
    return {
        "polls": len(polls), "polls_wanted": round(len(sites) * seconds / PERIOD_S), "missed": missed, "failed": failed,
        "responses_per_s": round(len(polls) / wall, 1), "poll_ms": _spread(polls),
        "select_and_operate_ms": _spread(commands),
        "master_cores": round(used["master"] / wall, 3), "control_cores": round(used["control"] / wall, 3),
        "simulator_cores": round(used["sites"] / wall, 3),
        "master_cpu_ms_per_response": round(1000 * used["master"] / max(1, len(polls) + 2 * len(commands)), 3),
        "master_rss_mb": round(_rss_mb(master.pid), 1),
    }  # fmt: skip


async def _failsafe_everywhere(sites: Sequence[Dnp3Site], simulator: asyncio.subprocess.Process) -> dict[str, Any]:
    """Publish the failsafe to all at once, as the engine does on an order; the sites' own log says when it was there."""
    await _log(simulator)
    reason, began = Reason("order", "curtail all", 1.0, "bench"), time.monotonic()

    async def one(place: int, site: Dnp3Site) -> str:
        try:
            answer = await site.publish(Grant(site.site, FAILSAFE, 1, place + 1, time.monotonic(), 60.0, 0.0, reason))
            return answer.outcome.value
        except RemoteError as error:
            return type(error).__name__

    outcomes = await asyncio.gather(*(one(place, site) for place, site in enumerate(sites)))
    told = time.monotonic() - began
    there = [at - began for _, kind, at in await _log(simulator) if kind == "off"]
    return {
        "sites": len(sites), "reached": len(there), "acknowledged": outcomes.count("acknowledged"),
        "last_site_s": round(max(there, default=float("nan")), 3), "half_of_them_s": _at(there, 0.5),
        "all_read_back_s": round(told, 3),
    }  # fmt: skip


async def _log(simulator: asyncio.subprocess.Process) -> list[tuple[int, str, float]]:
    assert simulator.stdin is not None
    assert simulator.stdout is not None
    simulator.stdin.write(b"log\n")
    return [(number, kind, at) for number, kind, at in json.loads(await simulator.stdout.readline())]


def _spread(seconds: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum in milliseconds."""
    return {name: round(1000 * value, 2) for name, value in (
        ("p50", _at(seconds, 0.50)), ("p99", _at(seconds, 0.99)), ("max", max(seconds, default=float("nan"))),
    )} | {"count": len(seconds)}  # fmt: skip


def _at(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4) if ordered else float("nan")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def _pin(pid: int) -> int:
    """Bind a process with all its threads to one core; return which."""
    core = max(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    return core


def _files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bench(
    *, sites: int, seconds: float, peer_sites: int, path_sites: int, changes: int, seed: int,
    report: Callable[[str], object],
) -> dict[str, Any]:  # fmt: skip
    """Run the three parts one after another; return figures and goals."""
    from telemetry.benchmarks.dnp3_path import path

    load_before = os.getloadavg()[0]
    ours = asyncio.run(at_scale(Load("yadnp3", sites, seconds), seed=seed, report=report))
    peer = asyncio.run(at_scale(Load("py1815", peer_sites, max(6.0, seconds / 2)), seed=seed, report=report))
    whole = path(sites=path_sites, changes=changes, report=report) if path_sites else None
    ratio = peer["master_cpu_ms_per_response"] / max(1e-9, ours["master_cpu_ms_per_response"])
    return {
        "cores": os.cpu_count(), "load_before": round(load_before, 2), "ours": ours, "peer": peer,
        "ratio_cpu_per_response": round(ratio, 2), "scada_to_site": whole,
        "goals": {"sites_at_2_s_on_one_core": 2000, "select_and_operate_p99_ms": 50, "curtail_all_s": 2, "change_p99_s": 5},
    }  # fmt: skip
