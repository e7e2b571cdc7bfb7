"""The control room's end of DNP3: talks to the master processes, gives each site the `SitePort` of every wire."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sys
import zlib
from pathlib import Path
from typing import Any

from derms.clock import Clock
from derms.errors import LocalError, OutcomeUnknown, RemoteError
from derms.limits import Limit
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Reading
from telemetry.protocols.dnp3 import codec
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.dialect import OURS, Dialect

LOG = logging.getLogger(__name__)
PROJECT = Path(__file__).resolve().parents[3]
GRACE_S = 2.0
ADD_S = 30.0  # thousands of associations open at once when a process starts
RESTART_S = (0.2, 1.0, 2.0, 5.0, 15.0)
LONG_LIFE_S = 60.0
STACKS = {
    "yadnp3": "telemetry.protocols.dnp3.master_process",
    "py1815": "telemetry.protocols.dnp3.py1815_process",
}


class Dnp3Master:
    """One master process with many associations. Start it inside a running event loop.

    `stack`: "yadnp3" or "py1815". A process that dies is started again, with all its associations.
    """

    def __init__(self, *, timeout_s: float = 3.0, stack: str = "yadnp3") -> None:
        if stack not in STACKS:
            raise LocalError(f"no DNP3 stack is named {stack!r}", where="stack", remedy="One of " + ", ".join(STACKS) + ".")
        self.timeout_s, self.stack = timeout_s, stack
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._known: dict[str, dict[str, Any]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Start the process, and keep it running."""
        await self._launch()
        self._keeper = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int:
        """Return the process id of the master."""
        assert self._process is not None
        return self._process.pid

    async def site(
        self, name: str, host: str, port: int, clock: Clock, *, failsafe: Limit | None = None, dialect: Dialect = OURS
    ) -> Dnp3Site:
        """Add an association and return its port. `failsafe`: lets a grant of it go out as one control, not as seven."""
        request = {"do": "add", "site": name, "host": host, "port": port, "timeout_ms": int(self.timeout_s * 1000),
                   "poll": dialect.poll}  # fmt: skip
        self._known[name] = request
        await self.ask(request, timeout_s=ADD_S)
        return Dnp3Site(self, name, clock, failsafe, dialect)

    async def remove(self, name: str) -> None:
        """Close a site's association: another control process may talk to it now, and DNP3 has one connection."""
        self._known.pop(name, None)
        try:
            await self.ask({"do": "remove", "site": name})
        except RemoteError:
            LOG.warning("%s: the association ended with its process", name)

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
        self._closing = True
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), GRACE_S * 3)
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._keeper is not None:
            await self._keeper

    async def _launch(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", STACKS[self.stack],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=PROJECT, limit=2**20,
        )  # fmt: skip

    async def _keep(self) -> None:
        """Listen to the process; when it has died, start it again and add what it knew."""
        loop, deaths = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            await self._listen()
            if self._closing:
                return
            deaths = 0 if loop.time() - began > LONG_LIFE_S else deaths + 1
            LOG.error("the DNP3 master process died; it is started again")
            await asyncio.sleep(RESTART_S[min(deaths, len(RESTART_S) - 1)])
            if self._closing:
                return
            await self._launch()
            assert self._process is not None
            assert self._process.stdin is not None
            for request in self._known.values():
                self._process.stdin.write((json.dumps({"id": next(self._ids), **request}) + "\n").encode())

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            future = self._waiting.get(answer["id"])
            if future is not None and not future.done():
                future.set_result(answer)
        await self._process.wait()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(OutcomeUnknown("the DNP3 master process ended", where="DNP3"))


class Dnp3Pool:
    """Several master processes; a site always goes to the same one, by its name."""

    def __init__(self, count: int, *, timeout_s: float = 3.0, stack: str = "yadnp3") -> None:
        self.masters = [Dnp3Master(timeout_s=timeout_s, stack=stack) for _ in range(max(1, count))]

    async def start(self) -> None:
        """Start every process."""
        for master in self.masters:
            await master.start()

    async def site(
        self, name: str, host: str, port: int, clock: Clock, *, failsafe: Limit | None = None, dialect: Dialect = OURS
    ) -> Dnp3Site:
        """Add an association to the process that the site's name points to."""
        master = self.masters[zlib.crc32(name.encode()) % len(self.masters)]
        return await master.site(name, host, port, clock, failsafe=failsafe, dialect=dialect)

    async def close(self) -> None:
        """End every process."""
        await asyncio.gather(*(master.close() for master in self.masters))


