"""The engine's port and the listener say the same: a grant is served, confirmed, superseded, and not served when old."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import connection
from lxml import etree

from derms.clock import VirtualClock
from derms.errors import RemoteError
from derms.limits import Limit
from telemetry import utility_services as services
from telemetry.control.grant import Grant, Outcome, Reason
from telemetry.protocols.ieee2030_5 import codec, outbox, xml
from telemetry.protocols.ieee2030_5.directory import RememberingDirectory
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.utility_models import (
    Control,
    EndDevice,
    MeterStream,
    MeterValue,
    UsagePoint,
    WireNotification,
    WireSubscription,
)

pytestmark = pytest.mark.django_db
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
FAILSAFE = Limit(5_000, 2_000)
WIRES = [Limit(0, 0), Limit(60_000, 60_000), Limit(33_333, 44_444), Limit(5_001, 59_999), Limit(123_456, 2_000_000_000)]


def _grant(limit: Limit, number: int) -> Grant:
    return Grant("depot", limit, 1, number, 0.0, 60.0, None, Reason("thermal", "line.head", 1.0, "1-1"))


def _ask(path: str, clock: VirtualClock, method: str = "GET", body: str = "", lfdi: str = LFDI) -> etree._Element | None:
    path, _, query = path.partition("?")
    answer = handle(Request(method, path, lfdi, clock.now(), query, body.encode()))
    assert answer.status in (200, 201), (path, answer)
    return etree.fromstring(answer.body) if answer.body else None


def _site() -> tuple[UtilitySite, VirtualClock, EndDevice]:
    clock = VirtualClock(datetime.fromtimestamp(int(time.time()), UTC))
    now = int(clock.now().timestamp())
    device = services.register_device(LFDI, aggregator=None, now=now, site="depot")
    return UtilitySite("depot", FAILSAFE, clock, pen=1), clock, device


def _limit(control: etree._Element) -> Limit:
    base = control.find("{*}DERControlBase")
    power = {item.tag.split("}")[1]: {part.tag.split("}")[1]: int(part.text) for part in item} for item in base}
    return codec.limit_of(power)


def test_every_grant_reads_back_as_its_limit_never_looser() -> None:
    site, clock, device = _site()
    async_to_sync(site.begin)()
    program = device.programs.get()
    root = f"/edev/{device.pk}/derp/{program.pk}"
    assert _limit(_ask(f"{root}/dderc", clock)) == FAILSAFE
    for number, limit in enumerate(WIRES, start=1):
        clock.advance(2.0)
        assert async_to_sync(site.publish)(_grant(limit, number)).outcome is Outcome.UNKNOWN
        served = _limit(_ask(f"{root}/actderc?l=9", clock)[0])
        assert served.within(limit)
        assert limit.import_w - served.import_w <= limit.import_w // 3276
        assert len(_ask(f"{root}/actderc?l=9", clock)) == 1
    assert len(_ask(f"{root}/derc?l=9", clock)) == len(WIRES)  # superseded ones stay until their original end


def test_readings_and_answers_reach_the_engine() -> None:
    site, clock, device = _site()
    with pytest.raises(RemoteError):
        async_to_sync(site.read)()
    start = int(clock.now().timestamp()) - 60
    kind = {"uom": 38, "flowDirection": 1, "powerOfTenMultiplier": 1}
    reading = {
        "mRID": "A" * 32,
        "ReadingType": kind,
        "Reading": {"value": 4100, "timePeriod": {"start": start, "duration": 60}},
    }
    point = {"mRID": "B" * 32, "roleFlags": "03", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": LFDI,
             "MirrorMeterReading": [reading]}  # fmt: skip
    _ask("/mup", clock, "POST", xml.document("MirrorUsagePoint", point))
    clock.advance(1.0)  # the control room looks once a second at most
    found = async_to_sync(site.read)()
    assert (found.power_w, found.in_failsafe, found.limit_in_force) == (41_000.0, True, FAILSAFE)
    async_to_sync(site.publish)(_grant(Limit(33_333, 44_444), 3))
    control = device.controls.get()
    answer = {"endDeviceLFDI": LFDI, "status": 2, "subject": control.mrid}
    _ask(f"/edev/{device.pk}/rsps/1/rsp", clock, "POST", xml.document("DERControlResponse", answer))
    clock.advance(1.0)
    found = async_to_sync(site.read)()
    assert (found.in_failsafe, found.epoch, found.sequence) == (False, 1, 3)
    assert found.limit_in_force == Limit(33_330, 44_440)
    clock.advance(61.0)
    with pytest.raises(RemoteError):  # an old reading is silence
        async_to_sync(site.read)()
    later = reading["Reading"] | {"timePeriod": {"start": start + 60, "duration": 60}}
    point["MirrorMeterReading"] = [reading | {"Reading": later}]
    _ask("/mup", clock, "POST", xml.document("MirrorUsagePoint", point))
    clock.advance(1.0)
    assert async_to_sync(site.read)().in_failsafe  # the lease is over


def test_grants_that_nobody_renews_are_not_served_as_current() -> None:
    site, clock, device = _site()
    async_to_sync(site.publish)(_grant(Limit(9_000, 9_000), 1))
    href = f"/edev/{device.pk}/derp/{device.programs.get().pk}/derc"
    assert len(_ask(href, clock)) == 1
    clock.advance(41.0)
    assert len(_ask(href, clock)) == 0


def test_a_device_that_is_not_there_is_a_remote_error() -> None:
    site, _, device = _site()
    device.delete()
    with pytest.raises(RemoteError):
        async_to_sync(site.publish)(_grant(Limit(1, 1), 1))


def test_notifications_wait_in_order_until_the_far_end_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _, clock, _ = _site()
    now = int(clock.now().timestamp())
    owner = services.know_identity("A" * 40, "aggregator", ["hooks.example"], now)
    own = EndDevice.objects.get(lfdi=owner.lfdi)
    wanted = {
        "subscribedResource": "/edev",
        "encoding": 0,
        "level": "+S1",
        "limit": 9,
        "notificationURI": "https://hooks.example/a",
    }
    body = xml.document("Subscription", wanted)
    answer = handle(Request("POST", f"/edev/{own.pk}/sub", owner.lfdi, clock.now(), "", body.encode()))
    assert answer.status == 201
    for uri in ("https://elsewhere.example/a", "http://hooks.example/a", "https://hooks.example@evil.example/",
                "https://[::1/", "https://hooks.example:99999/", "https://hooks.example:0/", "https://hooks.example/a b",
                "https://hooks.example/\u00e9"):  # fmt: skip
        bad = xml.document("Subscription", wanted | {"notificationURI": uri}).encode()
        assert handle(Request("POST", f"/edev/{own.pk}/sub", owner.lfdi, clock.now(), "", bad)).status == 400
    assert outbox.enqueue(["/edev"], now) == 1 and outbox.enqueue(["/edev"], now) == 1
    monkeypatch.setattr(outbox, "send", lambda row, line: "503")
    elapsed = 0
    while elapsed < 300:
        outbox.deliver(now + elapsed)
        elapsed += 5
    assert WireNotification.objects.filter(done=False).count() == 2
    sent: list[int] = []
    monkeypatch.setattr(outbox, "send", lambda row, line: (sent.append(row.pk), "204")[1])
    outbox.deliver(now + 400)
    assert sent == sorted(sent) and len(sent) == 2 and not WireNotification.objects.filter(done=False).exists()
    assert 'xsi:type="EndDeviceList"' in WireNotification.objects.first().body


def test_plain_csip_reads_the_export_limit_in_percent_rounded_down() -> None:
    site, clock, device = _site()
    settings = {"setGradW": 100, "setMaxW": {"multiplier": 0, "value": 30_000}, "updatedTime": 5}
    _ask(f"/edev/{device.pk}/der/1/derg", clock, "PUT", xml.document("DERSettings", settings))
    async_to_sync(site.publish)(_grant(Limit(1, 9_999), 1))
    control = _ask(f"/us/edev/{device.pk}/derp/{device.programs.get().pk}/derc", clock)[0]
    assert control.findtext(".//{*}opModMaxLimW") == "3333"  # 9,999 W of 30,000 W


def test_the_command_registers_and_a_revoked_certificate_is_refused() -> None:
    clock = VirtualClock(datetime.now(UTC))
    call_command("utility_device", "add", "B" * 40, "--site", "depot")
    _ask("/dcap", clock, lfdi="B" * 40)
    call_command("utility_device", "revoke", "B" * 40)
    assert handle(Request("GET", "/dcap", "B" * 40, clock.now())).status == 403
    call_command("utility_device", "restore", "B" * 40)
    _ask("/dcap", clock, lfdi="B" * 40)
    assert handle(Request("GET", "/dcap", "C" * 40, clock.now())).status == 403


STATEMENTS = {
    "/dcap": 1, "/tm": 0, "/edev?l=9": 1, "{root}": 1, "{root}/fsa?l=9": 2, "{derc}?l=48": 2, "{derc}?s=10&l=10": 2,
    "{root}/der/1": 1, "/mup?l=9": 2,
}  # fmt: skip


def test_a_request_costs_one_or_two_statements(django_assert_num_queries: Any) -> None:
    """As the listener asks: it remembers who is welcome, and the rates."""
    _, clock, device = _site()
    program, now = services.program_of(device, 1), int(clock.now().timestamp())
    for number in range(48):
        start = now + 300 * number
        services.create_control(program, {"opModImpLimW": 5}, start=start, duration=300, now=now, pen=1)
    root, directory = f"/edev/{device.pk}", RememberingDirectory()
    kinds = [{"mRID": letter * 32, "ReadingType": {"uom": 38}} for letter in "ABCD"]
    point = {"mRID": "B" * 32, "roleFlags": "03", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": LFDI,
             "MirrorMeterReading": kinds}  # fmt: skip
    _ask("/mup", clock, "POST", xml.document("MirrorUsagePoint", point))
    directory.identity(LFDI)
    directory.rate("EndDeviceList")
    for path, wanted in STATEMENTS.items():
        where, _, query = path.format(root=root, derc=f"{root}/derp/{program.pk}/derc").partition("?")
        with django_assert_num_queries(wanted):
            assert handle(Request("GET", where, LFDI, clock.now(), query), directory).status == 200, path
    items = [
        {"mRID": kind["mRID"], "Reading": {"value": 5, "timePeriod": {"start": now, "duration": 60}}} for kind in kinds
    ]
    body = xml.document("MirrorMeterReadingList", {"all": 4, "results": 4, "MirrorMeterReading": items}).encode()
    place = Request("POST", f"/mup/{UsagePoint.objects.get().pk}", LFDI, clock.now(), "", body)
    # PostgreSQL does it all in one statement; SQLite reads and writes twice, within a savepoint of the test's transaction.
    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 5):
        assert handle(place, directory).status == 201
    stream = MeterStream.objects.get(mrid="A" * 32)
    assert (stream.last_value, stream.last_start, stream.last_duration, stream.last_at) == (5, now, 60, now)
    assert MeterValue.objects.filter(start=now, value=5, duration=60, at=now).count() == 4
    full = _ask(f"{root}/derp/{program.pk}/derc?l=48", clock)
    made = [int(item.findtext("{*}creationTime")) for item in full]
    assert len(full) == 48 and len(set(made)) == 48


def test_a_device_stands_in_fifteen_groups_and_the_nearest_wins() -> None:
    clock = VirtualClock(datetime.fromtimestamp(int(time.time()), UTC))
    extra = [item for number in range(8) for item in ("--group", f"Tariff {number}")]
    call_command("utility_device", "add", LFDI, "--topology", *extra)
    device = EndDevice.objects.get(lfdi=LFDI)
    found = _ask(f"/us/edev/{device.pk}/derp?l=20", clock)
    primacies = [int(item.findtext("{*}primacy")) for item in found]
    assert len(found) == 15 and primacies == sorted(set(primacies))
    assert found[-1].findtext("{*}description") == "System"
    now = int(clock.now().timestamp())
    system, nearest = device.programs.last(), device.programs.first()
    wide = services.create_control(system, {"opModExpLimW": 9}, start=now, duration=60, now=now, pen=1)
    services.create_control(nearest, {"opModConnect": True}, start=now, duration=60, now=now, pen=1)
    wide.refresh_from_db()
    assert wide.superseded is None  # another mode is independent
    services.create_control(nearest, {"opModExpLimW": 5}, start=now, duration=60, now=now, pen=1)
    wide.refresh_from_db()
    assert wide.superseded == now
    later = services.create_control(system, {"opModExpLimW": 7}, start=now, duration=60, now=now, pen=1)
    assert later.superseded == now  # the nearer group has spoken already


def test_a_scheduled_control_is_superseded_as_soon_as_the_one_that_outlasts_its_start_is_active() -> None:
    _, clock, device = _site()
    program, now = services.program_of(device, 1), int(clock.now().timestamp())
    later = services.create_control(program, {"opModExpLimW": 9}, start=now + 600, duration=8, now=now, pen=1)
    services.create_control(program, {"opModExpLimW": 0}, start=now - 1, duration=700, now=now, pen=1)
    listed = _ask(f"/edev/{device.pk}/derp/{program.pk}/derc?l=9", clock)
    states = {item.findtext("{*}mRID"): item.findtext(".//{*}currentStatus") for item in listed}
    assert states.pop(later.mrid) == "4" and set(states.values()) == {"1"}


def test_a_grant_that_is_not_newer_than_the_last_changes_nothing() -> None:
    site, clock, device = _site()
    assert async_to_sync(site.publish)(_grant(Limit(50_000, 0), 7)).outcome is Outcome.UNKNOWN
    clock.advance(5.0)
    before = list(Control.objects.values())
    for epoch, number in ((1, 7), (1, 6), (0, 99)):  # repeated, late, of a leader before
        grant = Grant("depot", Limit(60_000, 0), epoch, number, 0.0, 60.0, None, Reason("thermal", "x", 1.0, "1-1"))
        assert async_to_sync(site.publish)(grant).outcome is Outcome.REFUSED
        assert list(Control.objects.values()) == before
    async_to_sync(site.withdraw)()
    grant = Grant("depot", Limit(60_000, 0), 1, 6, 0.0, 60.0, None, Reason("thermal", "x", 1.0, "1-1"))
    assert async_to_sync(site.publish)(grant).outcome is Outcome.REFUSED, "nor when nothing runs any more"
    listed = _ask(f"/edev/{device.pk}/derp/{device.programs.get().pk}/derc?l=9", clock)
    assert [item.findtext(".//{*}currentStatus") for item in listed] == ["2"]
    newer = Grant("depot", Limit(60_000, 0), 2, 1, 0.0, 60.0, None, Reason("thermal", "x", 1.0, "2-1"))
    assert async_to_sync(site.publish)(newer).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("ttl_s", [901.0, 3_600.0, 86_400.0])
def test_however_long_the_lease_three_events_are_served_and_their_far_end_is_the_failsafe(ttl_s: float) -> None:
    _, clock, _device = _site()
    now = int(clock.now().timestamp())
    grant = Grant("depot", Limit(60_000, 0), 1, 1, 0.0, ttl_s, None, Reason("thermal", "x", 1.0, "1-1"))
    rows = services.lend(grant, now=now, pen=1)
    assert [(row.start - now, row.duration) for row in rows] == [(0, 300), (300, 300), (600, 300)]


def test_subscribers_hear_of_a_failsafe_that_changed_and_only_of_one_that_did() -> None:
    site, clock, device = _site()
    owner = services.know_identity("A" * 40, "aggregator", ["hooks.example"])
    EndDevice.objects.filter(pk=device.pk).update(aggregator=owner)
    own = EndDevice.objects.get(own=True)

    def subscribe(resource: str) -> None:
        WireSubscription.objects.create(owner=own, resource=resource, uri="https://hooks.example/", limit=9, profile="csip")

    def told() -> list[str]:
        found = list(WireNotification.objects.order_by("pk").values_list("subscription__resource", flat=True))
        WireNotification.objects.all().delete()
        return found

    root = f"/edev/{device.pk}"
    subscribe(f"{root}/fsa")
    async_to_sync(site.begin)()
    assert told() == [f"{root}/fsa"], "its program is there for the first time"
    default = f"{root}/derp/{device.programs.get().pk}/dderc"
    subscribe(default)
    async_to_sync(site.begin)()
    assert told() == []
    async_to_sync(UtilitySite("depot", Limit(4_000, 2_000), clock, pen=1).begin)()
    assert told() == [default]
