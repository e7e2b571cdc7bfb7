"""The outstation towards SCADA on py1815: one association a control centre, one store of values behind them all.

Select-before-operate is mandatory (direct operate is switched off), outputs are latches, a value out of range is refused
at SELECT, and OPERATE answers SUCCESS only when the order is stored. A control centre's clock is noted, not adopted: two
centres would pull one clock in two directions, and event times come from the measurements.

Traps of py1815 0.3: without a first `poll()`, earlier changes make no event; its `poll()` asks every bound point each
time (11 µs a point), so changes are pushed here instead; a float output is an engineering value, an integer a raw one.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass, replace
from typing import Any, Final

from py1815 import OutstationServer
from py1815.control import CommandStatus, ControlRelayOutputBlock, OperationType, TripCloseCode
from py1815.events import EventBuffers, EventClass
from py1815.objects import AnalogEventVariation
from py1815.profile import Binding, DerOutstation, Quality, Reading
from py1815.profile.model import Kind, Point, PointMap
from py1815.session import Control

from derms.errors import Conflict, HeadroomError, InputError, LocalError
from telemetry.protocols.dnp3 import scada_points as p
from telemetry.protocols.dnp3 import scada_profile
from telemetry.protocols.dnp3.scada_ports import Centre, OrderDesk
from telemetry.protocols.dnp3.scada_state import STALE_S, Address, House, Value, values

LOG = logging.getLogger(__name__)
KINDS: Final = {"AI": Kind.AI, "BI": Kind.BI, "AO": Kind.AO, "BO": Kind.BO}
DIRECT_OPERATE: Final = frozenset({5, 6})
EVENT_CAPACITY: Final = 10_000
ORDER_S: Final = 1.5
BURST, A_SECOND = 60.0, 20.0
WATTS: Final = 1000
TINY: Final = 1e-6
REFUSALS: Final = (
    CommandStatus.OUT_OF_RANGE, CommandStatus.NOT_AUTHORIZED, CommandStatus.BLOCKED_OTHER_MASTER,
    CommandStatus.AUTOMATION_INHIBIT, CommandStatus.HARDWARE_ERROR, CommandStatus.PROCESSING_LIMITED,
)  # fmt: skip


class _Outstation(DerOutstation):
    """The device side of one association: latches only, changes pushed."""

    def __init__(self, association: Association, point_map: PointMap, binding: Binding) -> None:
        super().__init__(point_map, binding, strict=False, disabled_offline=False)
        self._association = association
        # Every change with its time, not the newest only: the sequence is what a control centre keeps.
        self.events = EventBuffers(capacity=EVENT_CAPACITY)
        self.centre_clock_ms: int | None = None

    def select(self, controls: Sequence[Control]) -> Sequence[CommandStatus]:
        """Refuse what is no latch, then as usual."""
        pass_on = super().select
        return [self._one(control, pass_on) for control in controls]

    def operate(self, controls: Sequence[Control]) -> Sequence[CommandStatus]:
        """Execute one after another; the changes that follow are in the buffers when this returns."""
        pass_on = super().operate
        return [self._one(control, pass_on) for control in controls]

    def poll(self) -> int:
        """Push what changed since the last time; the first call only primes."""
        if not self._primed:
            return super().poll()
        return self._association.push()

    def set_time(self, timestamp_ms: int) -> None:
        """Note what a control centre takes for the time; ours stays the machine's own, disciplined clock."""
        self.centre_clock_ms = timestamp_ms

    def record(self, kind: Kind, index: int) -> bool:
        """Buffer an event for one point if its change calls for one."""
        reported = self.event_class(kind, index)
        if not reported:
            return False
        point, now = self._by_index[kind][index], self.now_ms()
        reading = self._reading(point)
        at, cls = self._event_time(reading, now), EventClass(reported)
        if kind is Kind.BI:
            return bool(self.events.record_binary(index, self._binary_of(reading), event_class=cls, timestamp_ms=at))
        analog, band = self._analog_of(point, reading), self.deadband(index)
        return bool(self.events.record_analog(index, analog, event_class=cls, deadband=band, timestamp_ms=at))

    @staticmethod
    def _one(control: Control, pass_on: Callable[[Sequence[Control]], Sequence[CommandStatus]]) -> CommandStatus:
        command = control.command
        if isinstance(command, ControlRelayOutputBlock):
            latch = command.operation in (OperationType.LATCH_ON, OperationType.LATCH_OFF) and command.count == 1
            plain = command.trip_close is TripCloseCode.NUL and not command.queued and not command.clear
            if not (latch and plain):
                return CommandStatus.NOT_SUPPORTED
        return pass_on([control])[0]


