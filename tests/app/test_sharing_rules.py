"""Which rule divides a constraint: two people, audited, in force from the next cycle on, previewed on the newest cycle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from derms.errors import Conflict, InputError, NotFound
from derms.grid.sharing_rules import RULES
from interconnection.audit_models import AuditEntry
from interconnection.models import FeederVersion
from telemetry import services, sharing_services
from telemetry.sharing_models import SharingChoice
from tests.app.test_replay_cycle import six_cycles

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WHY = {"reason": "the agreements promise it", "now": NOW}

pytestmark = pytest.mark.django_db


def test_nothing_changes_until_another_person_approves_and_then_the_next_cycle_asks_with_it(version: FeederVersion) -> None:
    assert sharing_services.in_force("ieee13") == {"": "pro_rata_capacity"}
    row = sharing_services.propose("ieee13", "", "equal", by="one", **WHY)
    assert sharing_services.in_force("ieee13")[""] == "pro_rata_capacity"
    with pytest.raises(Conflict, match="proposes"):
        sharing_services.approve(row.pk, by="one", now=NOW)
    sharing_services.approve(row.pk, by="two", now=NOW + timedelta(minutes=1))
    assert sharing_services.in_force("ieee13") == {"": "equal"}
    actions = list(AuditEntry.objects.order_by("pk").values_list("actor", "action"))
    assert actions[-2:] == [("one", "propose_sharing_rule"), ("two", "set_sharing_rule")]


def test_a_newer_rule_takes_the_place_of_the_elements_earlier_one_and_of_no_other(version: FeederVersion) -> None:
    own = version.description["elements"][0][0]
    for element, rule in (("", "equal"), (own, "last_in_first_off"), (own.upper(), "maximum_total")):
        sharing_services.approve(sharing_services.propose("ieee13", element, rule, by="one", **WHY).pk, by="two", now=NOW)
    assert sharing_services.in_force("ieee13") == {"": "equal", own: "maximum_total"}
    assert SharingChoice.objects.filter(state=SharingChoice.SUPERSEDED).count() == 1


def test_an_old_proposal_is_void_a_refused_one_is_over_and_what_does_not_exist_is_named(version: FeederVersion) -> None:
    row = sharing_services.propose("ieee13", "", "equal", by="one", **WHY)
    with pytest.raises(Conflict, match="15 minutes"):
        sharing_services.approve(row.pk, by="two", now=NOW + timedelta(minutes=16))
    sharing_services.reject(row.pk, by="one", now=NOW)
    with pytest.raises(Conflict, match="rejected"):
        sharing_services.approve(row.pk, by="two", now=NOW)
    for feeder, element, rule, error in (
        ("ieee13", "", "loudest", InputError), ("ieee13", "line.nowhere", "equal", InputError),
        ("other", "", "equal", NotFound),
    ):  # fmt: skip
        with pytest.raises(error):
            sharing_services.propose(feeder, element, rule, by="one", **WHY)
    with pytest.raises(InputError, match="reason"):
        sharing_services.propose("ieee13", "", "equal", by="one", reason=" ", now=NOW)


def test_a_log_that_cannot_be_written_stops_the_change(version: FeederVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    row = sharing_services.propose("ieee13", "", "equal", by="one", **WHY)

    def full(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(sharing_services.audit, "append", full)
    with pytest.raises(OSError, match="space"):
        sharing_services.approve(row.pk, by="two", now=NOW)
    assert sharing_services.in_force("ieee13") == {"": "pro_rata_capacity"}


def test_the_preview_asks_the_newest_cycle_again_under_each_rule_and_stores_nothing(
    version: FeederVersion, people: dict[str, Any]
) -> None:
    browser = Client()
    browser.force_login(people["operator"])
    page = reverse("sharing", args=["ieee13"])
    assert browser.get(page, {"preview": 1}).status_code == 422, "no cycle is recorded yet"
    record = six_cycles(version)[-1]
    services.record_cycle("ieee13", NOW, record.snapshot, 1, {}, document=record.document)
    found = sharing_services.preview("ieee13")
    assert not found.refusals
    ((name, limits),) = found.sites
    assert name == "depot" and len(limits) == len(RULES)
    # A site alone has nobody to share with: every rule gives it the same.
    assert len(set(limits)) == 1 and limits[0] is not None and limits[0][0] >= 100_000
    assert "pro rata capacity (now)" in browser.get(page, {"preview": 1}).content.decode()
    assert not SharingChoice.objects.exists()


def test_an_operator_proposes_on_the_page_and_the_approver_puts_it_in_force(
    version: FeederVersion, people: dict[str, Any]
) -> None:
    one, two = Client(), Client()
    one.force_login(people["operator"])
    two.force_login(people["approver"])
    one.post(reverse("propose-sharing", args=["ieee13"]), {"rule": "equal", "reason": "as promised"})
    row = SharingChoice.objects.get()
    decide = reverse("decide-sharing", args=["ieee13", row.pk])
    assert "does not approve" in one.post(decide, follow=True).content.decode()
    assert "from the next cycle on" in two.post(decide, follow=True).content.decode()
    assert sharing_services.in_force("ieee13") == {"": "equal"}
