"""A site as a process of its own: the product's lease and DNP3 outstation; writes down what it obeys, ten times a second.

    python -m tests.chaos.site NAME HOST PORT FOLDER

`FOLDER/NAME.now` holds the newest state, `FOLDER/NAME.log` every change; both with the machine's monotonic seconds, which
all processes of a machine share. `FOLDER/NAME.floor` keeps the order floor: a power cycle (kill -9) does not forget it.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease, Verdict
from telemetry.protocols.dnp3.outstation import serve_dnp3
from telemetry.protocols.site_device import Measurements

STEP_S, SWING_S = 0.1, 240.0


class RecordedLease(SiteLease):
    """The product's lease, with its floor on disk and every accepted grant written down."""

    def __init__(self, failsafe: Limit, nameplate: Limit, *, longest_s: float, folder: Path, name: str) -> None:
        self._floor, self._log = folder / f"{name}.floor", (folder / f"{name}.log").open("a", buffering=1)
        floor = json.loads(self._floor.read_text()) if self._floor.exists() else [-1, -1]
        super().__init__(failsafe, nameplate, longest_s=longest_s, order_floor=(floor[0], floor[1]))
        self.write({"what": "boot", "floor": floor})

    def offer(self, limit: Limit, **facts: Any) -> Verdict:
        """Take a grant as the product does; store the floor before it is obeyed."""
        verdict = super().offer(limit, **facts)
        if verdict is Verdict.ACCEPTED:
            self._floor.write_text(json.dumps(self.order_floor))
        self.write({"what": "grant", "verdict": verdict.name, "order": [facts["epoch"], facts["sequence"]],
                    "limit": [limit.import_w, limit.export_w], "stamp": facts["stamp"], "ttl": facts["ttl_s"]})  # fmt: skip
        return verdict

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line."""
        self._log.write(json.dumps({"t": round(time.monotonic(), 3)} | entry) + "\n")


class ChaosSite:
    """A `SiteDevice` that always wants as much as it may, one way and then the other."""

    def __init__(self, name: str, folder: Path, facts: dict[str, Any]) -> None:
        self.site = name
        self.nameplate = Limit(*facts["nameplate"])
        self.lease = RecordedLease(
            Limit(*facts["failsafe"]), self.nameplate, longest_s=float(facts["lease_s"]), folder=folder, name=name
        )
        self.power_w, self._ramp_w_per_s = 0.0, float(facts["ramp_w_per_s"])
        self._state = folder / f"{name}.now"

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()

    def measurements(self) -> Measurements:
        """Return what the meter says."""
        return Measurements(
            self.power_w, 0.0, 1.0, 50.0, 1e6, float(self.nameplate.import_w), float(self.nameplate.export_w)
        )

    def limit_in_force(self) -> Limit:
        """Return what the lease says."""
        return self.lease.limit(self.monotonic())

    def step(self) -> None:
        """Move towards the wish; write the state."""
        limit, now = self.limit_in_force(), self.monotonic()
        # Slowly from all that it may take to all that it may give: nobody's meters are read in the same instant.
        swing = math.sin(2.0 * math.pi * now / SWING_S)
        wish = swing * (limit.import_w if swing > 0 else limit.export_w)
        reach = self._ramp_w_per_s * STEP_S
        self.power_w += max(-reach, min(reach, limit.clamp(wish) - self.power_w))
        state = {"t": now, "power_w": self.power_w, "limit": [limit.import_w, limit.export_w],
                 "failsafe": self.lease.in_failsafe(now), "order": list(self.lease.order_floor)}  # fmt: skip
        temporary = self._state.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        temporary.replace(self._state)


async def main(name: str, host: str, port: int, folder: Path) -> None:
    """Serve until killed."""
    device = ChaosSite(name, folder, json.loads((folder / f"{name}.json").read_text()))
    server = await serve_dnp3(device, host, port)
    while True:
        device.step()
        server.refresh()
        await asyncio.sleep(STEP_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