@dataclass
class _Tokens:
    """A bucket: so many commands at once, so many a second after."""

    left: float = BURST
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        self.left = min(BURST, self.left + (now - self.at) * A_SECOND)
        self.at = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class Association:
    """One control centre's view: the shared values, its own settings, events and socket."""

    def __init__(self, centre: Centre, scada: ScadaOutstation) -> None:
        self.centre, self._scada = centre, scada
        self._own: dict[Address, Value] = {}
        self._reactive_kvar: dict[str, float] = {}
        self._dirty: set[Address] = set()
        self._tokens = _Tokens()
        self._settle_own()
        self.outstation = _Outstation(self, _point_map(scada.points), self._binding())
        self.session = self.outstation.session(
            outstation_address=p.OUTSTATION_ADDRESS,
            master_address=centre.master,
            unsolicited=centre.unsolicited,
            need_time=False,
            select_timeout=p.SELECT_TIMEOUT_S,
            disabled_functions=DIRECT_OPERATE,
            analog_event_variation=AnalogEventVariation.INT32_WITH_TIME,
        )
        self.outstation.poll()
        self.server: OutstationServer | None = None

    async def start(self, tls: ssl.SSLContext | None) -> None:
        """Listen; raises InputError for an address that is neither loopback nor protected."""
        centre = self.centre
        if centre.allow and tls is None:
            raise InputError("an allow-list needs TLS", where=centre.name, remedy="Name certificate, key and authority.")
        if not centre.allow and not _loopback(centre.host) and not centre.plain_beyond_loopback:
            raise InputError(
                f"plain TCP on {centre.host} is refused", where=centre.name,
                remedy="Give an allow-list (TLS), listen on loopback, or set plain_beyond_loopback on an isolated network.",
            )  # fmt: skip
        self.server = OutstationServer(
            self.session,
            bind=f"[{centre.host}]:{centre.port}" if ":" in centre.host else f"{centre.host}:{centre.port}",
            ssl_context=tls if centre.allow else None,
            authorized_peers=centre.allow or None,
        )
        await self.server.start()

    def changed(self, addresses: set[Address]) -> None:
        """Note which shared values changed; `push` makes events of them."""
        self._dirty |= addresses

    def push(self) -> int:
        """Make events of what changed; return how many."""
        dirty, self._dirty = self._dirty, set()
        made = sum(self.outstation.record(KINDS[kind], index) for kind, index in sorted(dirty))
        if made and self.server is not None:
            self.server.notify()
        return made

    def _settle_own(self) -> None:
        for point in self._scada.points:
            if point.kind in ("AI", "BI") and point.key in ("duration", "heartbeat_echo", "authority"):
                usual = {"duration": p.USUAL_DURATION_S, "authority": float(self.centre.commands)}.get(point.key, 0.0)
                self._own[point.address] = Value(usual)

    def _value(self, address: Address) -> Value | None:
        return self._own.get(address) or self._scada.values.get(address)

    def _binding(self) -> Binding:
        binding = Binding()
        for point in self._scada.points:
            kind = KINDS[point.kind]
            if point.kind in ("AI", "BI"):
                options = {"deadband": float(point.deadband)} if point.kind == "AI" and point.deadband else {}
                binding.read(kind, point.index, self._reader(point.address), **options)
            else:
                mirror = point.mirror
                assert mirror is not None
                binding.output(
                    kind, point.index, self._apply(point), check=self._check(point), status=self._reader(mirror), initial=0
                )
        return binding

    def _reader(self, address: Address) -> Callable[[], Reading]:
        def read() -> Reading:
            value = self._value(address)
            if value is None:
                return Reading(0, Quality.NEVER_READ)
            return Reading(value.value, Quality.GOOD if value.good else Quality.COMM_LOST, value.at_ms)

        return read

    def _check(self, point: p.ScadaPoint) -> Callable[[float], CommandStatus | None]:
        def check(value: float) -> CommandStatus | None:
            if not self.centre.commands:
                return CommandStatus.NOT_AUTHORIZED
            if point.least is not None and point.most is not None and not point.least <= value <= point.most:
                return CommandStatus.OUT_OF_RANGE
            if point.kind == "BO" and not value and self._others(point):
                return CommandStatus.BLOCKED_OTHER_MASTER
            return None

        return check

    def _others(self, point: p.ScadaPoint) -> bool:
        """Say whether an order stands that this centre cannot end, because another gave it."""
        assert point.mirror is not None
        standing = self._value(point.mirror)
        active = standing is not None and bool(standing.value)
        return active and (self.centre.name, point.key, point.subject) not in self._scada.held

    def _apply(self, point: p.ScadaPoint) -> Callable[[float], CommandStatus]:
        def apply(value: float) -> CommandStatus:
            if not self._tokens.take(self._scada.monotonic()):
                LOG.warning("control centre %s commands too often", self.centre.name)
                return CommandStatus.PROCESSING_LIMITED
            status = self._setting(point, value)
            if status is None:  # SUCCESS is 0: never test a status for truth
                status = self._scada.order(lambda: self._give(point, value), self.centre.name)
            LOG.info("%s: %s = %g: %s", self.centre.name, point.name, value, status.name)
            return status

        return apply

    def _setting(self, point: p.ScadaPoint, value: float) -> CommandStatus | None:
        """Take what concerns only this association; None when the desk must be asked."""
        if point.key == "head_q":
            self._reactive_kvar[point.subject] = value
            return CommandStatus.SUCCESS
        if point.key not in ("duration", "heartbeat_echo"):
            return None
        assert point.mirror is not None
        self._own[point.mirror] = Value(value)
        self._dirty.add(point.mirror)
        return CommandStatus.SUCCESS

    def _give(self, point: p.ScadaPoint, value: float) -> None:
        desk, centre = self._scada.desk, self.centre.name
        if point.key == "curtail_all":
            desk.curtail_all(centre, bool(value))
        elif point.key == "failsafe":
            desk.failsafe(centre, point.subject, bool(value))
        elif point.key == "head_p":
            desk.measured(point.subject, value * WATTS, self._reactive_kvar.get(point.subject, 0.0) * WATTS)
        elif point.key in ("scada_import", "scada_export"):
            assert point.most is not None
            side = "import" if point.key == "scada_import" else "export"
            most_w = None if value >= point.most else int(round(value * WATTS, 3))
            desk.limit(centre, point.scope, point.subject, side, most_w, self._duration(point))
        else:
            raise LocalError(f"no order is behind {point.name}", where="SCADA")

    def _duration(self, point: p.ScadaPoint) -> float:
        assert point.mirror is not None
        place = self._scada.durations[(point.scope, point.subject)]
        return self._own[place].value


