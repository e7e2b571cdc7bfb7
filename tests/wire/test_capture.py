"""What goes over the wire is DNP3 that an independent dissector understands: no malformed packet, no bad CRC."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry.control.grant import Grant, Outcome, Reason
from telemetry.protocols.dnp3.master import Dnp3Master
from telemetry.protocols.dnp3.outstation import serve_dnp3
from tests.wire.device import Device
from tests.wire.test_dnp3 import first_answer

pytestmark = pytest.mark.wire
TSHARK = shutil.which("tshark")


async def run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_a_conversation_has_no_malformed_packet(tmp_path: Path) -> None:
    if TSHARK is None:
        pytest.skip("tshark is not installed")
    device, capture = Device(), tmp_path / "dnp3.pcapng"
    server = await serve_dnp3(device)
    number_of_port = server.port
    sniffer = await asyncio.create_subprocess_exec(
        TSHARK, "-q", "-i", "lo", "-f", f"tcp port {server.port}", "-w", str(capture), stderr=asyncio.subprocess.PIPE
    )
    assert sniffer.stderr is not None
    started = await asyncio.wait_for(sniffer.stderr.readline(), 20)
    while started and b"Capturing" not in started:
        started = await asyncio.wait_for(sniffer.stderr.readline(), 20)
    if not started:
        await server.close()
        pytest.skip("tshark may not capture on this machine")
    master = Dnp3Master(timeout_s=2.0)
    await master.start()
    port = await master.site("depot", "127.0.0.1", server.port, VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    await first_answer(port)
    for number in range(1, 40):
        device.now += 10
        server.refresh()
        reading = await port.read()
        limit = Limit(600_000 + number * 30_000, 900_000)
        answer = await port.publish(Grant("depot", limit, 1, number, 0.0, 60.0, reading.stamp, Reason("", "", 1.0, "")))
        assert answer.outcome is Outcome.ACKNOWLEDGED
    await master.ask({"do": "operate", "site": "depot", "points": [["AO", 87, 1001]]})
    await master.close()
    await server.close()
    await asyncio.sleep(0.5)
    sniffer.terminate()
    await sniffer.wait()
    decode = ("-r", str(capture), "-d", f"tcp.port=={number_of_port},dnp3")
    _, packets = await run(TSHARK, *decode, "-Y", "dnp3", "-T", "fields", "-e", "dnp3.al.func")
    assert len(packets.splitlines()) > 300
    _, bad = await run(TSHARK, *decode, "-Y", "_ws.malformed or dnp3.hdr.CRC.incorrect or dnp3.data_chunk.CRC.incorrect")
    lines = [line for line in bad.splitlines() if "Running as user" not in line]
    assert lines == [], lines[:5]
