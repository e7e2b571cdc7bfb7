"""The application API: many at once, feeder models by ZIP, registration, what a token opens."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from derms.errors import ModelRefused
from derms.feeders import shipped
from interconnection.accounts import services as accounts
from interconnection.models import Application, FeederVersion
from interconnection.services import uploads
from tests.app.test_api import APPLICATIONS, post
from tests.app.test_pages_and_api import BODY, client

# Bulk


def test_csv_and_ndjson_give_a_result_for_each_row(people: dict[str, Any], version: Any) -> None:
    applicant = client(people["applicant"])
    names = list(BODY)
    lines = [",".join(names)]
    for changes in ({}, {"bus": "nowhere"}, {"import_kw": "1e3"}, {"import_kw": "１"}, {"charger_count": ""}):
        lines.append(",".join(str((BODY | changes)[name]) for name in names))
    answer = applicant.post(APPLICATIONS + "bulk/", "\r\n".join(lines), "text/csv").json()
    assert [row["status"] for row in answer["results"]] == [201, 422, 201, 422, 422]
    assert (answer["filed"], answer["refused"]) == (2, 3)
    assert answer["results"][1]["problem"]["errors"][0]["pointer"] == "/bus"
    assert Application.objects.count() == 2
    rows = [json.dumps(BODY), "{", json.dumps(BODY | {"phases": "4"}), "[1]"]
    answer = applicant.post(APPLICATIONS + "bulk/?dry_run=true", "\n".join(rows), "application/x-ndjson").json()
    assert [(row["row"], row["status"]) for row in answer["results"]] == [(1, 200), (2, 400), (3, 422), (4, 400)]
    assert Application.objects.count() == 2, "a dry run stores nothing"


@pytest.mark.parametrize(
    ("raw", "kind", "status"),
    [
        ("name,name\r\na,b", "text/csv", 422),
        ("name,colour\r\na,b", "text/csv", 422),
        ("", "text/csv", 422),
        (b"\xff\xfe", "text/csv", 400),
        ('name\r\n"open', "text/csv", 400),
        ("{}\n" * 1001, "application/x-ndjson", 422),
        (b"x" * 5_000_001, "text/csv", 413),
        ("{}", "application/json", 415),
    ],
)
def test_bulk_bodies_of_no_use_are_problems(people: dict[str, Any], version: Any, raw: Any, kind: str, status: int) -> None:
    answer = client(people["applicant"]).post(APPLICATIONS + "bulk/", raw, kind)
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), answer.content[:300]


# Feeder models by ZIP


def archive(files: dict[str, bytes], *, link: str = "") -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o120777 if name == link else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, content)
    return raw.getvalue()


@pytest.mark.parametrize(
    "name",
    ["../evil.dss", "/etc/evil.dss", "a/../../evil.dss", "C:\\evil.dss", "C:evil.dss", "..\\evil.dss", "a\x07.dss",
     "run.sh", "lib.so",
     "x/" * 9 + "deep.dss", "n" * 210 + ".dss"],
)  # fmt: skip
def test_an_archive_cannot_lead_out_of_its_folder(tmp_path: Any, name: str) -> None:
    """zip-slip and its kin."""
    with pytest.raises(ModelRefused):
        uploads.unpack(archive({name: b"New Circuit.x"}), tmp_path / "in")
    assert not list(tmp_path.parent.glob("evil*"))


def test_archives_that_lie_are_refused(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 100_000)
    cases = {
        "link": archive({"l.dss": b"/etc/passwd"}, link="l.dss"),
        "twice": archive({"a.dss": b"1", "A.DSS": b"2"}),
        "bomb": archive({"a.csv": b"0" * 10_000_000}),
        "none": archive({}),
        "many": archive({f"{number}.csv": b"" for number in range(501)}),
        "torn": archive({"a.dss": b"x" * 1000})[:-40],
        "no zip": b"PK\x03\x04" + b"\x00" * 100,
    }
    for name, raw in cases.items():
        with pytest.raises(ModelRefused):
            uploads.unpack(raw, tmp_path / name.replace(" ", ""))
    flipped = bytearray(archive({"a.dss": bytes(range(256)) * 40}))
    flipped[60:90] = b"\xff" * 30
    with pytest.raises(ModelRefused):
        uploads.unpack(bytes(flipped), tmp_path / "flipped")


def test_a_feeder_model_by_api_follows_the_one_that_was_seen(people: dict[str, Any], version: Any) -> None:
    engineer = client(people["engineer"])
    url = "/api/v1/feeders/ieee13/model/"
    master = shipped()["ieee13"]
    beside = {path.name: path.read_bytes() for path in master.parent.iterdir() if path.suffix == ".csv"}
    text = master.read_bytes() + b"\nNew Load.extra Bus1=671.1.2.3 Phases=3 kV=4.16 kW=10 PF=0.95\n"
    raw = archive({**beside, "Master.dss": text})

    def put(at: str, mark: str | None) -> Any:
        return engineer.put(at, raw, "application/zip", headers={} if mark is None else {"If-Match": mark})

    seen = engineer.get("/api/v1/feeders/ieee13/")["ETag"]
    assert put(url, None).status_code == 428
    assert put(url, '"old"').status_code == 412
    answer = put(url, seen)
    assert answer.status_code == 201, answer.content
    assert FeederVersion.objects.filter(feeder__name="ieee13").count() == 2
    assert put(url, seen).status_code == 412
    hostile = archive({"Master.dss": b"Clear\nNew Circuit.x\nexport voltages /tmp/x\n"})
    bad = engineer.put("/api/v1/feeders/new/model/", hostile, "application/zip")
    assert (bad.status_code, bad["Content-Type"]) == (422, "application/problem+json")


def test_registering_by_api_where_the_utility_allows_it(db: None, settings: Any) -> None:
    cache.clear()
    body = {"username": "newdev", "password": "correct-horse-9-battery"}
    assert post(Client(), "/api/v1/registrations/", body).status_code == 403
    settings.OPEN_REGISTRATION = True
    for changes, pointer in (
        ({"password": "short"}, "/password"),
        ({"username": "a b"}, "/username"),
        ({"username": 1}, "/username"),
    ):
        refused = post(Client(), "/api/v1/registrations/", body | changes)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    made = post(Client(), "/api/v1/registrations/", body)
    assert made.status_code == 201
    me = Client().get("/api/v1/me/", headers={"Authorization": f"Bearer {made.json()['token']}"}).json()
    assert (me["user"], me["roles"]) == ("newdev", ["applicant"])
    assert post(Client(), "/api/v1/registrations/", body | {"username": "NewDev"}).status_code == 409
    assert post(Client(), "/api/v1/registrations/", body | {"username": "admin"}).status_code == 409
    for _ in range(10):
        last = post(Client(), "/api/v1/registrations/", body)
    assert last.status_code == 429
    cache.clear()


def test_what_a_token_opens_is_told_by_me(people: dict[str, Any]) -> None:
    _, value = accounts.make_token(people["auditor"], "s", ["feeders:read"], days=1, now=timezone.now())
    body = Client().get("/api/v1/me/", headers={"Authorization": f"Bearer {value}"}).json()
    assert (body["user"], body["roles"], body["scopes"]) == ("auditor", ["auditor"], ["feeders:read"])
