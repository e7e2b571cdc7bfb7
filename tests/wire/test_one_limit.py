"""No second truth: a grant over DNP3 and over SunSpec is obeyed as the same limit within each wire's step, never looser."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry.control.grant import Grant, Outcome, Reason
from telemetry.protocols.dnp3.master import Dnp3Master
from telemetry.protocols.dnp3.outstation import serve_dnp3
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.protocols.sunspec.device import serve_sunspec
from tests.wire.device import Device
from tests.wire.test_dnp3 import first_answer

pytestmark = pytest.mark.wire
NAMEPLATE, FAILSAFE = Limit(60_000, 60_000), Limit(5_000, 2_000)
STEP_W = 60  # per mille of the nameplate
LIMITS = [Limit(0, 0), Limit(60_000, 60_000), Limit(33_333, 44_444), Limit(5_001, 59_999), Limit(59, 61), Limit(60_000, 0)]


async def test_the_same_grant_means_the_same_limit_on_both_wires() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    first, second = Device("one", NAMEPLATE, FAILSAFE), Device("two", NAMEPLATE, FAILSAFE)
    first.power_w = second.power_w = 41_000.0
    outstation, server = await serve_dnp3(first), await serve_sunspec(second)
    master = Dnp3Master(timeout_s=2.0)
    await master.start()
    dnp3 = await master.site("one", "127.0.0.1", outstation.port, clock)
    sunspec = SunSpecSite("two", "127.0.0.1", server.port, FAILSAFE, clock)
    await first_answer(dnp3)
    try:
        for number, limit in enumerate(LIMITS, start=1):
            stamp = (await dnp3.read()).stamp
            assert (await sunspec.read()).power_w == 41_000.0
            grant = Grant("x", limit, 1, number, 0.0, 60.0, stamp, Reason("thermal", "line.head", 1.0, "1-1"))
            for port, device in ((dnp3, first), (sunspec, second)):
                answer = await port.publish(grant)
                assert answer.outcome is Outcome.ACKNOWLEDGED, (port.protocol, limit, answer)
                obeyed = device.limit_in_force()
                assert obeyed.within(limit)
                assert limit.import_w - obeyed.import_w < STEP_W
                assert limit.export_w - obeyed.export_w < STEP_W
    finally:
        await sunspec.close()
        await master.close()
        await outstation.close()
        await server.close()
