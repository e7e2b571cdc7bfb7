"""Ledger, reports, the day's work, measured curtailment."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from derms.limits import NOTHING, Limit
from interconnection import csv_table, ledger, queries, reports, states
from interconnection.models import Application, FeederVersion, Offer, Study
from interconnection.services import commissioning
from interconnection.services.commissioning import Result, Step
from interconnection.services.day import turn
from interconnection.services.offers import accept_offer, approve_offer, draft_terms, prepare_offer
from telemetry.curtailment import Lent
from telemetry.curtailment_queries import of_grants

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def offer_until(
    application: Application, studied: Study, people: dict[str, Any], day: date, ends: date | None = None
) -> Offer:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=date(2026, 1, 1), ends=ends)
    offer = prepare_offer(application, studied, terms, engineer=people["engineer"], valid_until=day)
    return approve_offer(offer, approver=people["approver"])


@pytest.fixture
def permitted(application: Application, studied: Study, people: dict[str, Any]) -> Application:
    offer = offer_until(application, studied, people, date(2027, 1, 1), date(2026, 12, 31))
    accept_offer(offer, applicant=people["applicant"], typed_name="Ada", now=NOW)
    application.refresh_from_db()
    commissioning.record(application, Result("wire", [Step("all", True)], NOW), by=people["engineer"])
    return commissioning.permit(application, by=people["engineer"], now=NOW)


def test_the_day_lets_offers_lapse_once_and_ends_agreements(
    application: Application, studied: Study, people: dict[str, Any]
) -> None:
    offer = offer_until(application, studied, people, date(2026, 5, 31), date(2026, 12, 31))
    assert turn(NOW - timedelta(days=1)).lapsed == []
    assert turn(NOW).lapsed == [application.reference]
    assert turn(NOW).lapsed == []
    offer.refresh_from_db()
    application.refresh_from_db()
    assert (offer.status, application.state) == (Offer.LAPSED, states.STUDY)


def test_the_day_ends_an_agreement_on_its_last_day(permitted: Application) -> None:
    assert turn(datetime(2026, 12, 30, 12, tzinfo=UTC)).ended == []
    assert turn(datetime(2026, 12, 31, 12, tzinfo=UTC)).ended == [permitted.reference]
    permitted.refresh_from_db()
    assert permitted.state == states.ENDED


def test_what_is_unlocked_and_how_long_it_took(permitted: Application, studied: Study) -> None:
    (row,) = reports.unlocked()
    answer = json.loads(studied.result)
    assert row.unlocked_import_kw == pytest.approx(answer["flexible_import_kw"] - answer["firm_import_kw"], abs=0.11)
    assert row.avoided_usd == sum(item["usd"] for item in answer["upgrade_avoided"])
    assert reports.totals([row])["agreements"] == 1
    times = {step.step: step for step in reports.queue_times()}
    assert times["submission_to_operation"].count == 1
    assert times["completeness"].median_days == pytest.approx(0, abs=0.01)
    assert reports.pipeline()[states.PERMITTED]["count"] == 1
    assert "submission_to_offer" in reports.as_csv(reports.queue_times())
    assert next((row.clock, row.in_time, row.late) for row in reports.clocks(date(2026, 6, 1))) == ("acceptance", 1, 0)


def test_curtailment_against_estimate_and_cap(permitted: Application) -> None:
    (site,) = [terms.site for terms in queries.agreements_in_force(date(2026, 6, 1))]
    cap = queries.agreements_in_force(date(2026, 6, 1))[0].curtailment.cap_hours
    (row,) = reports.curtailment({site: reports.Measured(cap + 1.0, 4380.0, 3.0)})
    assert (row.over_cap, row.remedy, row.share_of_year) == (True, "review", 0.5)
    (row,) = reports.curtailment({})
    assert (row.over_cap, row.measured_hours) == (False, None)


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(1, 900), st.integers(0, 1000)), min_size=1, max_size=30))
def test_measured_hours_never_exceed_the_time_that_passed(steps: list[tuple[int, int, int]]) -> None:
    at, lent = NOW, []
    for gap, ttl, watts in steps:
        lent.append(Lent(at, float(ttl), Limit(watts, 0)))
        at += timedelta(seconds=gap)
    found = of_grants(lent, NOTHING, Limit(1000, 0), at)
    assert 0 <= found.limited_hours <= found.of_hours + 1e-9
    assert found.of_hours == pytest.approx((at - NOW).total_seconds() / 3600)
    assert 0 <= found.energy_percent <= 100


def test_between_grants_the_failsafe_counts() -> None:
    lent = [Lent(NOW, 60.0, Limit(500, 0)), Lent(NOW + timedelta(seconds=30), 60.0, Limit(1000, 0))]
    found = of_grants(lent, Limit(200, 0), Limit(1000, 0), NOW + timedelta(seconds=100))
    assert found.of_hours * 3600 == pytest.approx(100)
    assert found.limited_hours * 3600 == pytest.approx(30 + 10)
    assert found.energy_percent == pytest.approx(100 * (30 * 0.5 + 10 * 0.8) / 100)


def test_the_ledger_names_what_the_feeder_breaks_and_which_ratings_are_defaults(
    version: FeederVersion, studied: Study
) -> None:
    answer = json.loads(studied.result)
    answer["violations"] = {"undervoltage 611.3": {"hours": 7, "worst_pu": 0.93, "worst_hour": 12}}
    Study.objects.filter(pk=studied.pk).update(result=json.dumps(answer))
    elements = [["line.a", "line", 400.0, "default", "x", "y", 3], ["line.b", "line", 300.0, "stated", "x", "y", 3]]
    FeederVersion.objects.filter(pk=version.pk).update(description={**version.description, "elements": elements})
    rows = ledger.ledger(version.feeder)
    first = rows[0]
    assert (first.kind, first.criterion, first.element, first.worst_pu, first.hours) == (
        "violation", "undervoltage", "611.3", 0.93, 7,
    )  # fmt: skip
    assert [row.element for row in rows if row.kind == "default_rating"] == ["line.a"]
    assert ledger.as_csv(rows).startswith("feeder,kind,criterion,element")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@a", "\ta", "\ra"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert csv_table.harmless(cell) == "'" + cell
    assert csv_table.harmless(-1.5) == -1.5


def test_the_commands_print_what_they_did(permitted: Application) -> None:
    out = StringIO()
    call_command("desk_day", stdout=out)
    assert json.loads(out.getvalue())["failed"] == []
    out = StringIO()
    call_command("curtailment_report", stdout=out)
    assert permitted.reference in out.getvalue()


def test_a_test_that_fails_takes_the_permission_back(permitted: Application, people: dict[str, Any]) -> None:
    failed = Result("wire", [Step("all", False)], NOW + timedelta(hours=1))
    commissioning.record(permitted, failed, by=people["engineer"])
    assert permitted.state == states.SUSPENDED
