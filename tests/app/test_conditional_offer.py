"""Conditional and bridge offers: the signed condition holds back the permission while the other one may still connect."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from derms.errors import Conflict, InputError
from derms.limits import NOTHING, Limit
from interconnection.models import Application, FeederVersion, Study
from interconnection.services import commissioning, joint_check
from interconnection.services.applications import act, file_application, submit
from interconnection.services.commissioning import Result, Step
from interconnection.services.offers import accept_offer, approve_offer, draft_terms, prepare_offer
from interconnection.services.studies import build_request, order_study
from tests.app.conftest import ask

STARTS = date(2026, 1, 1)


def test_a_conditional_offer_holds_back_the_permission_while_the_other_may_connect(
    application: Application, studied: Study, people: dict[str, Any], version: FeederVersion
) -> None:
    other = submit(file_application(ask(name="Ahead"), applicant=people["other"]), actor="other")
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=STARTS, ends=None)
    with pytest.raises(InputError, match="waits on the same feeder"):
        prepare_offer(application, studied, terms, engineer=people["engineer"], conditional_on=application)
    offer = prepare_offer(application, studied, terms, engineer=people["engineer"], conditional_on=other)
    assert offer.terms.conditions is not None
    assert offer.terms.conditions.conditional_on == other.reference
    accept_offer(approve_offer(offer, approver=people["approver"]), applicant=people["applicant"], typed_name="Ada")
    application.refresh_from_db()
    now = datetime(2026, 6, 1, tzinfo=UTC)
    commissioning.record(application, Result("wire", [Step("all", True)], now), by=people["engineer"])
    with pytest.raises(Conflict, match=other.reference):
        commissioning.permit(application, by=people["engineer"], now=now)
    act(other, "withdraw", by=people["other"])
    commissioning.permit(application, by=people["engineer"], now=now)


def test_two_that_are_safe_alone_are_not_promised_together(
    application: Application, studied: Study, people: dict[str, Any], version: FeederVersion
) -> None:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=STARTS, ends=None)
    offer = prepare_offer(application, studied, terms, engineer=people["engineer"])
    second = submit(file_application(ask(name="Beside"), applicant=people["other"]), actor="other")
    request = build_request(version, "671", (1, 2, 3), second.import_w, second.export_w, hours=48)
    study = order_study(version, request, actor="engineer", application=second)
    Study.objects.filter(pk=study.pk).update(status=Study.DONE, result=studied.result)
    study.refresh_from_db()
    second.refresh_from_db()
    same = draft_terms(second, study, starts=STARTS, ends=None)
    with pytest.raises(Conflict, match="at their firm limits") as refused:
        prepare_offer(second, study, same, engineer=people["engineer"])
    assert "Lower this offer" in refused.value.remedy, "the first only waits for its approver, and could be signed"
    accept_offer(approve_offer(offer, approver=people["approver"]), applicant=people["applicant"], typed_name="Ada")
    prepare_offer(second, study, replace(same, firm=NOTHING, failsafe=NOTHING), engineer=people["engineer"])


def test_what_is_promised_is_the_firm_limit_and_not_only_the_failsafe(
    application: Application, studied: Study, people: dict[str, Any], version: FeederVersion
) -> None:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=STARTS, ends=None)
    low = replace(terms, firm=terms.firm.scaled(0.4), failsafe=terms.firm.scaled(0.4))
    joint_check.check(version, low, [low], [])
    with pytest.raises(Conflict, match="at their firm limits"):
        joint_check.check(version, replace(low, firm=terms.firm), [replace(low, firm=terms.firm)], [])


def test_no_service_offers_more_than_was_studied(application: Application, studied: Study, people: dict[str, Any]) -> None:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=STARTS, ends=None)
    more = replace(terms, flexible=Limit(terms.flexible.import_w, application.export_w + 1))
    with pytest.raises(InputError, match="asked for and studied"):
        prepare_offer(application, studied, more, engineer=people["engineer"])
    with pytest.raises(InputError, match="made with unity"):
        prepare_offer(application, studied, replace(terms, inverter="volt_var_b"), engineer=people["engineer"])
