"""`make fuzz`: mutated documents and requests against the parser and the handlers; only lawful answers may come.

Half of the documents have wounded octets; the other half stay well-formed and have wounded values, so that they come
through the parser to the handlers and the database. What is refused must have written nothing; what is shown must be XML.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import tempfile
from datetime import UTC, datetime
from typing import Any

from lxml import etree

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "derms.settings")
LFDI, AGGREGATOR = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5", "C" * 40
LAWFUL = {200, 201, 204, 400, 403, 404, 405, 409}
SEP = "urn:ieee:std:2030.5:ns"
DICTIONARY = [b"<", b">", b"</", b"/>", b"&#0;", b"&x;", b"]]>", b"<!--", b"<?x?>", b"\x00", b"\xff\xfe", b'"', b"-1",
              b"1e9", b"9" * 30, b"<a>" * 40, b'xmlns="x"', b"\xd9\xa3"]  # fmt: skip
NUMBERS = ["0", "-1", "1", "2", "63", "127", "128", "255", "256", "-32768", "32767", "32768", "65535", "2147483647",
           "2147483648", "4294967295", "4294967296", "140737488355327", "-140737488355328", "140737488355328",
           "9223372036854775807", "-9223372036854775808", "1800000000", " 5 ", "+7"]  # fmt: skip
WORDS = ["00", "03", "0002", "FF", "F" * 40, "A" * 32, "a" * 32, "B" * 32, "C" * 32, "0" * 32, "", "true", "false",
         "x" * 200, "\u0663", "&#13;&#10;", "&amp;", "&#xFFFD;", "https://hooks.example/", "http://127.0.0.1/", "https://[::1/",
         "https://hooks.example:99999/", "/edev", "/us/edev", "//", "/dcap"]  # fmt: skip
LEAF = re.compile(r"(<(?:\w+:)?(\w+)(?: [^<>]*)?>)([^<>]*)(</)")
ATTRIBUTE = re.compile(r'( \w+=")([^"]*)(")')


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


def other(chance: random.Random, held: str) -> str:
    """Return another value, most often of the same sort."""
    numeric = held.lstrip("-").isdigit() != (chance.random() < 0.1)
    return chance.choice(NUMBERS if numeric else WORDS)


def misstate(chance: random.Random, body: str) -> str:
    """Return a document, still well-formed, with one to three values that are others, elements that are twice or gone."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        leaves = list(LEAF.finditer(body))
        found = chance.choice(leaves)
        match chance.randrange(6):
            case 0:
                end = body.index(">", found.end()) + 1
                body = body[: found.start()] + chance.choice(["", body[found.start() : end] * 2]) + body[end:]
            case 1:
                held = chance.choice(list(ATTRIBUTE.finditer(body)))
                body = body[: held.start(2)] + other(chance, held[2]) + body[held.end(2) :]
            case 2:
                body = body[: found.start(3)] + chance.choice(leaves)[3] + body[found.end(3) :]
            case _:
                body = body[: found.start(3)] + other(chance, found[3]) + body[found.end(3) :]
        if not LEAF.search(body):
            break
    return body


