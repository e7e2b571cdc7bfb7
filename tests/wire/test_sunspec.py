"""SunSpec over real sockets: our client and pysunspec2's own client against our device."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sunspec2.modbus.client as reference

from derms.clock import SystemClock, VirtualClock
from derms.errors import InputError, RemoteError
from derms.limits import Limit
from telemetry.control.grant import Grant, Outcome, Quality, Reason
from telemetry.protocols.site_device import Measurements
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.protocols.sunspec.device import SunSpecSiteServer, serve_sunspec
from tests.conftest import shared_path
from tests.wire.device import Device
from tests.wire.test_scada import free_port

pytestmark = pytest.mark.wire
FAILSAFE, NAMEPLATE = Limit(5_000, 0), Limit(60_000, 60_000)


class Bench:
    def __init__(self, device: Device, server: SunSpecSiteServer, port: SunSpecSite) -> None:
        self.device, self.server, self.port = device, server, port

    def grant(self, limit: Limit, ttl_s: float = 60.0) -> Grant:
        return Grant("work", limit, 1, 1, 0.0, ttl_s, None, Reason("thermal", "line.head", 1.0, "1-1"))


@pytest.fixture(params=[0, 1, 2])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    device = Device("work", NAMEPLATE, FAILSAFE)
    device.power_w = 12_000.0
    server = await serve_sunspec(device, watt_scale=request.param)
    port = SunSpecSite("work", "127.0.0.1", server.port, FAILSAFE, VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    yield Bench(device, server, port)
    await port.close()
    await server.close()


async def test_a_poll_gives_import_positive_power_and_the_failsafe_in_force(bench: Bench) -> None:
    reading = await bench.port.read()
    assert reading.power_w == 12_000
    assert reading.limit_in_force == FAILSAFE
    assert reading.in_failsafe is True
    assert reading.quality is Quality.GOOD


async def test_a_grant_is_in_force_until_its_reversion_time_and_never_looser(bench: Bench) -> None:
    answer = await bench.port.publish(bench.grant(Limit(33_333, 12_345)))
    assert answer.outcome is Outcome.ACKNOWLEDGED, answer.detail
    assert answer.in_force is not None
    assert answer.in_force.within(Limit(33_333, 12_345))
    assert bench.device.limit_in_force() == answer.in_force
    bench.device.now += 60
    bench.server.refresh()
    assert (await bench.port.read()).limit_in_force == FAILSAFE


async def test_above_the_nameplate_is_refused_and_changes_nothing(bench: Bench) -> None:
    answer = await bench.port.publish(bench.grant(Limit(60_001, 0)))
    assert answer.outcome is Outcome.REFUSED
    assert bench.device.limit_in_force() == FAILSAFE


async def test_pysunspec2s_own_client_reads_the_same_and_its_write_to_a_read_only_register_is_refused(bench: Bench) -> None:
    await bench.port.publish(bench.grant(Limit(20_000, 30_000)))

    def independent() -> tuple[float, float, float, int]:
        client = reference.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=bench.server.port, timeout=3)
        client.connect()
        client.scan(connect=False)
        measured, control = client.models[701][0], client.models[704][0]
        try:
            client.write(measured.model_addr + 10, b"\x00\x01")
            refused = 0
        except Exception:  # noqa: BLE001  (whatever class the library raises)
            refused = 1
        client.disconnect()
        return measured.W.cvalue, control.WSet.cvalue, control.WMaxLimPct.cvalue, refused

    assert await asyncio.to_thread(independent) == (-12_000, -20_000, 50.0, 1)


async def test_silence_is_an_error_and_the_device_is_scanned_anew_when_it_returns(bench: Bench) -> None:
    await bench.port.read()
    number = bench.server.port
    await bench.server.close()
    with pytest.raises(RemoteError):
        await bench.port.read()
    again = await serve_sunspec(bench.device, port=number)
    try:
        assert (await bench.port.read()).power_w == 12_000
    finally:
        await again.close()


async def test_a_process_stopped_half_way_through_a_grant_does_not_finish_it_when_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, clock = bench.port._put, bench.port._clock
    assert isinstance(clock, VirtualClock)

    async def stopped_after(address: int, values: list[int]) -> None:
        await put(address, values)
        clock.advance(20.0)

    monkeypatch.setattr(bench.port, "_put", stopped_after)
    answer = await bench.port.publish(bench.grant(Limit(33_333, 12_345)))
    assert answer.outcome is Outcome.UNKNOWN, "another engine may lead by now, and this wire knows no epoch"
    assert bench.device.limit_in_force() == FAILSAFE


async def test_what_a_closed_connection_has_not_delivered_never_arrives(bench: Bench) -> None:
    await bench.port.read()
    line = bench.port._client.ctx.transport.get_extra_info("socket")
    onoff, seconds = struct.unpack("ii", line.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
    assert (bool(onoff), seconds) == (True, 0), "closing resets: nothing is delivered minutes later"
    assert 0 < line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 5_000


async def test_it_does_not_listen_on_every_address() -> None:
    with pytest.raises(InputError):
        await serve_sunspec(Device(), "0.0.0.0")


async def test_a_device_that_stays_away_is_left_alone_for_a_bounded_while(bench: Bench) -> None:
    """Each failed connection waits longer, at most 15 s; a silent device does not cost every cycle a time-out."""
    clock = bench.port._clock
    assert isinstance(clock, VirtualClock)
    await bench.server.close()
    bench.port._drop()
    connections = 0
    real = bench.port._client.connect

    async def counted() -> bool:
        nonlocal connections
        connections += 1
        return bool(await real())

    bench.port._client.connect = counted  # type: ignore[method-assign]
    for _ in range(60):
        with pytest.raises(RemoteError):
            await bench.port.read()
        clock.advance(1.0)
    assert 5 <= connections <= 9


async def test_our_client_holds_the_kits_charger_and_its_reversion_ends_the_hold() -> None:
    """The kit's own simulated charger, in a process of its own: it follows, is read back, and falls back when we stop."""
    simulator, number = shared_path("kits/sunspec/sim_v2g.py"), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", str(simulator), "--port", str(number), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    port = SunSpecSite("v2g", "127.0.0.1", number, Limit(2_000, 0), SystemClock())
    try:
        for _ in range(50):
            try:
                await port.read()
                break
            except RemoteError:
                await asyncio.sleep(0.1)
        now = SystemClock().monotonic()
        grant = Grant("v2g", Limit(7_000, 5_000), 1, 1, now, 4.9, None, Reason("thermal", "line.head", 1.0, "1-1"))
        answer = await port.publish(grant)
        assert answer.outcome is Outcome.ACKNOWLEDGED, answer
        assert answer.in_force is not None
        assert answer.in_force.within(Limit(7_000, 5_000))
        assert answer.in_force.import_w == 7_000
        assert await shows(port, 7_000.0, in_failsafe=False)
        assert await shows(port, 2_000.0, in_failsafe=True)
    finally:
        await port.close()
        process.kill()
        await process.wait()


