"""The control room's end of SunSpec Modbus: scan once, poll groups, parameters before enables, read back."""

from __future__ import annotations

import socket
import struct

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from derms.clock import Clock
from derms.errors import OutcomeUnknown, Refused, RemoteError
from derms.limits import Limit
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Reading
from telemetry.protocols.sunspec import codec

MOST_REGISTERS = 120
MOST_MODELS = 64
BEGUN_S = 3.0
"""How long the writes of one grant may take: this wire carries no epoch, so a process that was stopped half-way through
and goes on under another's leadership must not finish."""
RECONNECT_S = (0.0, 1.0, 2.0, 5.0, 15.0)
"""How long a silent device is left alone before the next connection: it must not cost each cycle a time-out."""


class SunSpecSite:
    """One site over SunSpec Modbus/TCP (a `SitePort`)."""

    protocol = "sunspec"

    def __init__(
        self, site: str, host: str, port: int, failsafe: Limit, clock: Clock, *, device_id: int = 1, timeout_s: float = 2.0
    ) -> None:
        self.site = site
        self._failsafe = failsafe
        self._clock = clock
        self._timeout_s = timeout_s
        self._device_id = device_id
        self._client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
        self._image: codec.Image | None = None
        self._requests = 0
        self._failures, self._not_before = 0, float("-inf")

    async def read(self) -> Reading:
        """Poll the device; raises RemoteError when it is silent."""
        image = await self._known()
        for model, first, count in codec.POLL:
            if model not in image.models:
                continue
            image.patch(model, first, await self._get(image.addresses[model] + first, count))
        return codec.reading(self.site, image, self._clock.monotonic())

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Write a grant and read back what the device obeys; raises OutcomeUnknown when it falls silent half-way."""
        began = self._clock.monotonic()
        image = await self._known()
        # The device counts from the write: a grant that waited here (a stopped process) must not get a full lease.
        left_s = int(grant.ttl_s - (self._clock.monotonic() - grant.issued))
        if left_s < 1:
            raise RemoteError("the grant is over before it could be written", where=self.site)
        writes = codec.grant_writes(image, grant.limit, self._failsafe, left_s)
        doubt = ""
        try:
            for first, values in writes.parameters + writes.enables:
                if self._clock.monotonic() - began > BEGUN_S:
                    raise OutcomeUnknown("stopped half-way: the rest is not written", where=self.site)
                await self._put(image.addresses[704] + first, values)
        except Refused as error:
            return Acknowledgement(grant, Outcome.REFUSED, None, str(error))
        except OutcomeUnknown as error:
            doubt = str(error)  # some of it may be in force: read back, never write again blindly
        try:
            reading = await self.read()
        except RemoteError as error:
            raise OutcomeUnknown(f"{doubt} {error}".strip(), where=self.site) from error
        in_force = reading.limit_in_force
        taken = in_force is not None and in_force.within(grant.limit) and (not doubt or reading.in_failsafe is False)
        otherwise = Outcome.UNKNOWN if doubt else Outcome.REFUSED
        return Acknowledgement(grant, Outcome.ACKNOWLEDGED if taken else otherwise, in_force, doubt)

    async def describe(self) -> dict[str, str]:
        """Return who the device says it is (model 1), its nameplate, and its volt-var state (705) where it has one."""
        image = await self._known()
        facts = {}
        if 1 in image.models:
            common = image.points(1)
            facts = {"maker": str(common.Mn.value), "model": str(common.Md.value), "serial": str(common.SN.value)}
        most = codec.ratings(image)
        facts |= {"import_w": str(most.import_w), "export_w": str(most.export_w)}
        if 705 in image.models:
            facts["volt_var"] = "enabled" if image.points(705).Ena.value else "not enabled"
        return facts

    def messages(self) -> int:
        """Return how many requests went to this site."""
        return self._requests

    async def close(self) -> None:
        """Close the connection."""
        self._client.close()

    async def _known(self) -> codec.Image:
        if not self._client.connected:
            await self._connect()
        if self._image is None:
            self._image = await self._scan()
        return self._image

    async def _connect(self) -> None:
        """Connect, unless the device was away so lately that it is left alone."""
        now = self._clock.monotonic()
        if now < self._not_before:
            raise RemoteError("no connection; the next attempt waits", where=self.site)
        if not await self._client.connect():
            self._not_before = now + RECONNECT_S[min(self._failures, len(RECONNECT_S) - 1)]
            self._failures += 1
            raise RemoteError("no connection", where=self.site)
        self._failures, self._not_before = 0, float("-inf")
        self._drop_what_waits()

    def _drop_what_waits(self) -> None:
        """Let a closed connection take its undelivered writes with it: the device counts a lease from their arrival.

        Closed as usual, TCP goes on delivering for minutes, and a write from before a cut would start a full lease after.
        """
        transport = self._client.ctx.transport
        line = transport.get_extra_info("socket") if transport is not None else None
        if line is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * self._timeout_s))

    async def _scan(self) -> codec.Image:
        """Walk the model chain once; addresses do not move while a device runs."""
        image, address = codec.Image(), await self._base() + 2
        for _ in range(MOST_MODELS):
            model, length = await self._get(address, 2)
            if model == codec.END:
                break
            if model in codec.MODELS:
                registers: list[int] = []
                while len(registers) < length + 2:
                    count = min(MOST_REGISTERS, length + 2 - len(registers))
                    registers += await self._get(address + len(registers), count)
                image.addresses[model], image.models[model] = address, bytearray(codec.octets(registers))
            address += length + 2
        missing = [str(model) for model in codec.NEEDED if model not in image.models]
        if missing:
            raise Refused(f"the device has no model {', '.join(missing)}", where=self.site)
        return image

    async def _base(self) -> int:
        """Return the register after which the marker stands."""
        for base in codec.BASES:
            try:
                if tuple(await self._get(base, 2)) == codec.MARKER:
                    return base
            except Refused:
                continue
        raise Refused("no SunSpec marker at 40000, 0 or 50000", where=self.site, remedy="Is this a SunSpec device?")

    async def _get(self, address: int, count: int) -> list[int]:
        self._requests += 1
        try:
            answer = await self._client.read_holding_registers(address, count=count, device_id=self._device_id)
        except (ModbusException, OSError, TimeoutError) as error:
            self._drop()
            raise RemoteError("no answer", where=self.site) from error
        if answer.isError() or len(answer.registers) != count:
            raise Refused(f"register {address} is refused", where=self.site)
        return list(answer.registers)

    async def _put(self, address: int, values: list[int]) -> None:
        self._requests += 1
        try:
            answer = await self._client.write_registers(address, values, device_id=self._device_id)
        except (ModbusException, OSError, TimeoutError) as error:
            self._drop()
            raise OutcomeUnknown("no answer to a write", where=self.site) from error
        if answer.isError():
            raise Refused(f"writing register {address} is refused", where=self.site)

    def _drop(self) -> None:
        """Forget the connection and the scan: whoever answers next may be another device."""
        self._client.close()
        self._image = None
