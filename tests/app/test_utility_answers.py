"""Answers over the wire become alarms of ISA-18.2 and records that are kept, and later compliance clears them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from derms.clock import VirtualClock
from derms.limits import Limit
from telemetry import alarm_services
from telemetry import utility_services as services
from telemetry.alarm_models import AlarmRow
from telemetry.alarm_sources import Sources
from telemetry.answer_sources import AnswerWatch
from telemetry.control.alarm import Priority
from telemetry.control.grant import Grant, Reason
from telemetry.cycle_models import EvidenceRow
from telemetry.protocols.ieee2030_5 import xml
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.utility_models import Control, EndDevice
from tests.app.conftest import person

pytestmark = pytest.mark.django_db
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
KINDS = ("control_rejected", "control_opted_out", "control_not_followed", "control_unanswered")


class Site:
    """A registered device of a site, a lending engine, and the annunciator's sources."""

    def __init__(self) -> None:
        self.clock = VirtualClock(datetime(2026, 6, 1, 12, tzinfo=UTC))
        self.device = services.register_device(LFDI, aggregator=None, now=self.now(), site="depot")
        self.sources, self.sequence = Sources(self.clock), 0

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def lend(self) -> Control:
        self.sequence += 1
        limit = Limit(50_000 + self.sequence, 0)
        grant = Grant("depot", limit, 1, self.sequence, 0.0, 300.0, None, Reason("thermal", "x", 1.0, ""))
        return services.lend(grant, now=self.now(), pen=7)[-1]

    def answer(self, control: Control, status: int) -> None:
        content = {"createdDateTime": self.now(), "endDeviceLFDI": LFDI, "status": status, "subject": control.mrid}
        body = xml.document("DERControlResponse", content).encode()
        path = f"/edev/{EndDevice.objects.get().pk}/rsps/1/rsp"
        assert handle(Request("POST", path, LFDI, self.clock.now(), "", body)).status == 201

    def look(self, seconds: float = 11.0) -> dict[str, str]:
        """Let time pass, look, and return the states of this part's alarms that are not normal."""
        self.clock.advance(seconds)
        looks, covered = self.sources.look()
        alarm_services.report(looks, self.clock.now(), covered=covered)
        rows = AlarmRow.objects.filter(kind__in=KINDS, subject="depot").exclude(state="normal")
        return {row.kind: row.state for row in rows}


@pytest.mark.parametrize(
    ("status", "kind", "priority"),
    [(252, "control_rejected", Priority.HIGH), (4, "control_opted_out", Priority.HIGH),
     (10, "control_not_followed", Priority.MEDIUM)],
)  # fmt: skip
def test_a_refusal_is_announced_with_its_priority_recorded_once_and_cleared_by_compliance(
    status: int, kind: str, priority: Priority
) -> None:
    site = Site()
    control = site.lend()
    site.answer(control, 1)
    assert site.look() == {}
    site.answer(control, status)
    assert site.look() == {kind: "unacknowledged"}
    assert AlarmRow.objects.get(kind=kind).priority == priority
    assert site.look() == {kind: "unacknowledged"}, "it does not go by itself"
    record = EvidenceRow.objects.get()
    facts = json.loads(record.facts)
    assert (record.site, record.snapshot) == ("depot", control.mrid)
    assert [item["status"] for item in facts["answers"]] == [1, status] and facts["control"]["modes"] == control.modes
    assert hashlib.sha256(record.facts.encode()).hexdigest() == record.sha256
    later = site.lend()
    site.answer(later, 1)
    assert site.look() == {kind: "unacknowledged"}, "received is no compliance yet"
    site.answer(later, 2)
    assert site.look() == {kind: "returned"}
    assert EvidenceRow.objects.count() == 1


def test_silence_to_a_control_is_announced_after_the_deadline_and_cleared_by_an_answer() -> None:
    site = Site()
    first = site.lend()
    for _ in range(8):  # renewed every 20 s: each control is young, the silence is not
        assert site.look(20.0) == {}
        site.lend()
    assert site.look(30.0) == {"control_unanswered": "unacknowledged"}
    record = EvidenceRow.objects.get()
    assert (record.stage, record.snapshot) == ("unanswered", first.mrid)
    site.answer(Control.objects.order_by("-creation").first(), 2)
    site.look(11.0)
    assert site.look(11.0) == {"control_unanswered": "returned"}


def test_a_restarted_annunciator_knows_what_was_refused_before_and_an_opt_in_takes_an_opt_out_back() -> None:
    site = Site()
    control = site.lend()
    site.answer(control, 4)
    assert site.look() == {"control_opted_out": "unacknowledged"}
    site.sources = Sources(site.clock)
    assert site.look() == {"control_opted_out": "unacknowledged"}
    site.answer(control, 5)
    assert site.look() == {"control_opted_out": "returned"}


def test_an_empty_first_look_does_not_bring_up_last_weeks_answers() -> None:
    site, watch = Site(), AnswerWatch()
    site.answer(site.lend(), 4)
    later = site.now() + 3 * 86_400
    assert watch.look(later, {}) == watch.look(later + 1, {}) == []


def test_another_sites_answer_clears_nothing() -> None:
    site = Site()
    site.answer(site.lend(), 252)
    assert site.look() == {"control_rejected": "unacknowledged"}
    other = services.register_device("5" + LFDI[1:], aggregator=None, now=site.now(), site="other")
    grant = Grant("other", Limit(1, 1), 1, 1, 0.0, 300.0, None, Reason("thermal", "x", 1.0, ""))
    row = services.lend(grant, now=site.now(), pen=7)[0]
    services.respond(other, {"subject": row.mrid, "endDeviceLFDI": other.lfdi, "status": 2}, site.now())
    assert site.look() == {"control_rejected": "unacknowledged"}


def test_a_look_costs_a_few_statements_whatever_was_said(django_assert_max_num_queries: Any) -> None:
    site, watch = Site(), AnswerWatch()
    control = site.lend()
    site.answer(control, 2)
    watch.look(site.now(), {})
    with django_assert_max_num_queries(4):
        watch.look(site.now(), {})


def test_the_record_of_a_refusal_has_a_page(client: Browser, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    site = Site()
    control = site.lend()
    site.answer(control, 253)
    site.look()
    client.force_login(person("op", "operator"))
    record = EvidenceRow.objects.get()
    assert str(record.pk) in client.get(reverse("evidence-list")).content.decode()
    page = client.get(reverse("evidence", args=[record.pk]))
    assert page.status_code == 200 and control.mrid in page.content.decode()
