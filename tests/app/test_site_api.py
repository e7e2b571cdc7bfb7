"""Sites by API: the limit in force, the feed, the ledger, a cap; the ledger's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from derms.limits import Limit
from interconnection.models import Agreement, Offer
from interconnection.services.offers import accept_offer
from telemetry.control.grant import Outcome
from telemetry.curtailment import Lent, ledger, pieces
from telemetry.models import GrantRow
from telemetry.order_models import OperatorOrder
from tests.app.test_pages_and_api import client

START = datetime(2027, 3, 27, 22, 0, tzinfo=UTC)
FAILSAFE, FLEXIBLE = Limit(100_000, 50_000), Limit(1_000_000, 800_000)


@pytest.fixture
def agreement(offered: Offer, people: dict[str, Any]) -> Agreement:
    return accept_offer(offered, applicant=people["applicant"], typed_name="A. Applicant")


def grant(
    site: str, sequence: int, limit: Limit, *, ago_s: float, ttl_s: float = 60, outcome: str = "acknowledged"
) -> GrantRow:
    row = GrantRow.objects.create(
        site=site, epoch=1, sequence=sequence, import_w=limit.import_w, export_w=limit.export_w, ttl_s=ttl_s,
        outcome=outcome,
        reason={"criterion": "thermal", "element": "line.head", "share": 0.31, "snapshot": "s1"},
    )  # fmt: skip
    GrantRow.objects.filter(pk=row.pk).update(at=timezone.now() - timedelta(seconds=ago_s))
    return row


def test_the_limit_in_force_is_the_newest_confirmed_one_while_its_lease_runs(
    agreement: Agreement, people: dict[str, Any]
) -> None:
    applicant, url = client(people["applicant"]), f"/api/v1/sites/{agreement.site}/"
    failsafe = agreement.terms.failsafe
    assert applicant.get(url).json()["import_kw"] == failsafe.import_w / 1000
    grant(agreement.site, 1, Limit(900_000, 700_000), ago_s=10)
    grant(agreement.site, 2, Limit(950_000, 700_000), ago_s=5, outcome="unknown")
    found = applicant.get(url).json()
    assert (found["import_kw"], found["reason"]) == (900, "thermal line.head")
    GrantRow.objects.update(at=timezone.now() - timedelta(seconds=61))
    found = applicant.get(url).json()
    assert (found["import_kw"], found["until"]) == (failsafe.import_w / 1000, None)
    assert Outcome.ACKNOWLEDGED.value == "acknowledged"


def test_the_feed_explains_each_limit_and_is_ones_own(agreement: Agreement, people: dict[str, Any]) -> None:
    for sequence in range(5):
        grant(agreement.site, sequence, Limit(1000 * sequence, 0), ago_s=50 - sequence)
    url = f"/api/v1/sites/{agreement.site}/limits/?page_size=2"
    first = client(people["applicant"]).get(url).json()
    assert [row["sequence"] for row in first["results"]] == [4, 3]
    assert first["results"][0]["share"] == 0.31
    assert first["next"]
    assert client(people["other"]).get(url).status_code == 404
    assert client(people["administrator"]).get(url).status_code == 404
    listed = client(people["operator"]).get("/api/v1/sites/").json()["results"]
    assert [row["site"] for row in listed] == [agreement.site]


def test_the_ledger_by_api(agreement: Agreement, people: dict[str, Any]) -> None:
    Agreement.objects.filter(pk=agreement.pk).update(accepted=timezone.now() - timedelta(hours=2))
    flexible = agreement.terms.flexible
    grant(agreement.site, 1, flexible, ago_s=3600, ttl_s=1800)
    found = client(people["applicant"]).get(f"/api/v1/sites/{agreement.site}/curtailment/").json()
    assert found["limited_hours"] == pytest.approx(1.5, abs=0.01)
    assert sum(day["hours"] for day in found["days"]) == pytest.approx(2, abs=0.01)
    for bad in ("since=2027-02-30", "since=soon", "since=2020-01-01&until=2021-01-01", "since=2027-01-02&until=2027-01-01"):
        answer = client(people["applicant"]).get(f"/api/v1/sites/{agreement.site}/curtailment/?{bad}")
        assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json"), bad


def test_an_operator_caps_what_they_saw(agreement: Agreement, people: dict[str, Any]) -> None:
    operator, url = client(people["operator"]), f"/api/v1/sites/{agreement.site}/cap/"
    body = {"import_kw": 50, "export_kw": 0, "reason": "crew on the line", "minutes": 30}
    seen = operator.get(url)["ETag"]
    assert operator.post(url, body, "application/json").status_code == 428
    made = operator.post(url, body, "application/json", headers={"If-Match": seen})
    assert made.status_code == 201, made.content
    assert (made.json()["caps"][0]["import_kw"], made.json()["caps"][0]["by"]) == (50, "operator")
    assert operator.post(url, body, "application/json", headers={"If-Match": seen}).status_code == 412
    assert OperatorOrder.objects.count() == 1
    for name in ("engineer", "administrator", "applicant"):
        refused = client(people[name]).post(url, body, "application/json", headers={"If-Match": made["ETag"]})
        assert refused.status_code == 403, name


LENT = st.lists(
    st.tuples(st.integers(-3600, 100_000), st.integers(1, 900), st.integers(0, 1_000_000), st.integers(0, 800_000)),
    max_size=30,
)


@given(LENT, st.integers(1, 90_000))
def test_the_ledger_leaves_no_moment_out_and_never_charges_more_than_the_whole(lent: list[Any], seconds: int) -> None:
    rows = [Lent(START + timedelta(seconds=at), ttl, Limit(i, e)) for at, ttl, i, e in sorted(lent)]
    end = START + timedelta(seconds=seconds)
    found = list(pieces(rows, FAILSAFE, START, end))
    assert found[0][0] == START
    assert found[-1][1] == end
    assert all(one[1] == two[0] for one, two in pairwise(found))
    days = ledger(rows, FAILSAFE, FLEXIBLE, START, end)
    assert sum(day.hours for day in days) == pytest.approx(seconds / 3600)
    for day in days:
        assert 0 <= day.limited_hours <= day.hours + 1e-9
        assert 0 <= day.import_wh <= FLEXIBLE.import_w * day.hours + 1e-6


@given(LENT, st.integers(0, 90_000))
def test_at_each_moment_the_ledger_holds_what_the_site_may_use(lent: list[Any], second: int) -> None:
    """The rule of failsafe.md, said another way: the newest grant, if its lease runs, else the failsafe."""
    rows = [Lent(START + timedelta(seconds=at), ttl, Limit(i, e)) for at, ttl, i, e in sorted(lent)]
    at = START + timedelta(seconds=second, microseconds=1)
    newest = [row for row in rows if row.at <= at]
    holds = newest[-1].limit if newest and at < newest[-1].at + timedelta(seconds=newest[-1].ttl_s) else FAILSAFE
    found = [
        limit
        for begin, finish, limit in pieces(rows, FAILSAFE, START, START + timedelta(seconds=100_000))
        if begin <= at < finish
    ]
    assert found == [holds]


def test_days_are_utc_days() -> None:
    days = ledger([], FAILSAFE, FLEXIBLE, START, START + timedelta(hours=3))
    assert [(str(day.day), day.hours) for day in days] == [("2027-03-27", 2.0), ("2027-03-28", 1.0)]
    assert days[0].import_wh == 2 * 900_000
