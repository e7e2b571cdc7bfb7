"""SunSpec in virtual time: the product's client and device, and between them TCP as far as it matters to a limit.

One request at a time, in order, never twice. What sits in a buffer when the link is cut comes out later, unless the
connection was closed with a reset: the simulation believes that only where `SunSpecSite` has asked its socket for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pymodbus.exceptions import ModbusException

from telemetry.protocols.site_device import Measurements
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.protocols.sunspec.codec import BASE, END, MARKER, words
from telemetry.protocols.sunspec.device import SunSpecSiteServer
from tests.simulation.feeder import FAILSAFE
from tests.simulation.network import Silent
from tests.simulation.sites import NAN, SimulatedSite

if TYPE_CHECKING:
    from tests.simulation.processes import EngineProcess

REFRESH_S = 0.5
MOST_SHOWN_W = 30e6  # a 16-bit register with the device's scale factor ends there


class SunSpecSimulatedSite(SimulatedSite):
    """A simulated site behind the product's SunSpec device; its server never listens: its registers are asked in memory."""

    def __init__(self, *facts: Any) -> None:
        super().__init__(*facts)
        self._refreshed = -1.0
        self.modbus = self._device()

    def _device(self) -> SunSpecSiteServer:
        return SunSpecSiteServer(self, "127.0.0.1", 0)

    def power_cycle(self, now: float, seconds: float) -> None:
        """Lose power for a while: registers and lease are lost."""
        super().power_cycle(now, seconds)
        self.modbus = self._device()

    def measurements(self) -> Measurements:
        """Return what its meter says, within what its registers can say."""
        shown = super().measurements()
        return replace(shown, power_w=max(-MOST_SHOWN_W, min(MOST_SHOWN_W, shown.power_w)))

    def registers(self, now: float, address: int, count: int) -> list[int] | None:
        """Return registers as they are now; None while it has no power; [] for what it does not have."""
        if now < self.off_until:
            return None
        server = self.modbus
        if address == BASE:
            return list(MARKER)[:count]
        number = max((number for number, start in server._addresses.items() if start <= address), default=0, key=lambda
                     number: server._addresses[number])  # fmt: skip
        first = address - server._addresses[number]
        if now - self._refreshed > REFRESH_S:
            self._refreshed = now
            server.refresh()
            if self.meter == NAN:
                server._models[701].W.value = None
        found = words((server._shown if number == 704 else server._models[number]).get_mb())
        if first >= len(found):
            return [END, 0] if first == len(found) and number == max(server._addresses) else []
        return found[first : first + count]

    def written(self, now: float, address: int, values: list[int], engine: str, sent: Any) -> bool | None:
        """Take a write of the grant `sent`; False is a refusal."""
        if now < self.off_until:
            return None
        floor = self.lease.order_floor
        taken = self.modbus._written(address, values) is None
        if self.lease.order_floor != floor:
            self.leased(now, engine, sent)
        return taken

    def leased(self, now: float, engine: str, sent: Any) -> None:
        """Hook: a lease began or was renewed by a write of an engine's (the checker listens here)."""


@dataclass
class _Connection:
    open: bool = True
    resets: bool = False
    """Closing it drops what was not delivered."""


class Line:
    """What `SunSpecSite` uses of pymodbus's client, through the simulated network."""

    def __init__(self, process: EngineProcess, site: SunSpecSimulatedSite) -> None:
        self._owner, self._far = process, site
        self._connection: _Connection | None = None

    @property
    def connected(self) -> bool:
        """Say whether there is a connection, as far as this end knows."""
        return self._connection is not None

    @property
    def ctx(self) -> Any:
        """Return the transport as pymodbus keeps it: itself, for its socket's options."""
        return SimpleNamespace(transport=self)

    def get_extra_info(self, _: str) -> Line:
        """Return the socket."""
        return self

    def setsockopt(self, _: int, option: int, value: Any) -> None:
        """Note that closing means a reset."""
        if option == socket.SO_LINGER and self._connection is not None:
            self._connection.resets = True

    async def connect(self) -> bool:
        """Shake hands."""
        now = asyncio.get_running_loop().time
        try:
            await self._carry(_Connection(), lambda: True if now() >= self._far.off_until else None)
        except ModbusException:
            return False
        self._connection = _Connection()
        return True

    def close(self) -> None:
        """Close: what waits is delivered later, or not, as the socket was told."""
        if self._connection is not None:
            self._connection.open = False
        self._connection = None

    async def read_holding_registers(self, address: int, *, count: int, device_id: int) -> Any:
        """Read."""
        now, connection = asyncio.get_running_loop().time, self._connection
        assert connection is not None
        found = await self._carry(connection, lambda: self._far.registers(now(), address, count))
        return SimpleNamespace(isError=lambda: len(found) != count, registers=found)

    async def write_registers(self, address: int, values: list[int], *, device_id: int) -> Any:
        """Write."""
        now, connection, engine = asyncio.get_running_loop().time, self._connection, self._owner.name
        assert connection is not None
        sent = self._owner.world.leases.newest(self._far.site, engine)
        self._half_way()
        taken = await self._carry(connection, lambda: self._far.written(now(), address, values, engine, sent))
        return SimpleNamespace(isError=lambda: not taken, registers=[])

    def _half_way(self) -> None:
        owner = self._owner
        if owner.at_write is None:
            return
        owner.writes -= 1
        if owner.writes < 0:
            fault, owner.at_write = owner.at_write, None
            fault()

    async def _carry(self, connection: _Connection, question: Callable[[], Any]) -> Any:
        """Carry one request: between the client's last look at its clock and the wire nothing stops the process."""
        arrived = False

        def at_the_site() -> Any:
            nonlocal arrived
            if arrived or (not connection.open and connection.resets):
                return None
            arrived = True
            return question()

        try:
            return await self._owner.through(
                self._owner.world.network.exchange(self._owner.name, self._far.site, at_the_site)
            )
        except Silent as error:
            raise ModbusException("no answer") from error


def sunspec_port(process: EngineProcess, site: SunSpecSimulatedSite) -> SunSpecSite:
    """Return the product's SunSpec port to one site."""
    port = SunSpecSite(site.site, "127.0.0.1", 1, FAILSAFE, process.clock)
    port._client.close()
    port._client = Line(process, site)  # type: ignore[assignment]
    return port