class Dnp3Site:
    """One site over DNP3 (a `SitePort`)."""

    protocol = "dnp3"

    def __init__(self, master: Dnp3Master, site: str, clock: Clock, failsafe: Limit | None, dialect: Dialect) -> None:
        self.site, self.dialect = site, dialect
        self._master, self._clock, self._failsafe = master, clock, failsafe
        self._requests = 0
        self._session: int | None = None
        self._ratings: Limit | None = None
        self._last_outputs: dict[int, int] = {}

    async def read(self) -> Reading:
        """Poll the site's points; raises RemoteError when it is silent, or when another device answers."""
        answer = await self._ask({"do": "read", "site": self.site})
        if not answer["ok"]:
            self._last_outputs = {}  # whoever answers next may be another incarnation: stage everything again
            raise RemoteError(f"no answer to the poll ({answer['why']})", where=self.site)
        if answer.get("session") != self._session:
            self._last_outputs, self._session = {}, answer.get("session")
        self._same_device(answer)
        analogs, binaries = _values(answer["analogs"]), _values(answer["binaries"])
        reading = codec.reading(self.site, analogs, binaries, self._clock.monotonic(), self.dialect)
        self._ratings = codec.ratings(analogs)
        return reading

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Stage the grant's parameters, latch them, and read back what the site obeys; unknown is never sent again."""
        if self._ratings is None:
            raise RemoteError("the site was not polled yet", where=self.site)
        if self.dialect.leased and grant.limit == self._failsafe:
            return await self._revoke(grant)
        if not self.dialect.proven:
            raise RemoteError(
                "nobody has proven which of AO87 and AO88 limits charging", where=self.site, remedy="Commission the site."
            )
        waited_s = self._clock.monotonic() - grant.issued
        outputs = codec.grant_outputs(grant, self._ratings, self.dialect, waited_s=waited_s)
        changed = {index: raw for index, raw in outputs.items() if self._last_outputs.get(index) != raw}
        if not self.dialect.leased:
            changed = outputs  # such a device may forget what it was told while its limit was off
        controls = [["AO", index, raw] for index, raw in sorted(changed.items())] + [["BO", p.BO_LIMIT_ENABLE, 1]]
        self._last_outputs = {}
        answer = await self._operate(controls)
        if answer["ok"]:
            self._last_outputs = outputs
        elif answer.get("refused"):
            return Acknowledgement(grant, Outcome.REFUSED, None, answer["why"])
        return await self._read_back(grant, "" if answer["ok"] else answer["why"])

    def messages(self) -> int:
        """Return how many requests went to this site."""
        return self._requests

    async def close(self) -> None:
        """Close the association."""
        await self._master.remove(self.site)

    async def _revoke(self, grant: Grant) -> Acknowledgement:
        """End the lease with one control: the site falls to its failsafe, and takes nothing made before this moment."""
        self._last_outputs = {}
        answer = await self._operate([["BO", p.BO_LIMIT_ENABLE, 0]])
        if not answer["ok"] and answer.get("refused"):
            return Acknowledgement(grant, Outcome.REFUSED, None, answer["why"])
        try:
            reading = await self.read()
        except RemoteError as error:
            return Acknowledgement(grant, Outcome.UNKNOWN, None, str(error))
        outcome = Outcome.ACKNOWLEDGED if reading.in_failsafe else Outcome.UNKNOWN
        return Acknowledgement(grant, outcome, reading.limit_in_force, answer["why"])

    async def _operate(self, controls: list[list[Any]]) -> dict[str, Any]:
        patience = self._master.timeout_s * 2 * len(controls) + GRACE_S
        return await self._ask({"do": "operate", "site": self.site, "points": controls}, timeout_s=patience)

    async def _read_back(self, grant: Grant, doubt: str) -> Acknowledgement:
        """The acknowledgement is what the device says, not that the exchange worked.

        `doubt`: why the outcome is unknown; then only a read-back that shows the grant settles it.
        """
        try:
            reading = await self.read()
        except RemoteError as error:
            return Acknowledgement(grant, Outcome.UNKNOWN, None, f"{doubt} {error}".strip())
        if self.dialect.leased:
            taken = (reading.epoch, reading.sequence) == grant.order
            detail = f"in force: epoch {reading.epoch}, sequence {reading.sequence}"
        else:
            shown = reading.limit_in_force
            taken = not reading.in_failsafe and shown is not None and shown.within(grant.limit)
            detail = f"in force: {shown}"
        if taken:
            return Acknowledgement(grant, Outcome.ACKNOWLEDGED, reading.limit_in_force)
        outcome = Outcome.UNKNOWN if doubt else Outcome.REFUSED
        return Acknowledgement(grant, outcome, reading.limit_in_force, f"{doubt} {detail}".strip())

    def _same_device(self, answer: dict[str, Any]) -> None:
        """Refuse a device of another edition than the one that was commissioned."""
        shown = answer.get("identity", {}).get(str(p.AI_EDITION))
        if shown is not None and self.dialect.edition and int(shown[0]) != self.dialect.edition:
            raise RemoteError(
                f"edition {shown[0] / 100:.2f} answers where {self.dialect.edition / 100:.2f} was commissioned",
                where=self.site, remedy="Commission the site anew.",
            )  # fmt: skip

    async def _ask(self, request: dict[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        answer = await self._master.ask(request, timeout_s=timeout_s)
        self._requests = int(answer.get("requests", self._requests))
        return answer


def _values(raw: dict[str, list[float]]) -> dict[int, codec.Value]:
    return {int(index): codec.Value(value, int(flags)) for index, (value, flags) in raw.items()}
