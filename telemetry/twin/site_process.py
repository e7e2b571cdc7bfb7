"""A site controller as a process of its own: serves its wire on loopback, lives in lock-step with the story's clock.

JSON lines on standard input: first the configuration, then `{"now": s, "v": pu}` for each step; each is answered with what
the meter shows. The wire is a real socket; nothing but its own lease tells the site what it may do.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease
from telemetry.protocols.site_device import SiteServer
from telemetry.twin.fleet import Visit
from telemetry.twin.site_controller import HoldsLastLimit, SiteController, Unmanaged
from telemetry.twin.vehicle import ChargerType

KINDS: dict[str, type[SiteController]] = {
    "obeys": SiteController,
    "holds_last": HoldsLastLimit,
    "unmanaged": Unmanaged,
}


def build(config: dict[str, Any]) -> SiteController:
    """Return the controller that a configuration describes."""
    nameplate, failsafe = Limit(*config["nameplate"]), Limit(*config["failsafe"])
    lease = SiteLease(failsafe, nameplate, longest_s=float(config["lease_s"]))
    visits = [Visit(*visit) for visit in config["visits"]]
    return KINDS[config["kind"]](config["site"], nameplate, lease, visits, ChargerType(*config["charger"]))


async def serve(controller: SiteController, wire: str) -> SiteServer | None:
    """Start the site's wire: "dnp3", "sunspec" or "none"."""
    if wire == "dnp3":
        from telemetry.protocols.dnp3.outstation import serve_dnp3

        return await serve_dnp3(controller)
    if wire == "sunspec":
        from telemetry.protocols.sunspec.device import serve_sunspec

        return await serve_sunspec(controller)
    return None


async def main() -> None:
    """Serve until standard input ends."""
    source = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin)
    config = json.loads(await source.readline())
    controller = build(config)
    server = await serve(controller, config["wire"])
    _say({"port": server.port if server else 0})
    while line := await source.readline():
        step = json.loads(line)
        controller.step(float(step["now"]), float(step["v"]))
        if server is not None:
            server.refresh()
        tally, limit = controller.tally, controller.limit_in_force()
        _say(
            {
                "p": controller.power_w(),
                "import_w": limit.import_w,
                "export_w": limit.export_w,
                "failsafe": controller.lease.in_failsafe(controller.now),
                "delivered_wh": tally.delivered_wh,
                "late": tally.late,
                "short_wh": tally.short_wh,
                "failsafe_s": tally.failsafe_s,
            }
        )
    if server is not None:
        await server.close()


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
