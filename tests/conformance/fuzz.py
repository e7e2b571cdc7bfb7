"""`make fuzz`: mutated documents and requests against the parser and the handlers; only lawful answers may come.

Argument: how many (default 100,000). Prints the seed; the same seed gives the same run.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from datetime import UTC, datetime

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "derms.settings")
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
LAWFUL = {200, 201, 204, 400, 403, 404, 405, 409}
SEP = "urn:ieee:std:2030.5:ns"
DICTIONARY = [b"<", b">", b"</", b"/>", b"&#0;", b"&x;", b"]]>", b"<!--", b"<?x?>", b"\x00", b"\xff\xfe", b'"', b"-1",
              b"1e9", b"9" * 30, b"<a>" * 40, b'xmlns="x"', b"\xd9\xa3"]  # fmt: skip


def mutate(chance: random.Random, body: bytes) -> bytes:
    """Return a body with one to four wounds."""
    data = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[place : place + chance.randint(1, 20)] = b""
            case 1:
                data[place:place] = chance.choice(DICTIONARY)
            case 2:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case _:
                other = chance.randrange(len(data) + 1)
                data[place:place] = data[other : other + chance.randint(1, 60)]
    return bytes(data)


def main() -> int:
    """Fuzz; 0 when every answer was lawful."""
    count, seed = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, random.SystemRandom().randrange(1 << 32)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADROOM_STATE_DIR"] = folder
        os.environ["HEADROOM_LOG_LEVEL"] = "ERROR"
        return run(count, seed)


def run(count: int, seed: int) -> int:
    """Set the database up, then throw."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    from telemetry import utility_offers as offers
    from telemetry import utility_services as services
    from telemetry.protocols.ieee2030_5 import xml
    from telemetry.protocols.ieee2030_5.handlers import Request, handle

    call_command("migrate", verbosity=0)
    device = services.register_device(LFDI, aggregator=None, now=0)
    program = services.program_of(device, 1)
    control = services.create_control(program, {"opModImpLimW": 5}, start=0, duration=2_000_000_000, now=0, pen=0)
    power = {"multiplier": 0, "value": 5}
    stream = {"mRID": "A" * 32, "ReadingType": {"uom": 38}, "Reading": {"value": 5}}
    point = {"mRID": "B" * 32, "roleFlags": "03", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": LFDI}
    root = f"/edev/{device.pk}"
    now = int(datetime.now(UTC).timestamp())
    services.volt_var_b(program, now=now, pen=0)
    tariff = offers.publish_tariff("t", device.assignments.all())
    prices = offers.publish_prices(tariff, "c", [offers.Price(now, 1 << 20, ((0, 5), (9, 6)))], now=now, pen=0)
    wanted = {
        "mRID": "F" * 32, "creationTime": now, "energyRequested": {"multiplier": 3, "value": 40}, "powerRequested": power,
        "intervalRequested": {"start": now, "duration": 3600}, "RequestStatus": {"dateTime": now, "requestStatus": 0},
    }  # fmt: skip
    held = offers.reserve(device, wanted, now=now, pen=0)
    event = {
        "createdDateTime": now,
        "functionSet": 11,
        "logEventCode": 2,
        "logEventID": 1,
        "logEventPEN": 7,
        "profileID": 2,
    }
    answer = {"endDeviceLFDI": LFDI, "status": 1, "subject": control.mrid}
    asked = [
        ("PUT", f"{root}/der/1/derg", xml.document("DERSettings", {"setGradW": 1, "setMaxW": power, "updatedTime": 5})),
        ("PUT", f"{root}/der/1/ders", xml.document("DERStatus", {"readingTime": 5, "alarmStatus": "01"})),
        ("PUT", f"{root}/cp", xml.document("ConnectionPoint", {"connectionPointId": "1234567890"})),
        ("POST", f"{root}/rsps/1/rsp", xml.document("DERControlResponse", answer)),
        ("POST", "/mup", xml.document("MirrorUsagePoint", point | {"MirrorMeterReading": [stream]})),
        ("POST", "/edev", xml.document("EndDevice", {"lFDI": LFDI, "sFDI": device.sfdi, "changedTime": 5})),
        ("GET", f"{root}/derp/{program.pk}/derc?s=0&l=5&a=7", ""),
        ("POST", f"{root}/frq", xml.document("FlowReservationRequest", wanted)),
        ("PUT", f"{root}/frq/{held.pk}", xml.document("FlowReservationRequest", wanted)),
        ("POST", f"{root}/lel", xml.document("LogEvent", event)),
        ("GET", f"{root}/tp/{tariff.pk}/rc/{prices[0].component_id}/tti/{prices[0].pk}/cti/1", ""),
        ("GET", f"/v1.3{root}/tp/{tariff.pk}/ctti?s=0&l=9", ""),
        ("GET", f"/us{root}/derp/{program.pk}/dc/1", ""),
        ("GET", "/.well-known/csipaus", ""),
    ]  # fmt: skip
    chance, seen = random.Random(seed), dict[int, int]()
    for number in range(count):
        method, path, body = chance.choice(asked)
        path, _, query = path.partition("?")
        if not body or chance.random() < 0.1:
            path = mutate(chance, path.encode()).decode("latin-1")
            query = mutate(chance, query.encode()).decode("latin-1")
        request = Request(method, path, LFDI, datetime.now(UTC), query, mutate(chance, body.encode()) if body else b"")
        with transaction.atomic():
            status = handle(request).status
            transaction.set_rollback(True)
        seen[status] = seen.get(status, 0) + 1
        if status not in LAWFUL:
            print(f"seed {seed}, number {number}: {status} for {request}")
            return 1
    print(f"seed {seed}: {count} requests, answers {dict(sorted(seen.items()))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
