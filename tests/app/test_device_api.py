"""Devices and notifications by API: what the page shows, registered by engineers, revoked, told again by operators."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import outbox
from telemetry.utility_models import EndDevice, WireIdentity, WireNotification, WireSubscription
from tests.app.test_pages_and_api import client

pytestmark = pytest.mark.django_db
AGGREGATOR, DEVICE, BEHIND = "A" * 40, "B" * 40, "C" * 40


def test_an_engineer_registers_reads_and_revokes_and_subscribers_hear_of_it(people: dict[str, Any]) -> None:
    engineer = client(people["engineer"])
    made = engineer.post("/api/v1/devices/", {"identity": AGGREGATOR, "role": "aggregator", "hosts": ["hooks.example"]},
                         content_type="application/json")  # fmt: skip
    assert made.status_code == 201, made.content
    own = EndDevice.objects.get(own=True)
    WireSubscription.objects.create(
        owner=own, resource="/edev", uri="https://hooks.example/", limit=9, profile="csip-aus 1.2"
    )
    form = {"identity": BEHIND, "through": AGGREGATOR.lower(), "site": "depot", "name": "shed", "topology": True}
    made = engineer.post("/api/v1/devices/", form, content_type="application/json")
    found = made.json()
    assert made.status_code == 201 and made["Location"] == f"/api/v1/devices/{found['id']}/"
    assert (found["role"], found["site"], len(found["programs"])) == ("through an aggregator", "depot", 7)
    assert found["pin"] == EndDevice.objects.get(lfdi=BEHIND).pin
    assert BEHIND in WireNotification.objects.get().body, "the aggregator learns of its new device"
    again = engineer.post("/api/v1/devices/", form, content_type="application/json")
    assert again.status_code == 409 and WireNotification.objects.count() == 1
    assert engineer.post("/api/v1/devices/", {"identity": "zz"}, content_type="application/json").status_code == 422
    place = f"/api/v1/devices/{own.pk}/"
    answer = engineer.post(f"{place}access/", {"granted": False}, content_type="application/json")
    assert answer.status_code == 200 and answer.json()["granted"] is False
    assert not WireIdentity.objects.get(lfdi=AGGREGATOR).granted


def test_an_operator_looks_and_resends_and_changes_nothing_else(people: dict[str, Any]) -> None:
    now = int(timezone.now().timestamp())
    own = services.enrol(AGGREGATOR, now=now, role="aggregator", hosts=["hooks.example"])
    services.enrol(BEHIND, now=now, through=AGGREGATOR)
    WireSubscription.objects.create(
        owner=own, resource="/edev", uri="https://hooks.example/", limit=9, profile="csip-aus 1.2"
    )
    outbox.enqueue(["/edev"], now)
    operator = client(people["operator"])
    rows = operator.get("/api/v1/devices/").json()["results"]
    assert [row["lfdi"] for row in rows] == [BEHIND, AGGREGATOR]
    assert operator.get("/api/v1/devices/?site=elsewhere").json()["results"] == []
    assert operator.post("/api/v1/devices/", {"identity": DEVICE}, content_type="application/json").status_code == 403
    (told,) = operator.get(f"/api/v1/notifications/?waiting=true&device={own.pk}").json()["results"]
    assert (told["state"], told["subscriber"]) == ("waiting", AGGREGATOR)
    outbox.settle(WireNotification.objects.get(), "204", now)
    assert operator.get("/api/v1/notifications/?waiting=true").json()["results"] == []
    again = operator.post(f"/api/v1/notifications/{told['id']}/resend/", content_type="application/json")
    assert again.status_code == 201 and again.json()["state"] == "waiting"
    assert operator.get("/api/v1/notifications/?waiting=maybe").status_code == 422
    assert operator.post("/api/v1/notifications/987654/resend/", content_type="application/json").status_code == 404


def test_a_page_of_devices_costs_the_same_for_fifty_as_for_one(
    people: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    operator = client(people["operator"])
    for number in range(50):
        services.enrol(f"{number:040X}", now=1)
        with django_assert_max_num_queries(12):
            assert len(operator.get("/api/v1/devices/").json()["results"]) == number + 1