class ScadaOutstation:
    """All associations over one store. `executor`: runs orders, so that a database never runs inside the event loop."""

    def __init__(
        self, points: Sequence[p.ScadaPoint], centres: Sequence[Centre], desk: OrderDesk, executor: Executor,
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        masters = [centre.master for centre in centres]
        if len(set(masters)) != len(masters):
            raise InputError("two control centres have one master address", where="centres")
        self.points, self.desk, self.monotonic = tuple(points), desk, monotonic
        self.durations = {
            (item.scope, item.subject): item.address for item in points if item.key == "duration" and item.kind == "AI"
        }
        self.values: dict[Address, Value] = {}
        self.associations: list[Association] = []
        self._executor, self._shown = executor, -1
        self.show(desk.house())
        self.associations = [Association(centre, self) for centre in centres]

    def show(self, house: House) -> None:
        """Take a new picture: changed values are marked in every association, and pushed by `push`.

        One taken before the picture that is shown is dropped: an order's own picture may overtake the regular one.
        """
        if house.number < self._shown:
            return
        self._shown, self._shown_at, self.held = house.number, self.monotonic(), house.held
        self._take(values(self.points, house))

    def age(self, now: float) -> None:
        """Without a new picture for 30 s nothing is vouched for any more (`now`: monotonic seconds)."""
        if now - self._shown_at > STALE_S:
            self._take({address: replace(value, good=False) for address, value in self.values.items()})

    def _take(self, new: dict[Address, Value]) -> None:
        old, self.values = self.values, new
        changed = {address for address, value in new.items() if not _same(old.get(address), value)}
        for association in self.associations:
            association.changed(changed)

    def push(self) -> int:
        """Make events in every association; return how many."""
        return sum(association.push() for association in self.associations)

    def order(self, give: Callable[[], None], centre: str) -> CommandStatus:
        """Have an order stored and the picture taken anew; answer when both are done, or say that it failed."""

        def work() -> House:
            give()
            return self.desk.house()

        task: Future[House] = self._executor.submit(work)
        try:
            self.show(task.result(timeout=ORDER_S))
        except NoAnswer:
            task.cancel()
            LOG.error("an order of control centre %s was not stored within %g s", centre, ORDER_S)
            return CommandStatus.HARDWARE_ERROR
        except (InputError, Conflict) as error:
            LOG.warning("an order of control centre %s is refused: %s", centre, error)
            return CommandStatus.AUTOMATION_INHIBIT
        except HeadroomError:
            LOG.exception("an order of control centre %s failed", centre)
            return CommandStatus.HARDWARE_ERROR
        self.push()
        return CommandStatus.SUCCESS

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen for every control centre."""
        for association in self.associations:
            await association.start(tls)

    async def close(self) -> None:
        """Stop listening."""
        for association in self.associations:
            if association.server is not None:
                await association.server.stop()

    def profile(self, *, today: Any) -> str:
        """Return the Device Profile of the first association as XML (schema 2.12.00), dated `today`."""
        association = self.associations[0]
        return scada_profile.render(
            association.outstation, association.session, host=association.centre.host, port=association.centre.port,
            statuses=REFUSALS, today=today,
        )  # fmt: skip


def tls_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """Return a server context that demands a client certificate of `authority`; TLS 1.2 or later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _point_map(points: Sequence[p.ScadaPoint]) -> PointMap:
    found = {}
    for point in points:
        kind = KINDS[point.kind]
        analog, output = kind.is_analog, kind.is_output
        found[(kind, point.index)] = Point(
            kind, point.index, point.name,
            event_class=None if output else point.event_class,
            multiplier=point.scale if analog else None,
            minimum=None if point.least is None else math.ceil(point.least / point.scale - TINY),
            maximum=None if point.most is None or not output else math.floor(point.most / point.scale + TINY),
            units=point.units or None, states=point.states,
        )  # fmt: skip
    return PointMap(found)


def _same(old: Value | None, new: Value) -> bool:
    return old is not None and old.value == new.value and old.good == new.good


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
