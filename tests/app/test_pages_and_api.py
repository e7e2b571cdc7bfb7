"""Pages and API: who may do what, problems that say where and how, nothing from another host."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from interconnection.models import Application, Offer, Study

BODY = {
    "name": "Depot", "feeder": "ieee13", "bus": "671", "phases": "123", "import_kw": 1000, "export_kw": 500,
    "charger_model": "60 kW", "charger_count": 20, "charger_import_kw": 60, "charger_export_kw": 60, "wanted": "2027-01-01",
}  # fmt: skip


def client(user: Any) -> Client:
    found = Client()
    if user is not None:
        found.force_login(user)
    return found


def addresses(study: Study) -> dict[str, list[Any]]:
    assert study.application is not None
    return {"feeder": ["ieee13"], "application": [study.application.pk]}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"import_kw": True}, "/import_kw"),
        ({"import_kw": "1_000"}, "/import_kw"),
        ({"import_kw": "１２"}, "/import_kw"),
        ({"import_kw": -1}, "/import_kw"),
        ({"import_kw": 1e300}, "/import_kw"),
        ({"import_kw": 1300}, "/import_kw"),
        ({"charger_count": 1.5}, "/charger_count"),
        ({"wanted": "9999-12-31"}, "/wanted"),
        ({"wanted": "soon"}, "/wanted"),
        ({"bus": "nowhere"}, "/bus"),
        ({"phases": "4"}, "/phases"),
        ({"feeder": "nope"}, "/feeder"),
    ],
)
def test_bad_input_is_a_problem_with_a_pointer_and_changes_nothing(
    people: dict[str, Any], version: Any, changes: dict[str, Any], pointer: str
) -> None:
    answer = client(people["applicant"]).post(reverse("api-applications"), BODY | changes, content_type="application/json")
    assert answer.status_code in (404, 422)
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert Application.objects.count() == 0


def test_nan_and_no_json_are_problems(people: dict[str, Any], version: Any) -> None:
    for body in ('{"import_kw": NaN}', "{", "[1]"):
        answer = client(people["applicant"]).post(reverse("api-applications"), body, content_type="application/json")
        assert answer.status_code in (400, 422)
        assert answer["Content-Type"] == "application/problem+json"


def test_from_application_to_agreement_by_api(people: dict[str, Any], version: Any, offered: Offer) -> None:
    applicant = client(people["applicant"])
    made = applicant.post(reverse("api-applications"), BODY, content_type="application/json")
    assert made.status_code == 201
    assert applicant.get(made["Location"]).json()["import_kw"] == 1000
    assert applicant.post(made["Location"] + "submit/").json()["state"] == "submitted"
    number = offered.application_id
    read = applicant.get(reverse("api-offer", args=[number]))
    offer, seen = read.json(), {"If-Match": read["ETag"]}
    accept = reverse("api-accept", args=[number])
    assert applicant.post(accept, {"sha256": "0" * 64}, "application/json", headers=seen).status_code == 422
    signed = applicant.post(accept, {"sha256": offer["sha256"]}, "application/json", headers=seen)
    assert signed.status_code == 201
    assert signed.json()["terms"] == offer["terms"]
    again = applicant.post(accept, {"sha256": offer["sha256"]}, "application/json", headers=seen)
    assert again.status_code == 412, "the offer that was seen is open; it is accepted now"


def test_the_schema_is_openapi_3_1_and_its_page_is_ours(db: None) -> None:
    schema = Client().get(reverse("schema"), HTTP_ACCEPT="application/json").json()
    assert schema["openapi"].startswith("3.1")
    assert "/api/v1/applications/" in schema["paths"]
    assert Client().get(reverse("api-docs")).status_code == 200


def test_pages_name_no_other_host_and_allow_no_inline_script(offered: Offer, people: dict[str, Any]) -> None:
    names = ["queue", "feeders", "operations", "application", "feeder", "manual", "api-docs"]
    for name in names:
        answer = client(people["engineer"]).get(reverse(name, args=addresses(offered.study).get(name, [])))
        text = re.sub(r"http://www\.w3\.org/\d+/svg", "", answer.content.decode())
        assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text), name
        policy = answer["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe-eval" not in policy
        assert not re.search(r"<[^>]+ (style|on[a-z]+)=", text), name


def test_the_list_page_asks_the_database_a_fixed_number_of_times(
    application: Application, people: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        Application.objects.create(**{
            field: getattr(application, field)
            for field in ("applicant", "feeder", "bus", "phases", "import_w", "export_w", "charger_model", "charger_count",
                          "charger_import_w", "charger_export_w", "wanted")
        } | {"name": f"Site {number}"})  # fmt: skip
    signed_in = client(people["engineer"])
    with django_assert_max_num_queries(8):
        assert signed_in.get(reverse("queue")).status_code == 200


def test_each_page_of_the_manual_opens_and_links_lead_somewhere(db: None) -> None:
    folder = settings.BASE_DIR / "templates" / "docs"
    for path in folder.rglob("*.md"):
        name = path.relative_to(folder).with_suffix("").as_posix()
        answer = Client().get(f"/docs/{name}")
        assert answer.status_code == 200, name
        for target in re.findall(r"\]\(([a-z0-9/-]+)\)", path.read_text()):
            assert (folder / path.parent / f"{target}.md").is_file(), (name, target)
    assert Client().get("/docs/../settings").status_code == 404
