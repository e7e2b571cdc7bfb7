"""Reports and ledger on real rows, and how many questions each page of the desk asks, whatever the length of the lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from interconnection.models import Application, Offer, Study
from interconnection.page_bench import bench

BASELINE = {
    "queue": 14, "queue, one stage": 14, "search, a word": 16, "studies": 10, "feeders": 10, "reports": 18,
    "baseline-ledger": 14, "application": 42, "application with an offer": 46, "offer editor": 24, "study": 18,
    "feeder": 14,
    "feeder's lines": 12, "search": 10, "compare-studies": 10, "new-application": 8, "my-sites": 10, "rule-packs": 6,
    "engine-health": 8, "operations": 12, "alarms": 12, "alarm-journal": 8, "orders": 10, "devices": 14,
    "subscriptions": 8, "evidence-list": 8, "audit": 12, "curtailment-report": 14, "tokens": 10, "webhooks": 8,
    "manual": 6, "api-docs": 6, "compare models": 10, "feeder board": 30, "sharing": 18, "switching": 12,
}  # fmt: skip
"""Questions to the database that a page may ask; a page that needs more says why here."""


def many(application: Application, count: int) -> None:
    """Rows like one application, written at once."""
    fields = ("applicant", "feeder", "bus", "phases", "import_w", "export_w", "charger_model", "charger_count",
              "charger_import_w", "charger_export_w", "wanted", "state")  # fmt: skip
    common = {field: getattr(application, field) for field in fields}
    Application.objects.bulk_create(Application(name=f"Depot {number}", **common) for number in range(count))


def test_pages_ask_no_more_than_their_baseline_however_long_the_lists(offered: Offer, people: dict[str, Any]) -> None:
    first = {row["page"]: row for row in bench(rounds=1, user=people["engineer"])["pages"]}
    assert [row for row in first.values() if row["status"] not in (200, 302)] == []
    many(offered.application, 120)
    second = {row["page"]: row for row in bench(rounds=1, user=people["engineer"])["pages"]}
    for page, row in second.items():
        assert row["queries"] <= BASELINE[page], (page, row["queries"])
        assert row["kilobytes"] < 300, page
    for page in ("queue", "reports", "studies"):
        assert abs(second[page]["queries"] - first[page]["queries"]) <= 2, page


def test_the_ledger_and_the_reports_are_read_by_the_utility_and_given_as_csv(
    studied: Study, people: dict[str, Any]
) -> None:
    engineer = Client()
    engineer.force_login(people["engineer"])
    page = engineer.get(reverse("baseline-ledger"), {"feeder": "ieee13"}).content.decode()
    assert "Baseline ledger" in page
    assert engineer.get(reverse("ledger-csv", args=["ieee13"])).content.startswith(b"feeder,kind,criterion")
    assert engineer.get(reverse("reports"), {"since": "soon", "until": "2026-13-45"}).status_code == 200
    assert engineer.get(reverse("reports-csv")).content.startswith(b"reference,site")


@pytest.mark.parametrize("page", ["reports", "baseline-ledger"])
def test_applicants_do_not_read_the_utilitys_reports(people: dict[str, Any], page: str) -> None:
    applicant = Client()
    applicant.force_login(people["applicant"])
    assert applicant.get(reverse(page)).status_code == 403