async def shows(port: SunSpecSite, power_w: float, *, in_failsafe: bool) -> bool:
    """Read until the device shows this, or for 20 s."""
    for _ in range(200):
        reading = await port.read()
        if (reading.power_w, reading.in_failsafe) == (power_w, in_failsafe):
            return True
        await asyncio.sleep(0.1)
    return False


class Charger(Device):
    """Does what its set-point says, inside every limit: the kit's checks are written for such a device."""

    server: SunSpecSiteServer | None = None

    def __init__(self) -> None:
        super().__init__("v2g", Limit(22_000, 22_000), Limit(0, 0))
        self.clock = SystemClock()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def limit_in_force(self) -> Limit:
        return self.lease.limit(self.monotonic())

    def measurements(self) -> Measurements:
        server = self.server
        wanted = -(server.set_point_w or 0) if server is not None and server.energised else 0
        most = self.limit_in_force() if server is None else self.limit_in_force().meet(server.ceiling)
        return Measurements(most.clamp(wanted), 0.0, 1.0, 55.0, 3e4, 22_000.0, 22_000.0)


async def test_every_check_of_the_kit_passes_against_our_device() -> None:
    """pysunspec2's own client and a raw Modbus client, both not ours."""
    check = shared_path("kits/sunspec/client_check.py")
    charger = Charger()
    charger.server = server = await serve_sunspec(charger)  # type: ignore[arg-type]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", str(check), "--port", str(server.port), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    talk = asyncio.create_task(process.communicate())
    try:
        while not talk.done():
            server.refresh()
            await asyncio.sleep(0.05)
        output = talk.result()[0].decode()
        assert process.returncode == 0, output
        assert "FAIL" not in output
        assert output.count("PASS") >= 15
    finally:
        await server.close()


async def test_a_refresh_between_a_clients_writes_changes_nothing_of_what_its_enable_takes(bench: Bench) -> None:
    """A site refreshes its registers whenever it likes, also between the parameters of a grant and its enable."""
    real = bench.port._put

    async def slow(address: int, values: list[int]) -> None:
        await real(address, values)
        bench.server.refresh()

    bench.port._put = slow  # type: ignore[method-assign]
    for granted in (Limit(20_000, 10_000), Limit(50_000, 40_000), Limit(6_000, 3_000)):
        answer = await bench.port.publish(bench.grant(granted))
        assert answer.outcome is Outcome.ACKNOWLEDGED, answer
        held = bench.device.limit_in_force()
        assert held.within(granted)
        assert granted.import_w - held.import_w <= 100, "and not the failsafe either"
        assert granted.export_w - held.export_w <= 100
