"""A faithful part of the conformance procedures (cactus S-ALL-nn), without the kit: same set-up calls, same checks.

`make conformance` runs all 61 with the kit. Here each test names the procedures whose checks it repeats.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from lxml import etree

from telemetry.protocols.ieee2030_5 import codec, outbox, xml
from telemetry.protocols.ieee2030_5.handlers import Answer, Request, handle
from telemetry.protocols.ieee2030_5.test_api import act
from telemetry.utility_models import WireNotification

pytestmark = pytest.mark.django_db
DEVICE, OTHER, AGGREGATOR = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5", "B" * 40, "C" * 40
NOW = int(time.time())
CLIENTS = [
    {"type": "device", "cert_lfdi": DEVICE, "pin": 111115},
    {"type": "device", "cert_lfdi": OTHER},
    {"type": "aggregator", "cert_lfdi": AGGREGATOR},
]


class Bench:
    """The kit's two hands: set-up calls and a client."""

    def __init__(self) -> None:
        self.now = NOW
        self.set("POST", "reset", clients=CLIENTS, notification_uri="https://hooks.example/x")

    def set(self, method: str, path: str, **body: Any) -> None:
        asked = {"scope": [body.pop("scope")]} if "scope" in body else {}
        outbox.enqueue(act(method, f"/{path}", asked, body, self.now), self.now)

    def register(self, lfdi: str = DEVICE, client: int = 0) -> str:
        self.set("PUT", f"end-devices/{lfdi}", client=CLIENTS[client])
        return self.own(lfdi, CLIENTS[client]["cert_lfdi"]).get("href")

    def ask(self, method: str, path: str, body: str = "", lfdi: str = DEVICE) -> Answer:
        path, _, query = path.partition("?")
        return handle(Request(method, path, lfdi, datetime.fromtimestamp(self.now, UTC), query, body.encode()))

    def get(self, path: str, lfdi: str = DEVICE) -> etree._Element:
        answer = self.ask("GET", path, lfdi=lfdi)
        assert answer.status == 200, (path, answer)
        return etree.fromstring(answer.body.encode())

    def pages(self, path: str, lfdi: str = DEVICE, limit: int = 3) -> list[etree._Element]:
        """Ask on, page by page, until one is empty; `all` must not change meanwhile and `results` be exact."""
        found, totals = [], set()
        while True:
            page = self.get(f"{path}?s={len(found)}&l={limit}", lfdi)
            totals.add(page.get("all"))
            assert int(page.get("results")) == len(page)
            if not len(page):
                assert totals == {str(len(found))}
                return found
            found += list(page)

    def own(self, lfdi: str = DEVICE, who: str = DEVICE) -> etree._Element:
        return next(item for item in self.pages("/edev", who) if item.findtext("{*}lFDI") == lfdi)

    def programs(self, lfdi: str = DEVICE, who: str = DEVICE) -> list[etree._Element]:
        groups = self.pages(self.own(lfdi, who).find("{*}FunctionSetAssignmentsListLink").get("href"), who)
        return [item for group in groups for item in self.pages(group.find("{*}DERProgramListLink").get("href"), who)]

    def controls(self, which: int = 0) -> list[etree._Element]:
        return self.pages(self.programs()[which].find("{*}DERControlListLink").get("href"))

    def answer(self, control: etree._Element, status: int, **changes: Any) -> int:
        body = {"createdDateTime": self.now, "endDeviceLFDI": DEVICE, "status": status,
                "subject": control.findtext("{*}mRID")} | changes  # fmt: skip
        return self.ask("POST", control.get("replyTo"), xml.document("DERControlResponse", body)).status


@pytest.fixture
def bench(settings: Any) -> Bench:
    settings.UTILITY_TEST_API = settings.UTILITY_IN_BAND = True
    return Bench()


def states(rows: list[etree._Element]) -> list[str]:
    return [row.findtext("{*}EventStatus/{*}currentStatus") for row in rows]


def edev(lfdi: str, sfdi: int | None = None) -> str:
    return xml.document("EndDevice", {"lFDI": lfdi, "sFDI": sfdi or codec.sfdi_of(lfdi), "changedTime": NOW})


