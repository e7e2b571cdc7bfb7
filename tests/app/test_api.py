"""The application API: once only, as seen, in bulk, with the strict reader, with limits; problems that say what to do."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from derms.errors import Conflict, InputError
from interconnection.accounts import services as accounts
from interconnection.api import once
from interconnection.api.models import OnceKey
from interconnection.models import Application, FeederVersion, Offer, Study
from interconnection.services import offers as offer_services
from tests.app.test_pages_and_api import BODY, client

APPLICATIONS = "/api/v1/applications/"


def post(caller: Client, url: str, body: Any = None, **headers: str) -> Any:
    return caller.post(url, {} if body is None else body, "application/json", headers=headers)


# Idempotency-Key


def test_the_same_key_and_body_file_one_application(people: dict[str, Any], version: Any) -> None:
    applicant = client(people["applicant"])
    answers = [post(applicant, APPLICATIONS, BODY, **{"Idempotency-Key": "k1"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.content for answer in answers}) == 1
    assert len({answer["Location"] for answer in answers}) == 1
    assert [answer.get("Idempotent-Replayed") for answer in answers] == [None, "true", "true"]
    assert Application.objects.count() == 1


def test_the_same_key_for_another_request_is_refused(people: dict[str, Any], version: Any) -> None:
    applicant = client(people["applicant"])
    post(applicant, APPLICATIONS, BODY, **{"Idempotency-Key": "k1"})
    other = post(applicant, APPLICATIONS, BODY | {"import_kw": 900}, **{"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert other.json()["errors"][0]["pointer"] == "/Idempotency-Key"
    assert post(client(people["other"]), APPLICATIONS, BODY, **{"Idempotency-Key": "k1"}).status_code == 201, (
        "keys are a caller's own"
    )


def test_a_refusal_is_kept_too_but_not_one_that_may_turn(people: dict[str, Any], version: Any) -> None:
    applicant = client(people["applicant"])
    bad = BODY | {"bus": "nowhere"}
    assert post(applicant, APPLICATIONS, bad, **{"Idempotency-Key": "k2"}).status_code == 422
    assert OnceKey.objects.get(key="k2").status == 422
    auditor = client(people["auditor"])
    assert post(auditor, APPLICATIONS, BODY, **{"Idempotency-Key": "k3"}).status_code == 403
    assert not OnceKey.objects.filter(key="k3").exists()


def test_while_the_first_is_at_work_the_second_is_a_conflict_and_a_dead_one_gives_the_key_back(
    people: dict[str, Any],
) -> None:
    now, owner = timezone.now(), people["applicant"]
    row = once.reserve(owner, "k", "mark", now)
    with pytest.raises(Conflict, match="still at work"):
        once.reserve(owner, "k", "mark", now)
    with pytest.raises(InputError, match="another request"):
        once.reserve(owner, "k", "other", now)
    assert once.reserve(owner, "k", "mark", now + once.LOCK + timedelta(seconds=1)).pk == row.pk
    with pytest.raises(Conflict):
        once.reserve(owner, "k", "mark", now + once.LOCK + timedelta(seconds=2))
    assert once.reserve(owner, "k", "other", now + once.KEPT + timedelta(seconds=1)).pk != row.pk


def test_a_defect_leaves_neither_effect_nor_answer(people: dict[str, Any], version: Any, monkeypatch: Any) -> None:
    """Work and answer are one transaction: what is not answered has not happened."""
    applicant = client(people["applicant"])
    applicant.raise_request_exception = False

    def broken(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(once, "keep", broken)
        answer = post(applicant, APPLICATIONS, BODY, **{"Idempotency-Key": "k4"})
    assert answer.status_code == 500
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer["X-Request-ID"]
    assert "disk" not in answer.content.decode()
    assert Application.objects.count() == 0
    assert post(applicant, APPLICATIONS, BODY, **{"Idempotency-Key": "k4"}).status_code == 201


@pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"),
    reason="SQLite in memory locks whole tables: this race runs on PostgreSQL (.ci/run)",
)
@pytest.mark.django_db(transaction=True)
def test_eight_at_once_file_one_application(people: dict[str, Any], version: Any) -> None:
    statuses: list[int] = []

    def one() -> None:
        answer = post(client(people["applicant"]), APPLICATIONS, BODY, **{"Idempotency-Key": "rush"})
        statuses.append(answer.status_code)
        connection.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Application.objects.count() == 1
    assert set(statuses) <= {201, 409}
    assert statuses.count(201) >= 1


# ETag and If-Match


def test_a_change_names_what_it_saw(people: dict[str, Any], version: Any) -> None:
    applicant = client(people["applicant"])
    made = post(applicant, APPLICATIONS, BODY)
    url, seen = made["Location"], made["ETag"]
    assert applicant.get(url)["ETag"] == seen
    assert applicant.get(url, headers={"If-None-Match": seen}).status_code == 304

    def patch(mark: str | None) -> Any:
        headers = {} if mark is None else {"If-Match": mark}
        return applicant.patch(url, {"import_kw": 900}, "application/json", headers=headers)

    missing = patch(None)
    assert (missing.status_code, missing["Content-Type"]) == (428, "application/problem+json")
    assert "If-Match" in missing.json()["remedy"]
    changed = patch(seen)
    assert (changed.status_code, changed.json()["import_kw"]) == (200, 900)
    assert changed.json()["export_kw"] == BODY["export_kw"]
    assert patch(seen).status_code == 412
    assert patch("W/" + changed["ETag"]).status_code == 422, "the tag fits; nothing differs"
    stale = applicant.patch(url, {"import_kw": True}, "application/json", headers={"If-Match": changed["ETag"]})
    assert [item["pointer"] for item in stale.json()["errors"]] == ["/import_kw"]


def test_two_people_and_the_applicant_finish_an_offer_by_api(
    application: Application, studied: Study, people: dict[str, Any]
) -> None:
    url = reverse("api-offer", args=[application.pk])
    engineer, approver, applicant = (client(people[name]) for name in ("engineer", "approver", "applicant"))
    prepared = post(engineer, url, {"study": studied.pk, "valid_until": "2099-01-01"})
    assert (prepared.status_code, prepared.json()["status"]) == (201, "prepared")
    assert applicant.get(url).status_code == 404, "what is not issued is not offered"
    issue = reverse("api-issue", args=[application.pk])
    assert post(approver, issue).status_code == 428
    assert post(approver, issue, **{"If-Match": '"old"'}).status_code == 412
    assert post(engineer, issue, **{"If-Match": prepared["ETag"]}).status_code == 403
    assert post(approver, issue, **{"If-Match": prepared["ETag"]}).json()["status"] == "open"
    offer = applicant.get(url)
    accept = reverse("api-accept", args=[application.pk])
    signed = post(
        applicant, accept, {"sha256": offer.json()["sha256"], "typed_name": "A. Applicant"}, **{"If-Match": offer["ETag"]}
    )
    assert signed.status_code == 201
    assert signed.json()["typed_name"] == "A. Applicant"
    agreement = applicant.get(reverse("api-agreement", args=[application.pk]))
    assert agreement.json() == signed.json()


def test_a_declined_offer_goes_back(offered: Offer, people: dict[str, Any]) -> None:
    applicant = client(people["applicant"])
    seen = applicant.get(reverse("api-offer", args=[offered.application_id]))["ETag"]
    url = reverse("api-decline", args=[offered.application_id])
    assert post(applicant, url, {"reason": "too little"}, **{"If-Match": seen}).json()["status"] == "declined"


def test_nobody_issues_what_they_prepared(application: Application, studied: Study, people: dict[str, Any]) -> None:
    both = people["engineer"]
    both.groups.add(people["approver"].groups.get())
    application.refresh_from_db()
    terms = offer_services.draft_terms(application, studied, starts=application.wanted, ends=None)
    offer_services.prepare_offer(application, studied, terms, engineer=both)
    caller = client(both)
    seen = caller.get(reverse("api-offer", args=[application.pk]))["ETag"]
    assert post(caller, reverse("api-issue", args=[application.pk]), **{"If-Match": seen}).status_code == 409


# Studies


def test_a_study_is_ordered_watched_and_cancelled(application: Application, people: dict[str, Any]) -> None:
    engineer = client(people["engineer"])
    ordered = post(engineer, reverse("api-studies", args=[application.pk]), {"hours": 24})
    if ordered.status_code == 409:  # not complete yet: the desk's own tests take it there
        Application.objects.filter(pk=application.pk).update(state="complete")
        ordered = post(engineer, reverse("api-studies", args=[application.pk]), {"hours": 24})
    assert ordered.status_code == 202
    watched = engineer.get(ordered["Location"])
    assert (watched.json()["status"], watched.json()["progress"]) == ("queued", 0.0)
    assert int(watched["Retry-After"]) >= 1
    number = ordered.json()["id"]
    assert post(engineer, reverse("api-study-cancel", args=[number])).json()["status"] == "cancelled"
    assert post(engineer, reverse("api-study-cancel", args=[number])).status_code == 409
    assert post(engineer, reverse("api-study-resume", args=[number])).status_code == 202
    listed = engineer.get("/api/v1/studies/").json()["results"]
    assert [item["id"] for item in listed] == [number]
    assert "result" not in listed[0]


def test_an_indicative_answer_from_the_sandbox(people: dict[str, Any], version: FeederVersion, settings: Any) -> None:
    settings.SANDBOX_FEEDER = "ieee13"
    nobody = client(people["nobody"])
    ask = nobody.get("/api/v1/indicative/").json()["ask"] | {"hours": 24}
    answer = post(nobody, "/api/v1/indicative/", ask).json()
    assert answer["indicative"] is True
    assert answer["import"]["largest_kw"] >= 0
    assert answer["import"]["criterion"]
    assert post(nobody, "/api/v1/indicative/", ask | {"bus": "nowhere"}).status_code == 422
    assert post(nobody, "/api/v1/indicative/", ask | {"import_kw": 0, "export_kw": 0}).status_code == 422


# Pages by cursor


def test_pages_by_cursor_show_each_row_once_while_rows_arrive(people: dict[str, Any], version: Any) -> None:
    applicant = client(people["applicant"])
    for number in range(7):
        post(applicant, APPLICATIONS, BODY | {"name": f"Depot {number}"})
    seen, url = [], APPLICATIONS + "?page_size=3"
    while url:
        page = applicant.get(url).json()
        seen += [item["name"] for item in page["results"]]
        post(applicant, APPLICATIONS, BODY | {"name": "Late"})
        url = page["next"]
    assert seen == [f"Depot {number}" for number in reversed(range(7))]
    assert applicant.get(APPLICATIONS + "?cursor=nonsense").status_code == 404


# Strict reader and problems


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"import_kw": NaN}', 400),
        (b'{"import_kw": -Infinity}', 400),
        (b'{"import_kw": 1e999}', 400),
        (b'{"import_kw": ' + b"9" * 5000 + b"}", 400),
        (b'{"name": "a", "name": "b"}', 400),
        (b'{"name": "a\\u0000b"}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"name": "\xff"}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 50 + b"1" + b"}" * 50, 400),
        (b"[1]", 400),
        (b'"text"', 400),
        (b"null", 400),
        (b"", 422),
        (b"{", 400),
        (b'{"name": "' + b"x" * 10_000_000 + b'"}', 413),
    ],
)
def test_hand_made_bodies_are_problems(people: dict[str, Any], version: Any, raw: bytes, status: int) -> None:
    answer = client(people["applicant"]).post(APPLICATIONS, raw, "application/json")
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), answer.content[:200]
    assert answer.json()["remedy"]
    assert Application.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"wanted": "9999-12-31"}, "/wanted"),
        ({"wanted": "２０２７-01-01"}, "/wanted"),
        ({"wanted": 20270101}, "/wanted"),
        ({"charger_count": True}, "/charger_count"),
        ({"charger_count": "20"}, "/charger_count"),
        ({"charger_count": 10**30}, "/charger_count"),
        ({"export_kw": "５００"}, "/export_kw"),
        ({"export_kw": None}, "/export_kw"),
        ({"name": 7}, "/name"),
        ({"name": "x" * 121}, "/name"),
        ({"phases": "1１"}, "/phases"),
        ({"secondary_shared": "yes"}, "/secondary_shared"),
        ({"certificates": [{"standard": "UL 9741"}]}, "/certificates/0/listing"),
        ({"documents": [{"kind": "poem", "status": "attached"}]}, "/documents/0/kind"),
        ({"schedule": {"need_w": [[1]]}}, "/schedule/need_w"),
        ({"schedule": [1]}, "/schedule"),
        ({"rule_pack": "../../etc/passwd"}, "/rule_pack"),
        ({"feeder": "ieee13\u200b"}, "/feeder"),
    ],
)
def test_hand_made_values_are_problems_with_a_pointer(
    people: dict[str, Any], version: Any, changes: dict[str, Any], pointer: str
) -> None:
    answer = post(client(people["applicant"]), APPLICATIONS, BODY | changes)
    assert answer.status_code in (404, 422), answer.content
    assert pointer in [item["pointer"] for item in answer.json()["errors"]], answer.content
    assert Application.objects.count() == 0


def test_every_refusal_of_the_api_is_a_problem(people: dict[str, Any], application: Application) -> None:
    applicant = client(people["applicant"])
    one = f"{APPLICATIONS}{application.pk}/"
    cases = [
        (applicant.get("/api/v1/nothing/"), 404),
        (applicant.get(f"{APPLICATIONS}999999999999999999999999/"), 404),
        (applicant.delete(one), 405),
        (applicant.get(one, headers={"Accept": "text/html"}), 406),
        (applicant.post(APPLICATIONS, "a=1", "text/plain"), 415),
        (Client().get(one), 401),
        (Client().get(one, headers={"Authorization": "Bearer nonsense"}), 401),
        (Client().get(one, headers={"Authorization": "Bearer \xe9"}), 401),
        (client(people["administrator"]).post(APPLICATIONS, BODY, "application/json"), 403),
        (Client(enforce_csrf_checks=True).post(APPLICATIONS, BODY, "application/json"), 401),
    ]
    for answer, status in cases:
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
        body = answer.json()
        assert body["status"] == status
        assert body["title"]
        assert body["remedy"]
        assert answer["X-Request-ID"]
    assert set(cases[2][0]["Allow"].split(", ")) >= {"GET", "PATCH"}
    assert cases[5][0]["WWW-Authenticate"].startswith("Bearer")


def test_a_session_without_the_csrf_token_changes_nothing(people: dict[str, Any], version: Any) -> None:
    cache.clear()  # another test's calls count against a token of the same number
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(people["applicant"])
    answer = browser.post(APPLICATIONS, BODY, "application/json")
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    _, value = accounts.make_token(people["applicant"], "s", ["applications:write"], days=1, now=timezone.now())
    with_token = browser.post(APPLICATIONS, BODY, "application/json", headers={"Authorization": f"Bearer {value}"})
    assert with_token.status_code == 201, "a token is no cookie: no other site can send it"


def test_calls_are_counted_and_the_rest_is_told(people: dict[str, Any], settings: Any) -> None:
    cache.clear()
    settings.API_CALLS_A_MINUTE = 3
    caller = client(people["auditor"])
    answers = [caller.get("/api/v1/me/") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer["RateLimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert answers[0]["RateLimit-Policy"] == '"minute";q=3;w=60'
    assert 1 <= int(answers[3]["Retry-After"]) <= 60
    assert answers[3]["Content-Type"] == "application/problem+json"
    assert client(people["engineer"]).get("/api/v1/me/").status_code == 200, "each caller has their own"
    cache.clear()
