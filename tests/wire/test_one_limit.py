"""No second truth: one grant over DNP3, SunSpec and IEEE 2030.5 is the same limit within each wire's step, never looser."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asgiref.sync import sync_to_async
from lxml import etree

from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry import utility_services as services
from telemetry.control.grant import Grant, Outcome, Reason
from telemetry.protocols.dnp3.master import Dnp3Master
from telemetry.protocols.dnp3.outstation import serve_dnp3
from telemetry.protocols.ieee2030_5 import codec
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.protocols.sunspec.device import serve_sunspec
from telemetry.utility_models import EndDevice
from tests.wire.device import Device
from tests.wire.test_dnp3 import first_answer

pytestmark = pytest.mark.wire
NAMEPLATE, FAILSAFE = Limit(60_000, 60_000), Limit(5_000, 2_000)
STEP_W = 60  # per mille of the nameplate
LIMITS = [Limit(0, 0), Limit(60_000, 60_000), Limit(33_333, 44_444), Limit(5_001, 59_999), Limit(59, 61), Limit(60_000, 0)]


LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"


def read_over_2030_5(device: EndDevice, clock: VirtualClock, mount: str) -> Limit:
    """Return the limit that a client reads from its active control."""
    path = f"{mount}/edev/{device.pk}/derp/{device.programs.get().pk}/actderc"
    answer = handle(Request("GET", path, LFDI, clock.now(), "l=9"))
    (control,) = etree.fromstring(answer.body.encode())
    power = {
        name: {leaf: int(control.findtext(f".//{{*}}{name}/{{*}}{leaf}")) for leaf in ("value", "multiplier")}
        for name in ("opModImpLimW", "opModExpLimW")
    }
    return codec.limit_of(power)


@pytest.mark.django_db(transaction=True)
async def test_the_same_grant_means_the_same_limit_on_all_three_wires() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    first, second = Device("one", NAMEPLATE, FAILSAFE), Device("two", NAMEPLATE, FAILSAFE)
    first.power_w = second.power_w = 41_000.0
    outstation, server = await serve_dnp3(first), await serve_sunspec(second)
    master = Dnp3Master(timeout_s=2.0)
    await master.start()
    dnp3 = await master.site("one", "127.0.0.1", outstation.port, clock)
    sunspec = SunSpecSite("two", "127.0.0.1", server.port, FAILSAFE, clock)
    now = int(clock.now().timestamp())
    third = await sync_to_async(services.register_device)(LFDI, aggregator=None, now=now, site="x")
    utility = UtilitySite("x", FAILSAFE, clock, pen=1)
    await first_answer(dnp3)
    try:
        for number, limit in enumerate(LIMITS, start=1):
            clock.advance(2.0)
            stamp = (await dnp3.read()).stamp
            assert (await sunspec.read()).power_w == 41_000.0
            grant = Grant("x", limit, 1, number, 0.0, 60.0, stamp, Reason("thermal", "line.head", 1.0, "1-1"))
            obeyed = {}
            for port, device in ((dnp3, first), (sunspec, second)):
                answer = await port.publish(grant)
                assert answer.outcome is Outcome.ACKNOWLEDGED, (port.protocol, limit, answer)
                obeyed[port.protocol] = device.limit_in_force()
            assert (await utility.publish(grant)).outcome is Outcome.UNKNOWN
            for mount in ("", "/v1.3"):
                obeyed[f"2030.5{mount}"] = await sync_to_async(read_over_2030_5)(third, clock, mount)
            for wire, found in obeyed.items():
                assert found.within(limit), wire
                assert limit.import_w - found.import_w < STEP_W and limit.export_w - found.export_w < STEP_W, wire
            spread = max(item.import_w for item in obeyed.values()) - min(item.import_w for item in obeyed.values())
            assert spread < STEP_W, obeyed
    finally:
        await sunspec.close()
        await master.close()
        await outstation.close()
        await server.close()
