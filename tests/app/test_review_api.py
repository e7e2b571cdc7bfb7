"""The desk's work by API: complete with waivers, screens, questions, places in the queue, options, the agreement's life."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from interconnection.models import Application, Offer, Study
from interconnection.services import commissioning
from interconnection.services.applications import act, file_application, submit
from interconnection.services.commissioning import Result, Step
from tests.app.conftest import ask
from tests.app.test_api import post
from tests.app.test_pages_and_api import client


def address(application: Application, rest: str = "") -> str:
    return f"/api/v1/applications/{application.pk}/{rest}"


@pytest.fixture
def callers(people: dict[str, Any]) -> dict[str, Client]:
    return {name: client(user) for name, user in people.items()}


# Complete, with waivers


def test_a_gap_is_closed_or_waived_by_name_with_a_reason(people: dict[str, Any], version: Any, callers: Any) -> None:
    found = submit(file_application(ask(address=""), applicant=people["applicant"]), actor="applicant")
    gaps = callers["engineer"].get(address(found, "gaps/")).json()["gaps"]
    names = sorted({gap["requirement"] for gap in gaps})
    refused = post(callers["engineer"], address(found, "complete/"))
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("not complete")
    silent = post(callers["engineer"], address(found, "complete/"), {"waived": names})
    assert silent.status_code == 422
    assert silent.json()["errors"][0]["pointer"] == "/reason"
    done = post(callers["engineer"], address(found, "complete/"), {"waived": names, "reason": "seen on site"})
    assert (done.status_code, done.json()["state"]) == (200, "complete")
    event = found.events.get(action="complete")
    assert event.after["waived"] == names
    assert event.before == {"state": "submitted"}


# Screens


def test_screens_run_and_are_read_with_what_would_pass(application: Application, callers: Any) -> None:
    ran = post(callers["engineer"], address(application, "screens/"), {"hours": 24})
    assert ran.status_code == 201
    results = ran.json()["results"]
    assert {row["status"] for row in results} <= {"pass", "fail", "not_applicable", "unknown"}
    failed = [row for row in results if row["status"] == "fail" and row["passes_kw"] is not None]
    assert failed, "4 MW on this feeder fails somewhere"
    assert all(row["would_pass"] for row in failed)
    listed = callers["applicant"].get(address(application, "screens/")).json()
    assert [row["id"] for row in listed["results"]] == [ran.json()["id"]]
    assert callers["other"].get(address(application, "screens/")).status_code == 404


@pytest.mark.parametrize("hours", [True, 0, 577, "24", 1.5])
def test_hours_of_screens_are_a_whole_number_in_bounds(application: Application, callers: Any, hours: Any) -> None:
    assert post(callers["engineer"], address(application, "screens/"), {"hours": hours}).status_code == 422


# Questions


def test_a_question_is_answered_once_and_the_clocks_go_on(application: Application, callers: Any) -> None:
    asked = post(
        callers["engineer"], address(application, "questions/"), {"question": "Which transformer?", "fields_asked": ["x"]}
    )
    assert asked.status_code == 201
    run = application.clocks.filter(stopped__isnull=True, owner="utility").first()
    assert run is not None
    assert run.pauses.filter(ended__isnull=True).exists()
    to = address(application, f"questions/{asked.json()['id']}/answer/")
    assert post(callers["other"], to, {"answer": "mine"}).status_code == 404
    answered = post(callers["applicant"], to, {"answer": "T-14"})
    assert (answered.status_code, answered.json()["answer"]) == (200, "T-14")
    assert not run.pauses.filter(ended__isnull=True).exists()
    assert post(callers["applicant"], to, {"answer": "T-15"}).status_code == 409
    rows = callers["applicant"].get(address(application, "questions/")).json()["results"]
    assert [row["answered"] is not None for row in rows] == [True]


def test_an_unknown_question_and_one_of_another_application_are_the_same_404(
    application: Application, people: dict[str, Any], callers: Any
) -> None:
    asked = post(callers["engineer"], address(application, "questions/"), {"question": "Which transformer?"}).json()
    mine = file_application(ask(name="Other depot"), applicant=people["other"])
    for number in (asked["id"], 987654):
        assert post(callers["other"], address(mine, f"questions/{number}/answer/"), {"answer": "x"}).status_code == 404


# Places in the queue of each constraint


def test_places_name_the_element_and_nobody_to_an_applicant(
    application: Application, studied: Study, callers: Any, people: dict[str, Any]
) -> None:
    from interconnection.services import constraints

    constraints.store(studied, json.loads(studied.result))
    second = submit(file_application(ask(name="Behind"), applicant=people["other"]), actor="other")
    behind = Study.objects.create(
        application=second, version=studied.version, request=studied.request, inputs_sha256=studied.inputs_sha256,
        engine=studied.engine, total_hours=48, status=Study.DONE, result=studied.result, finished=timezone.now(),
    )  # fmt: skip
    constraints.store(behind, json.loads(studied.result))
    theirs = callers["other"].get(address(second, "queue/"))
    assert theirs.status_code == 200
    places = theirs.json()["positions"]
    assert places
    assert all(place["position"] == 2 and place["element"] and place["ahead"] == [] for place in places)
    assert all(place["withdrawal_frees_kw"] == place["asked_kw"] for place in places)
    assert theirs.json()["restudy"] == []
    seen = callers["engineer"].get(address(second, "queue/")).json()["positions"]
    assert all(place["ahead"] == [application.reference] for place in seen)
    application.refresh_from_db()
    act(application, "withdraw", by=people["applicant"])
    for caller, named in (("other", False), ("engineer", True)):
        (trigger,) = callers[caller].get(address(second, "queue/")).json()["restudy"]
        assert (application.reference in trigger["what"]) == named


# Options and preparing one of them


def test_options_say_what_may_be_offered_and_what_is_missing(
    application: Application, studied: Study, callers: Any
) -> None:
    found = callers["engineer"].get(address(application, "options/")).json()
    by_kind = {row["kind"]: row for row in found["options"]}
    assert list(by_kind) == ["firm", "static_12", "static_24", "static_288", "dynamic", "volt_var", "upgrade"]
    assert by_kind["firm"]["missing"] == by_kind["dynamic"]["missing"] == ""
    assert "8,760" in by_kind["static_288"]["missing"], "48 hours are no year"
    assert callers["applicant"].get(address(application, "options/")).status_code == 403
    for kind in ("static_12", "static_24", "static_288"):
        refused = post(callers["engineer"], address(application, "offer/"), {"kind": kind})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (409, "/kind")
    made = post(callers["engineer"], address(application, "offer/"), {"kind": "firm", "starts": "2027-01-01"})
    assert (made.status_code, made.json()["kind"]) == (201, "firm")
    assert made.json()["terms"]["flexible"] == made.json()["terms"]["firm"]


def test_a_bridge_needs_its_end_and_a_condition_somebody_in_the_queue(
    application: Application, studied: Study, callers: Any
) -> None:
    body = {"bridge_for": "the new bank", "starts": "2027-01-01"}
    endless = post(callers["engineer"], address(application, "offer/"), body)
    assert (endless.status_code, endless.json()["errors"][0]["pointer"]) == (422, "/ends")
    itself = post(callers["engineer"], address(application, "offer/"), {"conditional_on": application.pk})
    assert (itself.status_code, itself.json()["errors"][0]["pointer"]) == (422, "/conditional_on")
    made = post(callers["engineer"], address(application, "offer/"), body | {"ends": "2029-01-01"})
    assert made.status_code == 201
    assert made.json()["terms"]["ends"] == "2029-01-01"
    assert made.json()["terms"]["conditions"]["bridge_for"] == "the new bank"


def test_a_cap_below_what_the_study_expects_is_refused(application: Application, studied: Study, callers: Any) -> None:
    refused = post(callers["engineer"], address(application, "offer/"), {"cap_hours": 0})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/cap_hours")


def test_an_offer_is_taken_back_as_it_was_seen_with_a_reason(
    application: Application, offered: Offer, callers: Any
) -> None:
    to = address(application, "offer/take-back/")
    assert post(callers["engineer"], to, {"reason": "wrong bus"}).status_code == 428
    tag = callers["engineer"].get(address(application, "offer/"))["ETag"]
    assert post(callers["engineer"], to, {"reason": "wrong bus"}, **{"If-Match": '"old"'}).status_code == 412
    assert post(callers["engineer"], to, {}, **{"If-Match": tag}).status_code == 422
    back = post(callers["engineer"], to, {"reason": "wrong bus"}, **{"If-Match": tag})
    assert (back.status_code, back.json()["status"]) == (200, "lapsed")
    application.refresh_from_db()
    assert application.state == "study"


# The life of an agreement


def _act(caller: Client, application: Application, action: str, reason: str = "") -> Any:
    tag = caller.get(address(application))["ETag"]
    return post(caller, address(application, "actions/"), {"action": action, "reason": reason}, **{"If-Match": tag})


def test_commissioning_permission_suspension_and_end_by_api(
    application: Application, offered: Offer, callers: Any, people: dict[str, Any]
) -> None:
    tag = callers["applicant"].get(address(application, "offer/"))["ETag"]
    body = {"sha256": offered.sha256, "typed_name": "A. Applicant"}
    assert post(callers["applicant"], address(application, "offer/accept/"), body, **{"If-Match": tag}).status_code == 201
    assert post(callers["engineer"], address(application, "actions/"), {"action": "commission"}).status_code == 428
    assert _act(callers["engineer"], application, "commission").json()["state"] == "commissioning"
    untested = _act(callers["approver"], application, "permit")
    assert (untested.status_code, untested.json()["errors"][0]["pointer"]) == (409, "/commissioning")
    application.refresh_from_db()
    result = Result("witness", [Step("falls to its failsafe", True)], at=timezone.now() - timedelta(minutes=1))
    commissioning.record(application, result, by=people["engineer"], witness=people["approver"])
    shown = callers["applicant"].get(address(application, "commissioning/")).json()["results"]
    assert [(row["passed"], row["witnessed_by"], len(row["sha256"])) for row in shown] == [(True, "approver", 64)]
    assert _act(callers["operator"], application, "permit").status_code == 409, "the operator gives no permission"
    assert _act(callers["approver"], application, "permit").json()["state"] == "permitted"
    assert _act(callers["operator"], application, "suspend").status_code == 422, "a suspension needs a reason"
    assert _act(callers["operator"], application, "suspend", "over its limit").json()["state"] == "suspended"
    assert _act(callers["engineer"], application, "resume").json()["state"] == "permitted"
    assert _act(callers["engineer"], application, "end", "the site is closed").json()["state"] == "ended"
    for action, before, after in (("suspend", "permitted", "suspended"), ("end", "permitted", "ended")):
        event = application.events.get(action=action)
        assert (event.before["state"], event.after["state"]) == (before, after)
        assert event.after["reason"]
