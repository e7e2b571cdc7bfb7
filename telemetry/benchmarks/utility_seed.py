"""Many sites for `bench ieee2030_5`: devices, programs, controls, usage points, one aggregator, with certificates."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connection

from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import codec, pki
from telemetry.utility_models import (
    Assignment,
    Control,
    EndDevice,
    MeterStream,
    Program,
    UsagePoint,
    WireIdentity,
)

STREAMS = 4
UNITS = (38, 63, 29, 33)
BATCH = 5_000


def seed(*, sites: int, controls: int, certificates: int, folder: Path) -> dict[str, Any]:
    """Fill an empty database; return the clients that have certificates, and the aggregator with its 50 devices.

    The first `certificates` sites have a real certificate in `folder`; the others are as real rows, never asked for.
    """
    now = int(time.time())
    index = pki.make(folder, hosts=["localhost"], devices=certificates, aggregators=1, pen=12345, now=datetime.now(UTC))
    names = [f"device{number + 1}" for number in range(certificates)]
    lfdis = [index[name]["lfdi"] for name in names] + [f"{number:032X}00012345" for number in range(certificates, sites)]
    WireIdentity.objects.bulk_create([WireIdentity(lfdi=lfdi) for lfdi in lfdis], batch_size=BATCH)
    devices = _devices(lfdis, now, None)
    aggregator = services.know_identity(index["aggregator1"]["lfdi"], WireIdentity.AGGREGATOR, now=now)
    _devices([f"A{number:031X}00012345" for number in range(200)], now, aggregator)
    assignments = Assignment.objects.bulk_create(
        [Assignment(device=row, name="default") for row in devices], batch_size=BATCH
    )
    programs = Program.objects.bulk_create(
        [
            Program(device=row, assignment=group, default={"opModImpLimW": 5000, "opModExpLimW": 2000})
            for row, group in zip(devices, assignments, strict=True)
        ],
        batch_size=BATCH,
    )
    _controls(programs, controls, now)
    points = UsagePoint.objects.bulk_create(
        [
            UsagePoint(device=row, mrid=codec.mrid_of("p", row.pk, 1), content=POINT | {"deviceLFDI": row.lfdi})
            for row in devices
        ],
        batch_size=BATCH,
    )
    MeterStream.objects.bulk_create(
        [
            MeterStream(
                point=point,
                mrid=codec.mrid_of("s", f"{point.pk}.{number}", 1),
                reading_type={"uom": UNITS[number]},
                measures="power" if number == 0 else "",
            )
            for point in points
            for number in range(STREAMS)
        ],
        batch_size=BATCH,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    clients = [
        {
            "name": name,
            "lfdi": device.lfdi,
            "dcap": "/dcap",
            "edev": f"/edev/{device.pk}",
            "derc": f"/edev/{device.pk}/derp/{program.pk}/derc?s=0&l={controls}",
            "mup": f"/mup/{point.pk}",
            "mrids": [codec.mrid_of("s", f"{point.pk}.{number}", 1) for number in range(STREAMS)],
        }
        for name, device, program, point in zip(names, devices, programs, points, strict=False)
    ]
    return {"clients": clients, "aggregator": {"name": "aggregator1", "list": "/edev?s=0&l=50"}}


POINT = {"roleFlags": "03", "serviceCategoryKind": 0, "status": 1}


def _devices(lfdis: Iterable[str], now: int, aggregator: WireIdentity | None) -> list[EndDevice]:
    rows = [
        EndDevice(lfdi=lfdi, sfdi=codec.sfdi_of(lfdi), aggregator=aggregator, registered=now, changed=now) for lfdi in lfdis
    ]
    return EndDevice.objects.bulk_create(rows, batch_size=BATCH)


def _controls(programs: list[Program], count: int, now: int) -> None:
    """Write the controls: five minutes each, a day ahead and more, so that none ends while it is measured."""
    rows = []
    for program in programs:
        for number in range(count):
            start = now + 300 * number
            rows.append(
                Control(
                    device_id=program.device_id,
                    program=program,
                    mrid=codec.mrid_of("c", f"{program.pk}.{number}", 1),
                    modes={"opModImpLimW": 50_000 + 100 * number, "opModExpLimW": 40_000},
                    start=start,
                    duration=3600 + 300 * number,
                    end=start + 3600 + 300 * number,
                    creation=now - count + number,
                )
            )
        if len(rows) >= BATCH:
            Control.objects.bulk_create(rows)
            rows = []
    Control.objects.bulk_create(rows)


def main(options: dict[str, Any]) -> None:
    """Seed as the options say and write what was made as JSON."""
    out = Path(options["out"])
    made = seed(
        sites=options["sites"],
        controls=options["controls"],
        certificates=options["certificates"],
        folder=Path(options["folder"]),
    )
    out.write_text(json.dumps(made))
