"""A site's DNP3 outstation: the AN2018 points and, in our own dialect, the lease points, on py1815, over TCP.

Select-before-operate is mandatory (direct operate is switched off). Parameters are staged; only the latch of BO17 takes
them all into force, as one grant, or refuses them all; its latch off ends the lease: the failsafe, at once. Everything
unknown answers NOT_SUPPORTED. Other dialects are those of devices as they are sold: no lease points, perhaps no reversion,
AO87 and AO88 the other way round.
"""

from __future__ import annotations

from collections.abc import Callable

from py1815 import OutstationServer
from py1815.control import CommandStatus
from py1815.profile import Binding, DerOutstation
from py1815.profile.model import Kind, Point, PointMap

from derms.errors import InputError
from telemetry.control.site_lease import Verdict
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.codec import check_of, limit_from_raw, limit_mirror, stamp_from_raw, stamp_to_raw
from telemetry.protocols.dnp3.dialect import OURS, Dialect
from telemetry.protocols.site_device import Measurements, SiteDevice

DIRECT_OPERATE = frozenset({5, 6})
KINDS = {"AI": Kind.AI, "BI": Kind.BI}
MOST_RAW = 2**31 - 1
WITHOUT_END_S = 1e9  # a device without reversion holds its limit for ever: the reason why it is never lent more


class Dnp3SiteServer:
    """One site's outstation; create it with `serve_dnp3`."""

    def __init__(self, device: SiteDevice, host: str, port: int, dialect: Dialect = OURS) -> None:
        if host in ("", "0.0.0.0", "::"):  # noqa: S104  (refused, not bound)
            raise InputError("an outstation does not listen on every address", where="host", remedy="Name one address.")
        self._device, self._dialect = device, dialect
        self._staged: dict[int, int] = {}
        self._inputs, self._outputs = _served(dialect)
        self._order = device.lease.order_floor[1]
        self.last_verdict: Verdict | None = None
        self._outstation = DerOutstation(_point_map(self._inputs, self._outputs), self._binding(), strict=False)
        session = self._outstation.session(
            outstation_address=p.OUTSTATION_ADDRESS,
            master_address=p.MASTER_ADDRESS,
            unsolicited=False,
            need_time=False,
            select_timeout=p.SELECT_TIMEOUT_S,
            disabled_functions=DIRECT_OPERATE,
        )
        self._outstation.poll()  # without a first poll, changes made before it make no event
        self._server = OutstationServer(session, bind=f"{host}:{port}")

    @property
    def port(self) -> int:
        """Return the TCP port."""
        return int(self._server.port)

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    def refresh(self) -> None:
        """Take new measurements into the served points."""
        if self._outstation.poll():
            self._server.notify()

    async def close(self) -> None:
        """Stop listening."""
        await self._server.stop()

    def _binding(self) -> Binding:
        binding = Binding()
        for point in self._inputs:
            options = {"deadband": point.deadband} if point.kind == "AI" and point.deadband else {}
            binding.read(KINDS[point.kind], point.index, self._reader(point.index, point.kind), **options)
        for output in self._outputs:
            binding.output(
                Kind.AO, output.index, self._stage(output.index), initial=output.least, check=self._range(output)
            )
        binding.output(Kind.BO, p.BO_LIMIT_ENABLE, self._latch, initial=False, check=self._check_latch)
        return binding

    def _reader(self, index: int, kind: str) -> Callable[[], float | bool]:
        return lambda: self._value(index, kind)

    def _value(self, index: int, kind: str) -> float | bool:
        device, now = self._device, self._device.monotonic()
        lease = device.lease.lease(now)
        if kind == "BI":
            return lease is not None if index == p.BI_LIMIT_ENABLED else lease is None
        if index == p.AI_STAMP:
            return stamp_to_raw(now)
        if index in (p.AI_EPOCH_IN_FORCE, p.AI_SEQUENCE_IN_FORCE):
            if lease is None:
                return -1
            return lease.epoch if index == p.AI_EPOCH_IN_FORCE else lease.sequence
        mirrors = limit_mirror(device.limit_in_force(), device.nameplate)
        measured = device.measurements()
        return {
            p.AI_EDITION: self._dialect.edition,
            p.AI_GENERATION_RATING_W: device.nameplate.export_w,
            p.AI_CHARGE_RATING_W: -device.nameplate.import_w,
            p.AI_USABLE_WH: _usable_wh(measured),
            p.AI_AVAILABLE_GENERATION_W: int(measured.available_export_w),
            p.AI_AVAILABLE_CHARGE_W: -int(measured.available_import_w),
            p.AI_STATE_OF_CHARGE: int(measured.state_of_charge_percent * 10),
            self._dialect.import_mirror: mirrors[0],
            self._dialect.export_mirror: mirrors[1],
            p.AI_POWER_W: -round(measured.power_w),
            p.AI_REACTIVE_VAR: -round(measured.reactive_var),
            p.AI_VOLTAGE: round(measured.voltage_pu * 10_000),
        }[index]

    def _range(self, output: p.OutputPoint) -> Callable[[float], CommandStatus | None]:
        def check(value: float) -> CommandStatus | None:
            return None if output.least <= value <= output.most else CommandStatus.OUT_OF_RANGE

        return check

    def _stage(self, index: int) -> Callable[[float], None]:
        def apply(value: float) -> None:
            self._staged[index] = int(value)

        return apply

    def _check_latch(self, value: float) -> CommandStatus | None:
        """Refuse at SELECT already what could not be taken: parameters missing, old, over, too high."""
        if not value:
            return None
        if set(self._staged) != {output.index for output in self._outputs}:
            return CommandStatus.AUTOMATION_INHIBIT
        if not self._dialect.leased:
            return None
        return None if self._staged[p.AO_CHECK] == check_of(self._staged) else CommandStatus.AUTOMATION_INHIBIT

    def _latch(self, value: float) -> None:
        now = self._device.monotonic()
        if not value:
            self._device.lease.revoke(now)
            self.refresh()
            return
        if self._check_latch(value) is not None:
            return
        staged, dialect = self._staged, self._dialect
        limit = limit_from_raw(staged[dialect.import_output], staged[dialect.export_output], self._device.nameplate)
        self._order += 1
        self.last_verdict = self._device.lease.offer(
            limit,
            epoch=staged.get(p.AO_EPOCH, 0),
            sequence=staged.get(p.AO_SEQUENCE, self._order),
            ttl_s=float(staged.get(p.AO_REVERSION_S, WITHOUT_END_S)),
            stamp=stamp_from_raw(staged[p.AO_STAMP], now) if dialect.leased else now,
            now=now,
        )
        self.refresh()


