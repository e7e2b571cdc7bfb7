"""The control room's end of DNP3: talks to the master process, gives each site the `SitePort` of every wire."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from derms.clock import Clock
from derms.errors import LocalError, OutcomeUnknown, RemoteError
from derms.limits import Limit
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Reading
from telemetry.protocols.dnp3 import codec
from telemetry.protocols.dnp3 import points as p

PROJECT = Path(__file__).resolve().parents[3]
GRACE_S = 2.0


class Dnp3Master:
    """One master process with many associations. Start it inside a running event loop."""

    def __init__(self, *, timeout_s: float = 3.0) -> None:
        self.timeout_s = timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "telemetry.protocols.dnp3.master_process",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=PROJECT, limit=2**20,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._listen())

    @property
    def pid(self) -> int:
        """Return the process id of the master."""
        assert self._process is not None
        return self._process.pid

    async def site(self, name: str, host: str, port: int, clock: Clock) -> Dnp3Site:
        """Add an association and return its port."""
        await self.ask({"do": "add", "site": name, "host": host, "port": port, "timeout_ms": int(self.timeout_s * 1000)})
        return Dnp3Site(self, name, clock)

    async def ask(self, request: dict[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        """Send one request to the process and return its answer; OutcomeUnknown when none comes in time."""
        if self._process is None or self._process.stdin is None or self._process.returncode is not None:
            raise RemoteError("the DNP3 master process is not running", where="DNP3", remedy="It is being restarted.")
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._process.stdin.write((json.dumps({"id": number, **request}) + "\n").encode())
            return await asyncio.wait_for(future, timeout_s or self.timeout_s + GRACE_S)
        except TimeoutError as error:
            raise OutcomeUnknown("the DNP3 master gave no answer", where=str(request.get("site"))) from error
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the process: its input ends, it shuts its stack down once, or it is killed after a grace."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), GRACE_S * 3)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            future = self._waiting.get(answer["id"])
            if future is not None and not future.done():
                future.set_result(answer)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LocalError("the DNP3 master process ended", where="DNP3"))


class Dnp3Site:
    """One site over DNP3 (a `SitePort`)."""

    protocol = "dnp3"

    def __init__(self, master: Dnp3Master, site: str, clock: Clock) -> None:
        self.site = site
        self._master = master
        self._clock = clock
        self._requests = 0
        self._ratings: Limit | None = None
        self._last_outputs: dict[int, int] = {}

    async def read(self) -> Reading:
        """Poll the site's points; raises RemoteError when it is silent."""
        answer = await self._ask({"do": "read", "site": self.site})
        if not answer["ok"]:
            self._last_outputs = {}  # whoever answers next may be another incarnation: stage everything again
            raise RemoteError(f"no answer to the poll ({answer['why']})", where=self.site)
        analogs, binaries = _values(answer["analogs"]), _values(answer["binaries"])
        reading = codec.reading(self.site, analogs, binaries, self._clock.monotonic())
        self._ratings = codec.ratings(analogs)
        return reading

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Stage the grant's parameters, latch them, and read back what the site obeys."""
        if self._ratings is None:
            raise RemoteError("the site was not polled yet", where=self.site)
        outputs = codec.grant_outputs(grant, self._ratings)
        changed = {index: raw for index, raw in outputs.items() if self._last_outputs.get(index) != raw}
        controls = [["AO", index, raw] for index, raw in sorted(changed.items())] + [["BO", p.BO_LIMIT_ENABLE, 1]]
        self._last_outputs = {}
        patience = self._master.timeout_s * 2 * len(controls) + GRACE_S
        answer = await self._ask({"do": "operate", "site": self.site, "points": controls}, timeout_s=patience)
        if not answer["ok"]:
            outcome = Outcome.REFUSED if answer.get("refused") else Outcome.UNKNOWN
            return Acknowledgement(grant, outcome, None, answer["why"])
        self._last_outputs = outputs
        return await self._read_back(grant)

    def messages(self) -> int:
        """Return how many requests went to this site."""
        return self._requests

    async def close(self) -> None:
        """The association lives and ends with the master process."""

    async def _read_back(self, grant: Grant) -> Acknowledgement:
        """The acknowledgement is what the device says, not that the exchange worked."""
        try:
            reading = await self.read()
        except RemoteError as error:
            return Acknowledgement(grant, Outcome.UNKNOWN, None, str(error))
        taken = (reading.epoch, reading.sequence) == grant.order
        detail = "" if taken else f"in force: epoch {reading.epoch}, sequence {reading.sequence}"
        outcome = Outcome.ACKNOWLEDGED if taken else Outcome.REFUSED
        return Acknowledgement(grant, outcome, reading.limit_in_force, detail)

    async def _ask(self, request: dict[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        try:
            answer = await self._master.ask(request, timeout_s=timeout_s)
        except LocalError as error:
            raise OutcomeUnknown(str(error), where=self.site) from error
        self._requests = max(self._requests, int(answer.get("requests", 0)))
        return answer


def _values(raw: dict[str, list[float]]) -> dict[int, codec.Value]:
    return {int(index): codec.Value(value, int(flags)) for index, (value, flags) in raw.items()}