def test_s_all_01_to_03_51_56_registration(bench: Bench) -> None:
    dcap = bench.get("/dcap")
    assert all(
        dcap.find(f"{{*}}{name}") is not None for name in ("TimeLink", "EndDeviceListLink", "MirrorUsagePointListLink")
    )
    assert bench.pages("/edev") == []
    assert bench.ask("POST", "/edev", edev(OTHER)).status == 403, "a device may register itself only"
    made = bench.ask("POST", "/edev", edev(DEVICE))
    assert made.status == 201 and bench.get(made.headers["Location"]).findtext("{*}lFDI") == DEVICE
    assert bench.ask("POST", "/edev", edev(DEVICE)).status == 409
    for wrong in ("ZZZZZZZZZZZZZZZZ", "12", DEVICE + "00"):
        body = edev(DEVICE).replace(DEVICE, wrong)
        assert bench.ask("POST", "/edev", body).status == 400 == bench.ask("POST", "/edev", body, AGGREGATOR).status
    assert bench.ask("POST", "/edev", edev(DEVICE, 7)).status == 400
    assert bench.ask("POST", "/edev", edev("D" * 40), AGGREGATOR).status == 201
    assert [row.findtext("{*}lFDI") for row in bench.pages("/edev", AGGREGATOR)] == [AGGREGATOR, "D" * 40]
    device = bench.own()
    assert device.find("{*}ConnectionPointLink") is not None and device.find("{*}RegistrationLink") is not None
    ders = bench.pages(device.find("{*}DERListLink").get("href"))
    assert len(ders) == 1 and ders[0].find("{*}DERSettingsLink") is not None


def test_s_all_04_05_52_isolation_and_revoked_access(bench: Bench) -> None:
    bench.register()
    bench.register(OTHER, 1)
    bench.set("PUT", f"end-devices/{DEVICE}/default-control", primacy=1, opModExpLimW=5)
    root = bench.own().get("href")
    for path in (root, f"{root}/der/1/ders", f"{root}/fsa", bench.programs()[0].find("{*}DERControlListLink").get("href")):
        assert bench.ask("GET", path, lfdi=OTHER).status == 404
    bench.set("PUT", f"clients/{DEVICE}/access", granted=False, client=CLIENTS[0])
    assert bench.ask("GET", "/edev").status == 403
    bench.set("PUT", f"clients/{DEVICE}/access", granted=True, client=CLIENTS[0])
    assert bench.ask("GET", "/edev").status == 200


def test_s_all_06_07_47_opt_05_metering(bench: Bench) -> None:
    bench.register()
    bench.register(OTHER, 1)
    kind = {"uom": 38, "powerOfTenMultiplier": 3, "flowDirection": 1}
    point = {"mRID": "A" * 32, "roleFlags": "0003", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": DEVICE,
             "MirrorMeterReading": [{"mRID": "E" * 32, "ReadingType": kind}]}  # fmt: skip
    made = bench.ask("POST", "/mup", xml.document("MirrorUsagePoint", point))
    assert made.status == 201
    again = point | {"roleFlags": "0049", "MirrorMeterReading": [{"mRID": "E" * 32, "ReadingType": kind | {"uom": 63}}]}
    assert bench.ask("POST", "/mup", xml.document("MirrorUsagePoint", again)).headers == made.headers
    (held,) = bench.pages("/mup")
    assert held.findtext("{*}roleFlags") == "0049" and held.findtext(".//{*}uom") == "63"
    assert held.findtext(".//{*}powerOfTenMultiplier") == "3"
    foreign = xml.document("MirrorUsagePoint", point | {"deviceLFDI": OTHER})
    assert bench.ask("POST", "/mup", foreign, OTHER).status == 409
    bench.set("PUT", "post-rates/MirrorUsagePoint", seconds=300)
    assert bench.pages("/mup")[0].findtext("{*}postRate") == "300"


def test_s_all_08_to_10_55_der_resources_are_read_back(bench: Bench) -> None:
    root = f"{bench.register()}/der/1"
    power = {"multiplier": 1, "value": 600}
    sent = {
        "ders": ("DERStatus", {"readingTime": NOW, "genConnectStatus": {"dateTime": NOW, "value": "07"}}),
        "dercap": ("DERCapability", {"modesSupported": "500040", "rtgMaxW": power, "type": 4, "doeModesSupported": "0F"}),
        "derg": ("DERSettings", {"setGradW": 27, "setMaxW": power, "updatedTime": NOW, "doeModesEnabled": "0F"}),
    }
    for part, (kind, value) in sent.items():
        assert bench.ask("PUT", f"{root}/{part}", xml.document(kind, value)).status == 201
        assert xml.parse(bench.ask("GET", f"{root}/{part}").body.encode(), kind)[1].items() >= value.items()
    malformed = xml.document("DERSettings", {"setGradW": 99, "setMaxW": power})
    assert bench.ask("PUT", f"{root}/derg", malformed).status == 400
    assert bench.get(f"{root}/derg").findtext("{*}setGradW") == "27"


