"""`bench ieee2030_5`: the utility server under load, and a named peer on the same tables in the same rounds.

The server is measured behind a proxy (HTTP on a unix socket, as envoy's published figures are behind TLS),
and with TLS of its own for the fleet. CPU per request comes from /proc: it holds on a shared machine, rates do not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

from derms.errors import LocalError

SCENARIOS: dict[str, list[str]] = {
    "DeviceCapability": ["dcap"], "EndDevice": ["edev"], "DERControlList": ["derc"], "POST readings": ["mup"],
    "cycle of four": ["dcap", "edev", "derc", "mup"], "aggregator's EndDeviceList of 50": ["list"],
}  # fmt: skip
GOALS_CPU_MS = {"DERControlList": 3.5, "cycle of four": 3.0, "POST readings": 2.5}
ENVOY_RECORDED_CPU_MS: dict[str, list[float]] = {
    "DeviceCapability": [8.9, 9.6], "EndDevice": [10.4, 10.6], "DERControlList": [74, 103], "POST readings": [13, 14],
    "cycle of four": [26, 39], "aggregator's EndDeviceList of 50": [58, 62],
}  # fmt: skip
"""Of envoy 1.5.0 (PostgreSQL, one worker) with 1,000 and 10,000 sites: application and database."""
ENVOY_ORIGIN = "recorded once for envoy 1.5.0 on another machine with the same load; not measured in this run"
CERTIFICATES, START_S, LARGE = 300, 120.0, 5_000
TICK = os.sysconf("SC_CLK_TCK")
Report = Callable[[str], object]


def bench(
    *, sites: Sequence[int], controls: int, seconds: float, rounds: int, connections: int, fleet: int, fleet_s: float,
    report: Report,
) -> dict[str, Any]:  # fmt: skip
    """Return the measurements for each number of sites; raises LocalError when a process does not come up."""
    found: dict[str, Any] = {
        "database": connection.vendor, "controls_per_site": controls, "connections": connections,
        "goals_cpu_ms": GOALS_CPU_MS,
        "peer": "plain Django with envoy-schema (telemetry.benchmarks.utility_peer): no TLS, roles, event states or audit",
        "envoy": {"origin": ENVOY_ORIGIN, "cpu_ms_at_1000_and_10000_sites": ENVOY_RECORDED_CPU_MS}, "sites": {},
    }  # fmt: skip
    for number, count in enumerate(sites):
        wanted = max(CERTIFICATES, fleet if number == 0 else 0)
        with tempfile.TemporaryDirectory() as folder, database(Path(folder)) as env:
            begun = time.monotonic()
            made = prepare(Path(folder), env, sites=max(count, wanted), controls=controls, certificates=wanted)
            report(f"{count} sites ready after {time.monotonic() - begun:.0f} s")
            held = compare(Path(folder), env, made, seconds=seconds, rounds=rounds, connections=connections, report=report)
            found["sites"][str(count)] = beside_envoy(held, count)
            if fleet and number == 0:
                found["fleet"] = over_tls(Path(folder), env, made["clients"][:fleet], fleet_s)
    return found


def beside_envoy(held: dict[str, Any], sites: int) -> dict[str, Any]:
    """Add to each scenario what is on record for envoy at the nearer size, and the ratio of CPU to ours."""
    for name, recorded in ENVOY_RECORDED_CPU_MS.items():
        if name in held:
            ours = held[name]["ours"]["cpu_ms"] + held[name]["ours"]["database_cpu_ms"]
            theirs = recorded[sites >= LARGE]
            held[name]["envoy_recorded_elsewhere"] = {"cpu_ms": theirs, "ratio": round(theirs / ours, 1) if ours else None}
    return held


@contextmanager
def database(folder: Path) -> Iterator[dict[str, str]]:
    """Make an empty database beside the configured one and remove it afterwards; yield the environment that uses it."""
    env = {
        **os.environ,
        "HEADROOM_STATE_DIR": str(folder / "state"),
        "UTILITY_PEN": "12345",
        "HEADROOM_LOG_LEVEL": "WARNING",
    }
    (folder / "state").mkdir()
    if connection.vendor != "postgresql":
        env["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
        yield env
        return
    name = f"headroom_bench_{os.getpid()}"
    place = urlsplit(os.environ["DATABASE_URL"])
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    try:
        yield {**env, "DATABASE_URL": urlunsplit(place._replace(path=f"/{name}"))}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def prepare(folder: Path, env: dict[str, str], **facts: int) -> dict[str, Any]:
    """Migrate and seed in a process of its own; return the clients."""
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=settings.BASE_DIR, env=env, check=True)
    options = {"out": str(folder / "made.json"), "folder": str(folder / "pki"), **facts}
    code = f"from telemetry.benchmarks.utility_seed import main; main({options!r})"
    subprocess.run([*manage, "shell", "--verbosity", "0", "-c", code], cwd=settings.BASE_DIR, env=env, check=True)
    made: dict[str, Any] = json.loads((folder / "made.json").read_text())
    for row in [*made["clients"], made["aggregator"]]:
        pem = (folder / "pki" / f"{row['name']}-chain.pem").read_text()
        leaf = pem[: pem.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
        row["header"] = f"X-Forwarded-Client-Cert: {quote(leaf)}\r\n"
    return made


def compare(
    folder: Path,
    env: dict[str, str],
    made: dict[str, Any],
    *,
    seconds: float,
    rounds: int,
    connections: int,
    report: Report,
) -> dict[str, Any]:
    """Measure ours and the peer in turn, round by round; return medians and ratios."""
    ours, peer = folder / "ours.sock", folder / "peer.sock"
    commands = {
        "ours": [sys.executable, "manage.py", "utility_server", "--socket", str(ours)],
        "peer": [sys.executable, "-m", "telemetry.benchmarks.utility_peer", str(peer)],
    }
    with running(commands["ours"], env, ours) as one, running(commands["peer"], env, peer) as other:
        rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for turn in range(rounds + 1):
            for name, steps in SCENARIOS.items():
                for who, process, place in (("ours", one, ours), ("peer", other, peer)):
                    if who == "peer" and steps == ["list"]:
                        continue
                    clients = [made["aggregator"]] if steps == ["list"] else made["clients"][:CERTIFICATES]
                    if who == "peer":
                        clients = [row | {"header": f"lfdi: {row['lfdi']}\r\n"} for row in clients]
                    plan = {"kind": "closed", "socket": str(place), "clients": clients, "steps": steps,
                            "seconds": seconds if turn else min(1.0, seconds), "connections": connections}  # fmt: skip
                    answer = measured(folder, plan, process.pid, env)
                    if turn:  # the first round only warms up
                        rows.setdefault(name, {}).setdefault(who, []).append(answer)
            report(f"round {turn} of {rounds}")
    return {name: _medians(held) for name, held in rows.items()}


def _medians(held: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for who, answers in held.items():
        middle = sorted(answers, key=lambda item: item["cpu_ms"])[len(answers) // 2]
        found[who] = middle | {"errors": sum(item["errors"] for item in answers)}
    if "peer" in found:
        ours, peer = found["ours"], found["peer"]
        found["cpu_ratio"] = round(
            (peer["cpu_ms"] + peer["database_cpu_ms"]) / (ours["cpu_ms"] + ours["database_cpu_ms"]), 1
        )
        found["rate_ratio"] = round(peer["requests_per_s"] and ours["requests_per_s"] / peer["requests_per_s"], 1)
    return found


def measured(folder: Path, plan: dict[str, Any], pid: int, env: dict[str, str]) -> dict[str, Any]:
    """Run a plan in a load process; return its summary with the CPU that the server and its database spent a request."""
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    before, base = cpu_s([pid]), cpu_s(backends(env))
    done = subprocess.run(
        [sys.executable, "-m", "telemetry.benchmarks.load_client", str(path)], cwd=settings.BASE_DIR, env=env,
        capture_output=True, text=True, check=False, timeout=plan["seconds"] + 600,
    )  # fmt: skip
    if done.returncode:
        raise LocalError(f"the load client failed: {done.stderr[-2000:]}", where=",".join(plan.get("steps", ["fleet"])))
    found: dict[str, Any] = json.loads(done.stdout)
    count = found.get("requests") or 1
    found["cpu_ms"] = round(1000 * (cpu_s([pid]) - before) / count, 2)
    found["database_cpu_ms"] = round(1000 * (cpu_s(backends(env)) - base) / count, 2)
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """Return the CPU seconds of processes with all their threads; what has gone counts 0."""
    total = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def backends(env: dict[str, str]) -> list[int]:
    """Return the processes of the database that serve the measured one, where it runs on this machine."""
    if connection.vendor != "postgresql":
        return []
    name = urlsplit(env["DATABASE_URL"]).path.lstrip("/")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY pid", [name])
        return [row[0] for row in cursor.fetchall()]


@contextmanager
def running(command: list[str], env: dict[str, str], socket: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; raises LocalError when its socket does not appear."""
    process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=env)
    try:
        deadline = time.monotonic() + START_S
        while socket is not None and not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LocalError("a server did not come up", where=" ".join(command[1:4]))
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def over_tls(folder: Path, env: dict[str, str], clients: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Measure a fleet over mutual TLS: a poll (three GETs) every 60 s, a post every 5 min, then a mass reconnect."""
    from socket import create_server

    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = folder / "pki"
    command = [sys.executable, "manage.py", "utility_server", "--port", str(port), "--cert", str(keys / "server-chain.pem"),
               "--key", str(keys / "server.key"), "--ca", str(keys / "ca-bundle.pem")]  # fmt: skip
    with running(command, env) as process:
        time.sleep(8.0)
        plan = {"kind": "fleet", "port": port, "pki": str(keys), "clients": clients, "seconds": seconds, "poll_s": 60.0,
                "post_s": 300.0}  # fmt: skip
        before = cpu_s([process.pid])
        found = measured(folder, plan, process.pid, env)
        found["server_cpu_s"] = round(cpu_s([process.pid]) - before, 1)
        found.pop("cpu_ms"), found.pop("database_cpu_ms")
        found["goals"] = {"p99_ms": 1000, "mass_reconnect_s": 60}
        return found