def main() -> int:
    """Fuzz; 0 when every answer was lawful."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100_000, help="how many requests (100,000)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="the same gives the same run"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADROOM_STATE_DIR"] = folder
        os.environ["HEADROOM_LOG_LEVEL"] = "ERROR"
        os.environ["UTILITY_TEST_API"] = "1"  # in-band registration, and addresses without TLS
        return run(asked.count, asked.seed)


def world(now: int) -> list[tuple[str, str, str, str]]:
    """Fill an empty database; return (LFDI, method, path, lawful document) to start from."""
    from telemetry import utility_offers as offers
    from telemetry import utility_services as services
    from telemetry.protocols.ieee2030_5 import xml
    from telemetry.protocols.ieee2030_5.handlers import Request, handle
    from telemetry.utility_models import UsagePoint

    device = services.register_device(LFDI, aggregator=None, now=0)
    program = services.program_of(device, 1)
    control = services.create_control(program, {"opModImpLimW": 5}, start=0, duration=2_000_000_000, now=0, pen=0)
    power = {"multiplier": 0, "value": 5}
    period = {"start": now, "duration": 60}
    values = [
        {"value": 7, "qualityFlags": "00", "timePeriod": {"start": now + 60 * number, "duration": 60}} for number in (1, 2)
    ]
    known = {"mRID": "A" * 32, "Reading": {"value": 5, "timePeriod": period}}
    stream = known | {"ReadingType": {"uom": 38, "flowDirection": 1, "powerOfTenMultiplier": 0}}
    sets = {"mRID": "C" * 32, "MirrorReadingSet": [{"mRID": "D" * 32, "timePeriod": period, "Reading": values}]}
    point = {"mRID": "B" * 32, "roleFlags": "03", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": LFDI}
    root = f"/edev/{device.pk}"
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
    own = services.enrol(AGGREGATOR, now=now, role="aggregator", hosts=["hooks.example"])
    services.register_device("7" * 40, aggregator=own.aggregator, now=now)
    wish = {
        "subscribedResource": "/edev",
        "encoding": 0,
        "level": "+S1",
        "limit": 9,
        "notificationURI": "https://hooks.example/a",
    }
    mirrored = xml.document(
        "MirrorUsagePoint", point | {"MirrorMeterReading": [stream, sets | {"ReadingType": {"uom": 63}}]}
    )
    made = handle(Request("POST", "/mup", LFDI, datetime.fromtimestamp(now, UTC), "", mirrored.encode()))
    assert made.status == 201, made
    mup = f"/mup/{UsagePoint.objects.get().pk}"
    batch = {"all": 2, "results": 2, "MirrorMeterReading": [known, sets]}
    defining = {"all": 2, "results": 2, "MirrorMeterReading": [stream, sets]}
    writes = [
        ("PUT", f"{root}/der/1/derg", "DERSettings", {"setGradW": 1, "setMaxW": power, "updatedTime": 5}),
        ("PUT", f"{root}/der/1/ders", "DERStatus", {"readingTime": 5, "alarmStatus": "01"}),
        ("PUT", f"{root}/der/1/dercap", "DERCapability", {"modesSupported": "01", "rtgMaxW": power, "type": 83}),
        ("PUT", f"{root}/der/1/dera", "DERAvailability", {"readingTime": 5, "statWAvail": power}),
        ("PUT", f"{root}/cp", "ConnectionPoint", {"connectionPointId": "1234567890"}),
        ("POST", f"{root}/rsps/1/rsp", "DERControlResponse", answer),
        ("POST", "/mup", "MirrorUsagePoint", point | {"MirrorMeterReading": [stream]}),
        ("POST", mup, "MirrorMeterReading", known),
        ("POST", mup, "MirrorMeterReadingList", batch),
        ("PUT", mup, "MirrorMeterReadingList", defining),
        ("POST", "/edev", "EndDevice", {"lFDI": LFDI, "sFDI": device.sfdi, "changedTime": 5}),
        ("POST", f"{root}/frq", "FlowReservationRequest", wanted),
        ("PUT", f"{root}/frq/{held.pk}", "FlowReservationRequest", wanted),
        ("POST", f"{root}/lel", "LogEvent", event),
    ]
    price = f"{root}/tp/{tariff.pk}/rc/{prices[0].component_id}/tti/{prices[0].pk}"
    paths = [f"{root}/derp/{program.pk}/derc?s=0&l=5&a=7", f"{price}/cti/1", f"/v1.3{root}/tp/{tariff.pk}/ctti?s=0&l=9",
             f"/us{root}/derp/{program.pk}/dc/1", "/.well-known/csipaus", f"{root}/fsa?s=0&l=9", f"/us{root}/derp?s=0&l=9",
             f"{root}/frp?s=0&l=2", f"{root}/lel?s=0&l=5&a=9", mup, root]  # fmt: skip
    asked = [(LFDI, method, path, xml.document(kind, content)) for method, path, kind, content in writes]
    asked.append((AGGREGATOR, "POST", f"/edev/{own.pk}/sub", xml.document("Subscription", wish)))
    asked.append((AGGREGATOR, "POST", "/mup", xml.document("MirrorUsagePoint", point | {"deviceLFDI": "7" * 40})))
    return (
        asked
        + [(LFDI, "GET", path, "") for path in paths]
        + [(LFDI, "HEAD", root, ""), (AGGREGATOR, "GET", "/edev?l=5", "")]
    )


def run(count: int, seed: int) -> int:
    """Set the database up, then throw."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    from telemetry import utility_models as models
    from telemetry.protocols.ieee2030_5.handlers import Request, handle

    call_command("migrate", verbosity=0)
    if models.EndDevice.objects.exists():
        print("this database is not empty: nothing was thrown")
        return 1
    tables: list[Any] = [models.MeterValue, models.MeterStream, models.UsagePoint, models.Posted, models.ControlResponse,
                         models.FlowReservation, models.WireSubscription, models.EndDevice]  # fmt: skip

    def held() -> list[int]:
        return [table.objects.count() for table in tables]

    asked = world(int(datetime.now(UTC).timestamp()))
    before, chance = held(), random.Random(seed)
    seen = dict[int, int]()
    for number in range(count):
        lfdi, method, path, document = chance.choice(asked)
        path, _, query = path.partition("?")
        body = document.encode()
        if body:
            body = misstate(chance, document).encode() if chance.random() < 0.6 else mutate(chance, body)
        if chance.random() < (0.1 if body else 0.7):
            path = mutate(chance, path.encode()).decode("latin-1")
            query = mutate(chance, query.encode()).decode("latin-1")
        request = Request(method, path, lfdi, datetime.now(UTC), query, body)
        why = ""
        with transaction.atomic():
            try:
                answer = handle(request)
            except Exception:
                print(f"seed {seed}, number {number}: {request}")
                raise
            if answer.status not in LAWFUL:
                why = "an unlawful answer"
            elif answer.status >= 400 and method != "GET" and held() != before:
                why = "refused, and yet something was written"
            elif answer.body.startswith("<"):
                etree.fromstring(answer.body.encode())
            transaction.set_rollback(True)
        seen[answer.status] = seen.get(answer.status, 0) + 1
        if why:
            print(f"seed {seed}, number {number}: {why}: {answer.status} for {request}")
            return 1
    print(f"seed {seed}: {count} requests, answers {dict(sorted(seen.items()))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