def _usable_wh(measured: Measurements) -> int:
    """Return what the batteries could hold, from what they hold; 0 when that says nothing."""
    share = measured.state_of_charge_percent / 100.0
    return min(MOST_RAW, int(measured.energy_wh / share)) if share > 0.001 else 0


def _served(dialect: Dialect) -> tuple[tuple[p.InputPoint, ...], tuple[p.OutputPoint, ...]]:
    """Return the inputs and outputs of a dialect."""
    polled = {(30, index) for group, _, first, last in dialect.poll for index in range(first, last + 1) if group == 30}
    inputs = tuple(item for item in p.INPUTS if dialect.leased or item.kind == "BI" or (30, item.index) in polled)
    if not dialect.leased:
        inputs = tuple(item for item in inputs if item.index < p.AI_STAMP)
    outputs = tuple(
        item for item in p.OUTPUTS
        if dialect.leased or (item.index < p.AO_STAMP and (dialect.reversion or item.index != p.AO_REVERSION_S))
    )  # fmt: skip
    return inputs, outputs


def _point_map(inputs: tuple[p.InputPoint, ...], outputs: tuple[p.OutputPoint, ...]) -> PointMap:
    found = {}
    for point in inputs:
        kind = KINDS[point.kind]
        multiplier = 1.0 if kind is Kind.AI else None
        found[(kind, point.index)] = Point(
            kind, point.index, point.name, event_class=point.event_class, multiplier=multiplier, units=point.units or None
        )
    for output in outputs:
        found[(Kind.AO, output.index)] = Point(
            Kind.AO, output.index, output.name, multiplier=1.0, minimum=output.least, maximum=output.most,
            units=output.units or None,
        )  # fmt: skip
    found[(Kind.BO, p.BO_LIMIT_ENABLE)] = Point(Kind.BO, p.BO_LIMIT_ENABLE, "Limit enable (takes the staged grant)")
    return PointMap(found)


async def serve_dnp3(
    device: SiteDevice, host: str = "127.0.0.1", port: int = 0, *, dialect: Dialect = OURS
) -> Dnp3SiteServer:
    """Start a site's outstation; port 0 picks a free one."""
    server = Dnp3SiteServer(device, host, port, dialect)
    await server.start()
    return server
