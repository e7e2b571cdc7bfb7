"""The second master: py1815 behind the same JSON lines as `master_process`, selectable (HEADROOM_DNP3_STACK=py1815).

Run as `python -m telemetry.protocols.dnp3.py1815_process`. Pure Python: about four times the processor time of yadnp3 a
response, no native crash class, runs where yadnp3 has no wheel. Its defaults keep long traces and poll again at each event
bit; both are turned down here, or two hundred sites would fill a core.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from py1815.application import FunctionCode
from py1815.decode import PointType
from py1815.master import Exchange, NotConnected, Outstation, Store, Tasks
from py1815.master import controls as wire
from py1815.master.trace import Trace

from telemetry.protocols.dnp3 import points as p

TASKS = Tasks(events_when_indicated=False, integrity_on_overflow=False, write_time=False, event_follow_ups=0)
RECONNECT_S = 1.0
MOST_WAITING = 8
NAMES = {"AO": "analog", "BO": "binary"}


@dataclass
class _Site:
    station: Outstation
    poll: bytes
    session: int = 0
    ready: bool = False
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    requests: int = 0
    connecting: asyncio.Task[None] | None = None
    identity: dict[int, tuple[float, int]] = field(default_factory=dict)


class Process:
    """All associations on one loop."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until standard input ends."""
        source = asyncio.StreamReader(limit=2**20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin)
        while line := await source.readline():
            task = asyncio.create_task(self._handle(json.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        for site in self._sites.values():
            await _end(site)

    async def _handle(self, request: dict[str, Any]) -> None:
        name = request["site"]
        if request["do"] == "add":
            self._add(request)
            _say(request, {"ok": True})
            return
        site = self._sites.get(name)
        if site is None:
            _say(request, {"ok": False, "why": "unknown site"})
        elif request["do"] == "remove":
            del self._sites[name]
            await _end(site)
            _say(request, {"ok": True})
        elif site.waiting >= MOST_WAITING:
            _say(request, {"ok": False, "why": "busy"})
        else:
            site.waiting += 1
            try:
                async with site.turn:
                    answer = await getattr(self, "_" + request["do"])(site, request)
            except (NotConnected, ConnectionError, OSError) as error:
                answer = {"ok": False, "why": f"FAILURE_NO_COMMS {error}"}
            finally:
                site.waiting -= 1
            _say(request, answer | {"requests": site.requests, "session": site.session})

    def _add(self, request: dict[str, Any]) -> None:
        seconds = request["timeout_ms"] / 1000
        station = Outstation(
            request["site"], host=request["host"], port=int(request["port"]), outstation_address=p.OUTSTATION_ADDRESS,
            master_address=p.MASTER_ADDRESS, response_timeout=seconds, connect_timeout=seconds, tasks=TASKS,
            reconnect=RECONNECT_S,
        )  # fmt: skip
        station.store, station.trace = Store(event_capacity=10), Trace(capacity=4)
        site = self._sites[request["site"]] = _Site(station, _headers(request["poll"]))

        def changed(up: bool) -> None:
            site.ready = False
            site.session += up

        station.on_connection = changed
        site.connecting = asyncio.create_task(self._connect(site))

    async def _connect(self, site: _Site) -> None:
        while True:
            with contextlib.suppress(OSError):
                await site.station.connect()
                return
            await asyncio.sleep(RECONNECT_S)

    async def _settled(self, site: _Site) -> bool:
        """After each connection an integrity poll comes first: whoever answers may be another device."""
        if site.ready:
            return True
        if not site.station.connected:
            return False
        exchange = await site.station.integrity_poll()
        site.requests += 1
        if exchange.complete:
            analogs, _ = _values(exchange)
            site.identity = {index: analogs[index] for index in p.IDENTITY if index in analogs}
            site.ready = True
        return site.ready

    async def _read(self, site: _Site, request: dict[str, Any]) -> dict[str, Any]:
        if not await self._settled(site):
            return {"ok": False, "why": "FAILURE_NO_COMMS"}
        site.requests += 1
        exchange = await site.station.request(FunctionCode.READ, site.poll)
        analogs, binaries = _values(exchange)
        return {"ok": exchange.complete, "why": exchange.outcome.value, "analogs": analogs, "binaries": binaries,
                "identity": site.identity}  # fmt: skip

    async def _operate(self, site: _Site, request: dict[str, Any]) -> dict[str, Any]:
        """Select and operate one after another; the first that is not taken stops the rest."""
        for kind, index, value in request["points"]:
            site.requests += 2
            if kind == "AO":
                done = await site.station.operate(analog_outputs={index: value}, mode="select", variation=1)
            else:
                done = await site.station.operate(binary_outputs={index: bool(value)}, mode="select")
            if done.accepted:
                continue
            status = done.statuses[0].status if done.statuses else None
            refused = done.accepted is False and done.exchanges[-1].complete
            why = f"{kind}{index}: {'SUCCESS' if refused else 'no answer'} {status.name if status is not None else None}"
            return {"ok": False, "why": why, "refused": refused}
        return {"ok": True, "why": ""}

    async def _select(self, site: _Site, request: dict[str, Any]) -> dict[str, Any]:
        """Select and never operate: asks what a device would take, and moves nothing."""
        found = {}
        for kind, index, value in request["points"]:
            command = wire.analog(index, value, 1) if kind == "AO" else wire.binary(index, bool(value))
            site.requests += 1
            exchange = await site.station.request(FunctionCode.SELECT, wire.encode([command]))
            status = wire.read_statuses([command], exchange)[0].status
            found[f"{kind}{index}"] = status.name if status is not None else None
        return {"ok": True, "why": "", "statuses": found}


async def _end(site: _Site) -> None:
    if site.connecting is not None:
        site.connecting.cancel()
    await site.station.close()


def _values(exchange: Exchange) -> tuple[dict[int, tuple[float, int]], dict[int, tuple[float, int]]]:
    analogs: dict[int, tuple[float, int]] = {}
    binaries: dict[int, tuple[float, int]] = {}
    for item in exchange.objects:
        if item.index is None or item.event:
            continue
        if item.point is PointType.ANALOG_INPUT:
            analogs[item.index] = (float(item.value or 0), int(item.flags or 0))
        elif item.point is PointType.BINARY_INPUT:
            binaries[item.index] = (float(bool(item.value)), int(item.flags or 0))
    return analogs, binaries


def _headers(poll: list[list[int]]) -> bytes:
    """Return the read's object headers: 16-bit start and stop."""
    body = b""
    for group, variation, first, last in poll:
        body += bytes([group, variation, 0x01]) + first.to_bytes(2, "little") + last.to_bytes(2, "little")
    return body


def _say(request: dict[str, Any], answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"id": request["id"], **answer}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Process().run())
