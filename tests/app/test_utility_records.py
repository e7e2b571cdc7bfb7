"""What people see of the utility server: devices, their certificates and answers, the log of notifications; and alarms."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from django.core.management import CommandError, call_command
from django.db.models import Q

from derms.errors import Conflict, InputError, NotFound
from derms.limits import Limit
from telemetry import utility_meters as meters
from telemetry import utility_queries as queries
from telemetry import utility_services as services
from telemetry.control.grant import Grant, Reason
from telemetry.models import SiteEndpoint
from telemetry.protocols.ieee2030_5 import outbox, pki
from telemetry.utility_models import PriceInterval, WireIdentity, WireNotification, WireSubscription

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


def pem(days: float, name: str = "") -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else [])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(NOW - timedelta(days=400)).not_valid_after(NOW + timedelta(days=days))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_a_device_is_registered_by_its_certificate_and_its_page_says_all(tmp_path: Path) -> None:
    index = pki.make(tmp_path / "pki", hosts=["localhost"], devices=1, aggregators=0, pen=12345, now=NOW)
    text = (tmp_path / "pki/device1-chain.pem").read_text()
    device = services.enrol(text, now=SECONDS, site="depot", name="Depot gateway", groups=services.TOPOLOGY)
    assert device.lfdi == index["device1"]["lfdi"]
    assert SiteEndpoint.objects.get(site="depot").protocol == "ieee2030_5"
    services.lend(Grant("depot", Limit(5_000, 4_000), 2, 9, 0.0, 60.0, None, Reason("", "", 1.0, "")), now=SECONDS, pen=1)
    control = device.controls.get()
    services.respond(device, {"subject": control.mrid, "endDeviceLFDI": device.lfdi, "status": 2}, SECONDS)
    services.report(device, "DERStatus", {"alarmStatus": "05", "readingTime": SECONDS}, SECONDS)
    services.log_event(device, {"logEventCode": 3, "createdDateTime": SECONDS})
    point = {"mRID": "B" * 32, "roleFlags": "03", "MirrorMeterReading": [
        {"mRID": "A" * 32, "ReadingType": {"uom": 38, "powerOfTenMultiplier": 1, "flowDirection": 19},
         "Reading": {"value": 410, "timePeriod": {"start": SECONDS - 60, "duration": 60}}}]}  # fmt: skip
    meters.mirror(device, point, Q(), 60, SECONDS)
    row = queries.device_list(NOW)[0]
    assert (row.site, row.role, row.name, row.power_w, row.power_at) == ("depot", "device", "Depot gateway", -4100.0, NOW)
    assert row.alarms == ("over current", "under voltage") and row.live_controls == 1 and row.expiry_step is None
    found = queries.device_detail(device.pk, NOW)
    assert found.certificate["hardware"] == "device1" and found.pin == device.pin
    assert [item["name"] for item in found.programs][-1] == "System" and len(found.programs) == 8
    assert found.controls[0]["state"] == "active" and found.controls[0]["answers"] == ["started"]
    assert found.controls[0]["order"] == (2, 9) and found.log[0]["logEventCode"] == 3
    assert found.readings[0]["value"] == -4100.0 and found.readings[0]["unit"] == "W"
    assert queries.device_detail(device.pk, NOW + timedelta(seconds=61)).controls[0]["state"] == "completed"
    with pytest.raises(NotFound):
        queries.device_detail(10_000, NOW)


def test_what_is_no_identity_a_second_time_and_an_unknown_aggregator_are_refused() -> None:
    services.enrol("B" * 40, now=SECONDS)
    for wrong, error in (("B" * 40, Conflict), ("B" * 39, InputError), ("-----BEGIN CERTIFICATE-----\nx", InputError)):
        with pytest.raises(error):
            services.enrol(wrong, now=SECONDS)
    with pytest.raises(NotFound):
        services.enrol("C" * 40, now=SECONDS, through="D" * 40)
    assert len(queries.device_list(NOW)) == 1, "a refusal changes nothing"


def test_a_certificate_is_announced_90_30_7_and_1_days_before_its_end_and_after_it() -> None:
    for days in (400, 91, 89, 29, 6, 0.5, -1):
        services.enrol(pem(days, f"{days}"), now=SECONDS)
    found = queries.certificate_alarms(NOW)
    assert [item.step_days for item in found] == [0, 1, 7, 30, 90]
    services.allow(found[0].lfdi, granted=False)
    assert len(queries.certificate_alarms(NOW)) == 4, "a revoked one alarms no more"


def test_device_certificates_of_the_standard_never_expire(tmp_path: Path) -> None:
    pki.make(tmp_path / "pki", hosts=["localhost"], devices=1, aggregators=0, pen=1, now=NOW)
    services.enrol((tmp_path / "pki/device1-chain.pem").read_text(), now=SECONDS)
    assert WireIdentity.objects.get().expires is None and queries.certificate_alarms(NOW) == []


def test_a_notification_is_sent_again_as_things_are_now_behind_what_waits() -> None:
    own = services.enrol("A" * 40, now=SECONDS, role="aggregator", hosts=["hooks.example"])
    wanted = WireSubscription.objects.create(
        owner=own, resource="/edev", uri="https://hooks.example/a", limit=9, profile="csip-aus 1.2"
    )
    assert outbox.enqueue(["/edev"], SECONDS) == 1
    first = WireNotification.objects.get()
    outbox.settle(first, "204", SECONDS + 1)
    services.enrol("B" * 40, now=SECONDS, through="A" * 40)
    again = services.resend(first.pk, NOW + timedelta(seconds=60))
    assert again.pk != first.pk and again.subscription == wanted and "B" * 40 in again.body
    log = queries.subscription_log()
    assert [row["state"] for row in log] == ["waiting", "waiting", "delivered"], "of the new device, and again"
    assert log[0]["id"] == again.pk and log[0]["subscriber"] == "A" * 40
    assert len(queries.subscription_log(waiting=True)) == 2
    with pytest.raises(NotFound):
        services.resend(10_000)


def test_the_commands_list_what_ends_and_publish_prices(tmp_path: Path, settings: Any, capsys: Any) -> None:
    call_command("utility_certificates")
    assert "no certificate ends" in capsys.readouterr().out
    own = tmp_path / "server.pem"
    key = pem((datetime.now(UTC) - NOW).days + 5)
    own.write_text(key)
    settings.UTILITY_CERT = str(own)
    with pytest.raises(SystemExit):
        call_command("utility_certificates", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["role"], row["step_days"]) == ("server", 7)
    assert [name for name, _ in queries.certificate_ends()] == ["IEEE 2030.5 listener"]
    device = services.enrol("B" * 40, now=SECONDS, site="depot", groups=["Feeder"])
    price = {"start": "2030-01-01T00:00:00+00:00", "duration_s": 1800, "blocks": [[0, 0.21], [1000, -0.05]]}
    text = {"name": "tou", "currency": 36, "multiplier": -5, "sites": ["depot"],
            "components": [{"name": "Consumption", "prices": [price]}]}  # fmt: skip
    path = tmp_path / "tariff.json"
    path.write_text(json.dumps(text))
    call_command("utility_tariff", path)
    held = device.assignments.get().tariffs.get().components.get().intervals.get()
    assert held.blocks == [[0, 21_000], [1000, -5_000]]
    broken = [{"name": "x", "prices": [price | {"blocks": [[5, 1]]}]}]
    for wrong in (text | {"sites": ["elsewhere"]}, text | {"components": broken}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(CommandError):
            call_command("utility_tariff", path)
    assert PriceInterval.objects.count() == 1, "a refusal changes nothing"