LIMITS = ["opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW"]


@pytest.mark.parametrize("name", [*LIMITS, "opModEnergize", "opModConnect"])
def test_s_all_11_to_24_48_active_controls_and_defaults(bench: Bench, name: str) -> None:
    bench.register()
    value: Any = False if name in ("opModEnergize", "opModConnect") else 100_000
    bench.set("PUT", f"end-devices/{DEVICE}/default-control", primacy=1, setGradW=27, **{name: value})
    bench.set("POST", f"end-devices/{DEVICE}/controls", status="active", primacy=1, rampTms=200, duration_seconds=60,
              **{name: value})  # fmt: skip
    default = bench.get(bench.programs()[0].find("{*}DefaultDERControlLink").get("href"))
    assert default.findtext("{*}setGradW") == "27"
    (control,) = bench.controls()
    assert states([control]) == ["1"] and control.findtext(".//{*}rampTms") == "200"
    for shown in (default, control):
        found = shown.find(f".//{{*}}{name}")
        if value is False:
            assert found.text == "false"
        else:
            assert int(found.findtext("{*}value")) * 10 ** int(found.findtext("{*}multiplier")) == 100_000
            assert int(found.findtext("{*}value")) <= 32_767, "S-ALL-47: the multiplier makes it fit"


@pytest.mark.parametrize("resource", ["edev", "fsa", "derp", "derc", "dderc"])
def test_s_all_25_to_40_46_subscriptions(bench: Bench, resource: str) -> None:
    bench.register("D" * 40, 2)
    bench.set("PUT", f"end-devices/{'D' * 40}/default-control", primacy=1, opModExpLimW=5)
    device, program = bench.own("D" * 40, AGGREGATOR), bench.programs("D" * 40, AGGREGATOR)[0]
    href = {
        "edev": "/edev", "fsa": device.find("{*}FunctionSetAssignmentsListLink").get("href"),
        "derp": f"{device.get('href')}/derp", "derc": program.find("{*}DERControlListLink").get("href"),
        "dderc": program.find("{*}DefaultDERControlLink").get("href"),
    }[resource]  # fmt: skip
    own = bench.own(AGGREGATOR, AGGREGATOR)
    place = own.find("{*}SubscriptionListLink").get("href")
    wanted = {
        "subscribedResource": href,
        "encoding": 0,
        "level": "+S1",
        "limit": 10,
        "notificationURI": "https://hooks.example/x",
    }
    made = bench.ask("POST", place, xml.document("Subscription", wanted), AGGREGATOR)
    assert made.status == 201
    assert bench.ask("POST", place, xml.document("Subscription", wanted), AGGREGATOR).headers == made.headers
    assert bench.get(made.headers["Location"], AGGREGATOR).findtext("{*}subscribedResource") == href
    match resource:
        case "edev":
            bench.register("F" * 40, 2)
        case "fsa":
            bench.set("PUT", f"end-devices/{'D' * 40}/fsas/more", primacy=3)
        case "derp":
            bench.set("PUT", f"end-devices/{'D' * 40}/fsas/more/programs", primacy=4)
        case "derc":
            bench.set("POST", f"end-devices/{'D' * 40}/controls", status="active", primacy=1, opModExpLimW=7)
        case _:
            bench.set("PUT", f"end-devices/{'D' * 40}/default-control", primacy=1, opModExpLimW=9)
    told = etree.fromstring(WireNotification.objects.get().body.encode())
    kind = told.find("{*}Resource").get("{http://www.w3.org/2001/XMLSchema-instance}type")
    assert told.findtext("{*}subscribedResource") == href and told.findtext("{*}status") == "0"
    assert etree.QName(bench.get(f"{href}?l=9", AGGREGATOR)).localname == kind
    assert bench.ask("DELETE", made.headers["Location"], lfdi=AGGREGATOR).status == 204
    assert bench.ask("GET", made.headers["Location"], lfdi=AGGREGATOR).status == 404


