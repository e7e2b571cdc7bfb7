"""A load client for HTTP/1.1 with kept connections, over a unix socket or mutual TLS, in a process of its own.

`python -m telemetry.benchmarks.load_client PLAN.json` prints JSON. It knows nothing of the server but its address. Plans:

- closed: `connections` workers ask one after the other for `seconds`; identities go round.
- fleet: every client has its own certificate and connection, polls each `poll_s`, posts each `post_s`; at the end all
  connections are cut and come back at once.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time
from pathlib import Path
from typing import Any

SUITE = "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
TIMEOUT_S = 60.0


class Link:
    """One kept connection."""

    def __init__(self, where: dict[str, Any], tls: ssl.SSLContext | None = None) -> None:
        self._where, self._tls = where, tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, header: str = "", body: str = "") -> tuple[int, float]:
        """Return (status, seconds); opens the connection where there is none."""
        begun = time.perf_counter()
        async with asyncio.timeout(TIMEOUT_S):
            if self._streams is None:
                self._streams = await self._open()
            reader, writer = self._streams
            more = f"Content-Type: application/sep+xml\r\nContent-Length: {len(body)}\r\n" if body else ""
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{header}{more}\r\n{body}".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
            await reader.readexactly(int(length))
        return int(head[9:12]), time.perf_counter() - begun

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if "socket" in self._where:
            return await asyncio.open_unix_connection(self._where["socket"], limit=1 << 20)
        return await asyncio.open_connection(
            "127.0.0.1", self._where["port"], ssl=self._tls, server_hostname="localhost", limit=1 << 20,
            ssl_handshake_timeout=TIMEOUT_S,
        )  # fmt: skip

    def cut(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def context(folder: Path, name: str) -> ssl.SSLContext:
    """Return a client's TLS context with its own certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(SUITE)
    made.load_verify_locations(folder / "serca.pem")
    made.load_cert_chain(folder / f"{name}-chain.pem", folder / f"{name}.key")
    return made


def readings(mrids: list[str], start: int, value: int) -> str:
    """Return a MirrorMeterReadingList with one reading for each stream."""
    items = "".join(
        f"<MirrorMeterReading><mRID>{mrid}</mRID><Reading><timePeriod><duration>60</duration><start>{start}</start>"
        f"</timePeriod><value>{value}</value></Reading></MirrorMeterReading>"
        for mrid in mrids
    )
    count = len(mrids)
    head = f'<MirrorMeterReadingList xmlns="urn:ieee:std:2030.5:ns" all="{count}" results="{count}">'
    return f"{head}{items}</MirrorMeterReadingList>"


def summary(took: list[float], bad: int, seconds: float) -> dict[str, Any]:
    """Return requests, errors, rate and quantiles in milliseconds."""
    took.sort()
    pick = (
        {name: round(1000 * took[min(len(took) - 1, int(len(took) * part))], 2) for name, part in QUANTILES} if took else {}
    )
    return {"requests": len(took), "errors": bad, "requests_per_s": round(len(took) / seconds, 1), **pick}


QUANTILES = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("max_ms", 1.0))


async def closed(plan: dict[str, Any]) -> dict[str, Any]:
    """Run a closed loop and return its summary."""
    took: list[float] = []
    bad, number = 0, 0
    rows, steps = plan["clients"], plan["steps"]
    base = int(time.time())
    end = time.perf_counter() + plan["seconds"]

    async def worker(index: int) -> None:
        nonlocal bad, number
        link = Link(plan)
        while time.perf_counter() < end:
            number += 1
            row = rows[number % len(rows)]
            for step in steps:
                body = readings(row["mrids"], base + 60 * number, number % 5000) if step == "mup" else ""
                status, spent = await link.ask("POST" if body else "GET", row[step], row["header"], body)
                took.append(spent)
                bad += status not in (200, 201)
        link.cut()

    begun = time.perf_counter()
    await asyncio.gather(*(worker(index) for index in range(plan["connections"])))
    return summary(took, bad, time.perf_counter() - begun)


async def fleet(plan: dict[str, Any]) -> dict[str, Any]:
    """Let every client poll and post on its own beat; then cut all and time their return."""
    folder, rows = Path(plan["pki"]), plan["clients"]
    links = [Link(plan, context(folder, row["name"])) for row in rows]
    chance = random.Random(1)  # noqa: S311  (when a client polls)
    polls: list[float] = []
    posts: list[float] = []
    failures = [0]
    base = int(time.time())

    async def one(link: Link, row: dict[str, Any], path: str, into: list[float], body: str = "") -> None:
        try:
            status, spent = await link.ask("POST" if body else "GET", row[path], "", body)
            failures[0] += status not in (200, 201)
            into.append(spent)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            failures[0] += 1
            link.cut()

    async def connect(into: list[float]) -> float:
        begun = time.perf_counter()
        await asyncio.gather(*(one(link, row, "dcap", into) for link, row in zip(links, rows, strict=True)))
        return time.perf_counter() - begun

    connecting: list[float] = []
    first = await connect(connecting)
    first_failures, failures[0] = failures[0], 0
    end = time.perf_counter() + plan["seconds"]

    async def live(link: Link, row: dict[str, Any]) -> None:
        due = time.perf_counter() + chance.random() * plan["poll_s"]
        post = time.perf_counter() + chance.random() * plan["post_s"]
        number = 0
        while due < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await one(link, row, "dcap", polls)
            await one(link, row, "edev", polls)
            await one(link, row, "derc", polls)
            if time.perf_counter() >= post:
                number += 1
                await one(link, row, "mup", posts, readings(row["mrids"], base + 300 * number, number))
                post += plan["post_s"]
            due += plan["poll_s"]

    await asyncio.gather(*(live(link, row) for link, row in zip(links, rows, strict=True)))
    steady, failures[0] = failures[0], 0
    for link in links:
        link.cut()
    again: list[float] = []
    back = await connect(again)
    return {
        "clients": len(links), "first_connect_s": round(first, 1), "first_connect_failures": first_failures,
        "polls": summary(polls, steady, plan["seconds"]), "posts": summary(posts, 0, plan["seconds"]),
        "mass_reconnect_s": round(back, 1), "mass_reconnect_failures": failures[0],
        "mass_reconnect_p99_ms": summary(again, 0, 1.0).get("p99_ms"),
    }  # fmt: skip


def main() -> None:
    """Run the plan in the file that is named."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(asyncio.run(fleet(plan) if plan["kind"] == "fleet" else closed(plan))))


if __name__ == "__main__":
    main()
