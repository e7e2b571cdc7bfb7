"""The demo data through the real services, and what a page may ask of the database: a number that rows do not move."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from interconnection import page_bench, states
from interconnection.models import Agreement, Application, Study

MOST_QUERIES = {
    "queue": 12, "studies": 8, "feeders": 8, "search": 8, "reports": 12, "baseline-ledger": 12, "compare-studies": 8,
    "new-application": 6, "my-sites": 8, "rule-packs": 5, "engine-health": 6, "operations": 8, "alarms": 8,
    "alarm-journal": 6, "orders": 7, "devices": 6, "subscriptions": 6, "evidence-list": 6, "audit": 9,
    "curtailment-report": 9, "tokens": 7, "webhooks": 6, "manual": 5, "api-docs": 5, "queue, one stage": 12,
    "search, a word": 10, "application": 32, "application with an offer": 32, "offer editor": 16, "study": 10, "feeder": 10,
    "compare models": 7, "feeder board": 8, "sharing": 12, "switching": 8, "feeder's lines": 10,
}  # fmt: skip
MOST_KILOBYTES = 300


def test_a_desk_of_thirty_is_real_and_no_page_asks_more_than_its_share(db: None, capsys: Any) -> None:
    call_command("demo_data", applications=30, seed=3)
    assert Application.objects.count() == 30
    assert set(Application.objects.values_list("state", flat=True)) <= set(states.STATES)
    done = Study.objects.filter(status=Study.DONE)
    assert done.exists()
    assert all(study.result for study in done)
    assert Agreement.objects.exists()
    assert all(row.terms.sha256() == row.sha256 for row in Agreement.objects.all())
    found = {page["page"]: page for page in page_bench.bench(rounds=1)["pages"]}
    assert set(found) == set(MOST_QUERIES)
    for name, page in found.items():
        assert page["status"] == 200, page
        assert page["queries"] <= MOST_QUERIES[name], page
        assert page["kilobytes"] < MOST_KILOBYTES, page
    with pytest.raises(CommandError, match="fresh database"):
        call_command("demo_data", applications=1)
