"""Programs in order, default controls with ramps, and what a subscriber hears of a deleted resource."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import outbox
from telemetry.utility_models import EndDevice, WireNotification, WireSubscription
from tests.app.test_utility_resources import NOW, XSD, ask, device, schema, tree

__all__ = ["device"]
pytestmark = pytest.mark.django_db


def test_programs_stand_by_primacy_and_then_by_mrid_downwards(device: EndDevice) -> None:
    for name in "abcdefgh":
        services.ensure_program(services.ensure_assignment(device, name, 1), 3)
    for path in (f"/edev/{device.pk}/derp", f"/edev/{device.pk}/der/1/derp"):
        found = tree(f"{path}?l=99")
        rows = [(int(row.findtext("{*}primacy")), row.findtext("{*}mRID")) for row in found]
        by_mrid = sorted(rows, key=lambda row: row[1], reverse=True)
        assert rows == sorted(by_mrid, key=lambda row: row[0]) and len({row[1] for row in rows if row[0] == 3}) >= 8


def test_a_default_control_carries_ramps_and_when_to_enter_service(device: EndDevice) -> None:
    program = services.program_of(device, 1)
    more = {"setGradW": 27, "setSoftGradW": 9, "setESDelay": 30_000, "setESHighFreq": 6010, "setESHighVolt": 10_500,
            "setESLowFreq": 5950, "setESLowVolt": 9_170, "setESRampTms": 30_000, "setESRandomDelay": 0}  # fmt: skip
    services.set_default(program, {"opModExpLimW": 5} | more)
    for mount in ("", "/v1.3", "/us"):
        found = tree(f"{mount}/edev/{device.pk}/derp/{program.pk}/dderc")
        assert {name: int(found.findtext(f"{{*}}{name}")) for name in more} == more
        if mount != "/v1.3":
            assert schema(XSD[mount]).validate(found), schema(XSD[mount]).error_log.last_error


def test_a_subscriber_hears_that_its_resource_is_deleted(settings: Any) -> None:
    settings.UTILITY_IN_BAND = True
    own = services.enrol("A" * 40, now=NOW, role="aggregator", hosts=["hooks.example"])
    device = services.enrol("B" * 40, now=NOW, through="A" * 40)
    services.program_of(device, 1)
    for resource in ("/edev", f"/edev/{device.pk}/fsa", f"/edev/{device.pk}1/fsa"):
        WireSubscription.objects.create(
            owner=own, resource=resource, uri="https://hooks.example/", limit=9, profile="csip-aus 1.3"
        )
    answer = ask(f"/edev/{device.pk}", "DELETE", lfdi="A" * 40)
    assert answer.status == 204 and outbox.enqueue(answer.touched, NOW) == 2
    told = [etree.fromstring(row.body.encode()) for row in WireNotification.objects.order_by("pk")]
    assert [item.findtext("{*}status") for item in told] == ["0", "4"]
    assert (
        told[1].findtext("{*}subscribedResource") == f"/v1.3/edev/{device.pk}/fsa" and told[1].find("{*}Resource") is None
    )
    assert all(schema(XSD["/us"]).validate(item) for item in told[1:])
