"""Finding out what a device speaks, before anything is sent that could move it: AI0, and SELECTs without their OPERATE.

A connection of its own, closed before the master's association opens: DNP3 has one connection an association.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from py1815.application import FunctionCode
from py1815.decode import PointType
from py1815.master import Outstation, Tasks
from py1815.master import controls as wire

from derms.errors import RemoteError
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.dialect import Dialect

PROBED = (p.AO_PRIORITY, p.AO_WINDOW_S, p.AO_RAMP_S, p.AO_REVERSION_S, p.AO_IMPORT_LIMIT, p.AO_EXPORT_LIMIT, p.AO_STAMP)
PROBE_VALUE = {p.AO_REVERSION_S: 60}


@dataclass(frozen=True)
class Found:
    """What a device showed: its analog inputs, and how it answered each SELECT."""

    analogs: dict[int, float] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def edition(self) -> int:
        """Return AI0, hundredths; 0 when it is not served."""
        return int(self.analogs.get(p.AI_EDITION, 0))

    def takes(self, output: str) -> bool:
        """Say whether a SELECT of this output ("AO85") was accepted."""
        return self.answers.get(output) == "SUCCESS"

    def dialect(self) -> Dialect:
        """Return the dialect that this shows; what AO87 and AO88 mean is a guess until it is proven."""
        leased = p.AI_STAMP in self.analogs and self.takes(f"AO{p.AO_STAMP}")
        return Dialect(leased, self.takes(f"AO{p.AO_REVERSION_S}"), False, self.edition, proven=leased)


async def probe(host: str, port: int, *, where: str, timeout_s: float = 3.0) -> Found:
    """Ask a device what it speaks; raises RemoteError when it is silent or has no limit at all."""
    station = Outstation(
        where, host=host, port=port, outstation_address=p.OUTSTATION_ADDRESS, master_address=p.MASTER_ADDRESS,
        response_timeout=timeout_s, connect_timeout=timeout_s, tasks=Tasks.none(), reconnect=None,
    )  # fmt: skip
    try:
        await station.connect(wait=timeout_s, every=0.2)
        exchange = await station.integrity_poll()
        if not exchange.complete:
            raise RemoteError("no answer to an integrity poll", where=where)
        analogs = {
            item.index: float(item.value or 0)
            for item in exchange.objects
            if item.point is PointType.ANALOG_INPUT and item.index is not None and not item.event
        }
        answers = {}
        commands = [wire.analog(index, PROBE_VALUE.get(index, 0), 1) for index in PROBED]
        for command in (*commands, wire.binary(p.BO_LIMIT_ENABLE, False)):
            selected = await station.request(FunctionCode.SELECT, wire.encode([command]))
            status = wire.read_statuses([command], selected)[0].status
            name = f"{'BO' if command.group == wire.GROUP_BINARY_OUTPUT_COMMAND else 'AO'}{command.index}"
            answers[name] = status.name if status is not None else "no answer"
    except (OSError, TimeoutError) as error:
        raise RemoteError(f"no connection ({error})", where=where) from error
    finally:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await station.close()
    found = Found(analogs, answers)
    for output in (f"AO{p.AO_IMPORT_LIMIT}", f"AO{p.AO_EXPORT_LIMIT}"):
        if not found.takes(output):
            raise RemoteError(
                f"the device does not take {output} ({answers[output]})", where=where, remedy="It has no limit to hold."
            )
    return found