def test_s_all_41_42_57_responses_cancelled_superseded_completed(bench: Bench) -> None:
    bench.register()
    common = {"primacy": 1, "opModExpLimW": 7, "duration_seconds": 60}
    bench.set("POST", f"end-devices/{DEVICE}/controls", status="active", **common)
    (control,) = bench.controls()
    assert control.get("responseRequired") == "03"
    assert [bench.answer(control, status) for status in (1, 2, 3, 6, 7)] == [201] * 5
    assert bench.answer(control, 15) == 400
    assert bench.answer(control, 1, endDeviceLFDI=OTHER) == 400
    assert bench.answer(control, 1, subject="0" * 32) == 400
    bench.now += 5
    bench.set("POST", f"end-devices/{DEVICE}/controls", status="active", **common)
    assert sorted(states(bench.controls())) == ["1", "4"]
    bench.set("DELETE", f"end-devices/{DEVICE}/controls", scope="all")
    assert sorted(states(bench.controls())) == ["2", "4"]
    bench.now += 30
    assert len(bench.controls()) == 2, "cancelled ones stay visible"
    bench.now += 60
    assert bench.controls() == [], "completed ones leave"


def test_s_all_43_poll_rates(bench: Bench) -> None:
    root = bench.register()
    for name, path in (("DeviceCapability", "/dcap"), ("EndDeviceList", "/edev"), ("DERProgramList", f"{root}/derp"),
                       ("FunctionSetAssignmentsList", f"{root}/fsa"), ("DERList", f"{root}/der"),
                       ("MirrorUsagePointList", "/mup")):  # fmt: skip
        bench.set("PUT", f"poll-rates/{name}", seconds=77)
        assert bench.get(path).get("pollRate") == "77", name


def test_s_all_44_45_twenty_four_controls_by_pages_and_randomized(bench: Bench) -> None:
    bench.register()
    for _ in range(24):
        bench.set("POST", f"end-devices/{DEVICE}/controls", status="scheduled", primacy=1, opModExpLimW=5,
                  duration_seconds=300, randomizeStart_seconds=60)  # fmt: skip
    path = bench.programs()[0].find("{*}DERControlListLink").get("href")
    rows = bench.pages(path, limit=10)
    starts = [int(row.findtext("{*}interval/{*}start")) for row in rows]
    assert len(rows) == 24 and starts == sorted(starts) and set(states(rows)) == {"0"}
    assert {row.findtext("{*}randomizeStart") for row in rows} == {"60"}
    bench.set("POST", f"end-devices/{DEVICE}/controls", status="active", primacy=1, opModConnect=True, duration_seconds=60,
              randomizeDuration_seconds=-30)  # fmt: skip
    (running,) = [row for row in bench.pages(path, limit=10) if row.findtext("{*}EventStatus/{*}currentStatus") == "1"]
    assert running.findtext("{*}randomizeDuration") == "-30" and running.find("{*}randomizeStart") is None
    bench.set("DELETE", f"end-devices/{DEVICE}/controls", scope="latest")
    assert "3" in states(bench.pages(path, limit=10)), "cancelled with randomization, if only of its duration"


def test_s_all_49_two_assignments_in_order_of_primacy(bench: Bench) -> None:
    bench.register()
    for primacy in (2, 1):
        bench.set("PUT", f"end-devices/{DEVICE}/fsas/fsa{primacy}", primacy=primacy)
        bench.set("PUT", f"end-devices/{DEVICE}/fsas/fsa{primacy}/programs", primacy=primacy)
    bench.set("PUT", f"end-devices/{DEVICE}/default-control", primacy=1, opModExpLimW=5)
    bench.set("POST", f"end-devices/{DEVICE}/controls", status="active", primacy=2, opModExpLimW=9)
    assert [item.findtext("{*}primacy") for item in bench.programs()] == ["1", "2"]
    assert bench.controls(0) == [] and len(bench.controls(1)) == 1


def test_s_all_53_opt_02_03_04_connection_point_and_pin(bench: Bench) -> None:
    place = bench.register() + "/cp"
    for wrong in ("", "O123456789", "x" * 33):
        body = f'<ConnectionPoint xmlns="https://csipaus.org/ns"><connectionPointId>{wrong}</connectionPointId></ConnectionPoint>'
        refused = bench.ask("PUT", place, body)
        assert refused.status == 400
    assert etree.fromstring(refused.body.encode()).tag.endswith("Error")
    refused = bench.ask("PUT", place, xml.document("ConnectionPoint", {"connectionPointId": "O123456789"}))
    assert etree.fromstring(refused.body.encode()).findtext("{*}reasonCode") == "1"
    assert bench.ask("PUT", place, xml.document("ConnectionPoint", {"connectionPointId": "6203A12345"})).status == 201
    assert bench.get(place).findtext("{*}connectionPointId") == "6203A12345"
    assert bench.get(bench.own().find("{*}RegistrationLink").get("href")).findtext("{*}pIN") == "111115"
