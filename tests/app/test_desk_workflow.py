"""The desk's workflow: gaps named, versions kept, two people issue, and nobody operates without a test that passed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from derms.errors import Conflict, InputError
from interconnection import states
from interconnection.models import Application, Event, FeederVersion, Offer, Study
from interconnection.request import differences
from interconnection.services import commissioning
from interconnection.services.applications import (
    act,
    amend,
    current_request,
    deem_complete,
    file_application,
    find_gaps,
    submit,
)
from interconnection.services.certificates import load, lookup
from interconnection.services.commissioning import Result, Step
from interconnection.services.offers import (
    accept_offer,
    approve_offer,
    decline_offer,
    draft_terms,
    prepare_offer,
    take_back,
)
from interconnection.services.studies import build_request, order_study
from tests.app.conftest import ask, listed

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_each_gap_says_what_where_and_what_to_do(people: dict[str, Any], version: FeederVersion) -> None:
    bare = ask(
        address="",
        contact_email="nobody",
        vehicle_wh=0,
        transformer_va=None,
        documents=[{"kind": "one_line", "status": "pending"}],
    )
    application = submit(file_application(bare, applicant=people["applicant"]), actor="applicant")
    assert application.state == states.SUBMITTED
    gaps = find_gaps(application)
    assert [gap.where for gap in gaps] == [
        "address", "contact_email", "certificates.0", "vehicle_kwh", "transformer_kva", "documents",
    ]  # fmt: skip
    assert all(gap.what and gap.remedy for gap in gaps)
    assert "announced but not attached" in gaps[-1].what
    listed()
    assert "certificates.0" not in [gap.where for gap in find_gaps(application)]


def test_an_expired_listing_is_a_gap_and_the_day_of_expiry_counts(people: dict[str, Any], version: FeederVersion) -> None:
    listed(expires=date(2026, 6, 1))
    application = file_application(ask(), applicant=people["applicant"])
    assert find_gaps(application, now=NOW - timedelta(days=1)) == []
    (gap,) = find_gaps(application, now=NOW)
    assert "expired on 2026-06-01" in gap.what


def test_a_gap_may_be_waived_by_name_and_with_a_reason_only(people: dict[str, Any], version: FeederVersion) -> None:
    listed()
    application = submit(file_application(ask(address=""), applicant=people["applicant"]), actor="applicant")
    with pytest.raises(Conflict, match="address"):
        deem_complete(application, by=people["engineer"])
    with pytest.raises(InputError, match="reason"):
        deem_complete(application, by=people["engineer"], waived=["address"])
    deem_complete(application, by=people["engineer"], waived=["address"], reason="a new street without a name")
    assert application.state == states.COMPLETE
    assert application.completed is not None
    event = Event.objects.filter(application=application, action="complete").get()
    assert event.after["waived"] == ["address"]


def test_less_power_keeps_the_place_and_more_loses_it(application: Application, people: dict[str, Any]) -> None:
    place = application.completed
    before = current_request(application)
    amend(application, replace(before, import_w=3_000_000), by=people["applicant"])
    assert (application.state, application.completed) == (states.COMPLETE, place)
    amend(application, replace(before, import_w=3_500_000, bus="680"), by=people["applicant"])
    assert (application.state, application.completed) == (states.SUBMITTED, None)
    _, second, third = application.versions.all()
    changes = differences(second.document, third.document)
    assert [(c.field, c.before, c.after) for c in changes] == [
        ("bus", "671", "680"), ("import_w", 3_000_000, 3_500_000),
    ]  # fmt: skip
    with pytest.raises(InputError, match="nothing differs"):
        amend(application, current_request(application), by=people["applicant"])


def prepared(application: Application, studied: Study, engineer: Any, **more: Any) -> Offer:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=date(2026, 1, 1), ends=None)
    return prepare_offer(application, studied, terms, engineer=engineer, **more)


def test_nobody_issues_what_they_prepared(application: Application, studied: Study, people: dict[str, Any]) -> None:
    offer = prepared(application, studied, people["engineer"])
    with pytest.raises(Conflict, match="prepared"):
        approve_offer(offer, approver=people["engineer"])
    with pytest.raises(IntegrityError), transaction.atomic():
        Offer.objects.filter(pk=offer.pk).update(issued_by=people["engineer"])
    with pytest.raises(Conflict):
        accept_offer(offer, applicant=people["applicant"], typed_name="A")
    approve_offer(offer, approver=people["approver"])
    with pytest.raises(Conflict):
        approve_offer(offer, approver=people["approver"])
    application.refresh_from_db()
    assert application.state == states.OFFER


def test_a_new_study_supersedes_what_was_offered(application: Application, studied: Study, people: dict[str, Any]) -> None:
    offer = approve_offer(prepared(application, studied, people["engineer"]), approver=people["approver"])
    application.refresh_from_db()
    request = build_request(studied.version, "671", (1, 2, 3), 1_000_000, 0, hours=2)
    order_study(studied.version, request, actor="engineer", application=application)
    offer.refresh_from_db()
    assert (offer.status, application.state) == (Offer.SUPERSEDED, states.STUDY)
    with pytest.raises(Conflict):
        accept_offer(offer, applicant=people["applicant"], typed_name="A")


def test_declined_and_taken_back_offers_lead_to_the_study_and_can_be_made_anew(
    application: Application, studied: Study, people: dict[str, Any]
) -> None:
    decline_offer(
        approve_offer(prepared(application, studied, people["engineer"]), approver=people["approver"]),
        applicant=people["applicant"],
    )
    waiting = prepared(application, studied, people["engineer"])
    take_back(waiting, by=people["engineer"], reason="a slip")
    again = approve_offer(prepared(application, studied, people["engineer"]), approver=people["approver"])
    take_back(again, by=people["approver"], reason="the model changed")
    application.refresh_from_db()
    assert application.state == states.STUDY
    with pytest.raises(Conflict):
        take_back(again, by=people["approver"], reason="again")


def test_an_offer_is_signed_by_a_name_and_in_time(application: Application, studied: Study, people: dict[str, Any]) -> None:
    offer = prepared(application, studied, people["engineer"], valid_until=date(2026, 5, 31))
    approve_offer(offer, approver=people["approver"])
    with pytest.raises(InputError, match="signed"):
        accept_offer(offer, applicant=people["applicant"], typed_name="  ", now=NOW - timedelta(days=1))
    with pytest.raises(Conflict, match="ended on"):
        accept_offer(offer, applicant=people["applicant"], typed_name="A", now=NOW)
    agreement = accept_offer(offer, applicant=people["applicant"], typed_name=" Ada ", now=NOW - timedelta(days=1))
    assert agreement.typed_name == "Ada"


@pytest.fixture
def accepted(application: Application, studied: Study, people: dict[str, Any]) -> Application:
    offer = approve_offer(prepared(application, studied, people["engineer"]), approver=people["approver"])
    accept_offer(offer, applicant=people["applicant"], typed_name="Ada")
    application.refresh_from_db()
    return application


GOOD = [Step("falls to its failsafe when the link is cut", True, "3.1 s", "60 s"), Step("follows a limit", True)]


def test_permission_needs_the_newest_test_to_have_passed_and_still_count(
    accepted: Application, people: dict[str, Any]
) -> None:
    engineer, approver = people["engineer"], people["approver"]
    with pytest.raises(Conflict):
        commissioning.permit(accepted, by=engineer)
    with pytest.raises(InputError, match="second person"):
        commissioning.record(accepted, Result("witness", GOOD, NOW), by=engineer)
    with pytest.raises(InputError, match="engineer records"):
        commissioning.record(accepted, Result("witness", GOOD, NOW), by=people["operator"], witness=approver)
    with pytest.raises(InputError, match="steps"):
        commissioning.record(accepted, Result("wire", [], NOW), by=engineer)
    commissioning.record(accepted, Result("witness", GOOD, NOW), by=engineer, witness=approver)
    assert accepted.state == states.COMMISSIONING
    failed = [*GOOD, Step("restores without a step", False)]
    commissioning.record(accepted, Result("wire", failed, NOW + timedelta(hours=1)), by=engineer)
    with pytest.raises(Conflict, match="no commissioning result"):
        commissioning.permit(accepted, by=engineer, now=NOW + timedelta(hours=2))
    last = commissioning.record(accepted, Result("wire", GOOD, NOW + timedelta(hours=3)), by=engineer)
    with pytest.raises(Conflict, match="no commissioning result"):
        commissioning.permit(accepted, by=engineer, now=NOW + timedelta(days=commissioning.VALID_DAYS))
    with pytest.raises(Conflict, match="role"):
        commissioning.permit(accepted, by=people["applicant"], now=NOW + timedelta(days=1))
    commissioning.permit(accepted, by=engineer, now=NOW + timedelta(days=1))
    assert accepted.state == states.PERMITTED
    assert Event.objects.filter(action="permit").get().after["sha256"] == last.sha256


def test_suspended_comes_back_only_by_the_same_gate(accepted: Application, people: dict[str, Any]) -> None:
    commissioning.record(accepted, Result("wire", GOOD, NOW), by=people["engineer"])
    commissioning.permit(accepted, by=people["approver"], now=NOW)
    with pytest.raises(InputError, match="reason"):
        act(accepted, "suspend", by=people["operator"])
    act(accepted, "suspend", by=people["operator"], reason="did not follow its limit")
    with pytest.raises(Conflict, match="no commissioning result"):
        commissioning.permit(accepted, "resume", by=people["engineer"], now=NOW + timedelta(days=200))
    with pytest.raises(Conflict, match="cannot take 'permit'"):
        commissioning.permit(accepted, by=people["engineer"], now=NOW)
    commissioning.permit(accepted, "resume", by=people["engineer"], now=NOW)
    assert accepted.state == states.PERMITTED
    with pytest.raises(Conflict, match="role"):
        act(accepted, "end", by=people["applicant"], reason="done")


def test_the_registry_takes_a_list_whole_or_not_at_all(db: None) -> None:
    head = "make,model,standard,listing,issued,expires,rated_kw\n"
    good = head + "Volt,A 30,UL 9741,U1,2025-01-01,2028-01-01,30\nVolt,A 30,UL 3141,U2,2025-01-01,,30\n"
    assert load(good.splitlines(), actor="engineer", origin="a list") == 2
    assert load(good.splitlines(), actor="engineer", origin="a list") == 2
    assert lookup("volt", "a 30").count() == 2
    assert [row.listing for row in lookup("volt", on=date(2028, 1, 1))] == ["U2"]
    bad = good + "Volt,B,UL 1,U3,2025-01-01,,30\n"
    with pytest.raises(InputError, match="line 4"):
        load(bad.splitlines(), actor="engineer", origin="a list")
    assert lookup().count() == 2
