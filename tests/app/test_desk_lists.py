"""The board's columns, one action on many applications, rule packs side by side, curtailment beside its estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from interconnection import board, packs, rule_packs
from interconnection.models import Application, Study
from tests.app.test_access_matrix import signed

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def test_a_second_click_turns_a_column_round_and_only_one_column_runs() -> None:
    by_import = {item.words: item for item in board.columns("import")}
    assert (by_import["Import, kW"].order, by_import["Import, kW"].runs) == ("-import", "descending")
    turned = {item.words: item for item in board.columns("-import")}
    assert (turned["Import, kW"].order, turned["Import, kW"].runs) == ("import", "ascending")
    assert sum(bool(item.runs) for item in turned.values()) == 1
    assert all(not item.order or item.order in board.ORDERS for item in turned.values())


def test_many_applications_are_studied_with_one_press_and_one_that_cannot_be_is_named(
    application: Application, people: dict[str, Any]
) -> None:
    from interconnection.services.applications import file_application
    from tests.app.conftest import ask

    draft = file_application(ask(name="A draft"), applicant=people["applicant"])
    answer = signed_in(people["engineer"]).post(
        reverse("bulk-applications"),
        {"what": "quick", "application": [application.pk, draft.pk, "no number"], "back": "stage=study"}, follow=True,
    )  # fmt: skip
    assert answer.redirect_chain[0][0].endswith("?stage=study")
    page = answer.content.decode()
    assert "1 queued" in page and draft.reference in page
    assert [row.application for row in Study.objects.all()] == [application]
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_screens_of_many_go_to_the_queue_and_another_action_changes_nothing(
    application: Application, people: dict[str, Any]
) -> None:
    browser = signed_in(people["engineer"])
    browser.post(reverse("bulk-applications"), {"what": "screen", "application": application.pk})
    assert OrmQ.objects.count() == 1
    told = browser.post(reverse("bulk-applications"), {"what": "withdraw", "application": application.pk}, follow=True)
    assert "unknown action" in told.content.decode()
    application.refresh_from_db()
    assert application.state == "complete"


def test_two_rule_packs_stand_side_by_side_and_so_does_an_own_one_beside_the_shipped_one_of_its_name(
    people: dict[str, Any], tmp_path: Path, settings: Any
) -> None:
    browser = signed_in(people["engineer"])
    page = browser.get(reverse("rule-packs"), {"one": "us-sgip-like", "two": "gb-like"}).content.decode()
    assert "calendar.country" in page and "not verified" not in page
    assert "not verified" in browser.get(reverse("rule-packs")).content.decode()
    text = (rule_packs.SHIPPED / "gb-like.yaml").read_text()
    (tmp_path / "gb-like.yaml").write_text(text.replace("version: 1", "version: 9", 1))
    settings.RULE_PACKS = str(tmp_path)
    assert [item.key for item in packs.stored() if item.hidden] == ["gb-like@shipped"]
    page = browser.get(reverse("rule-packs"), {"one": "gb-like", "two": "gb-like@shipped"}).content.decode()
    assert "1 values" in page and "gb-like, version 9" in page


def test_curtailment_stands_beside_estimate_and_cap_for_every_agreement(offered: Any, people: dict[str, Any]) -> None:
    agreement = signed(people["applicant"], offered)
    browser = signed_in(people["auditor"])
    page = browser.get(reverse("curtailment-report")).content.decode()
    assert agreement.site in page
    rows = browser.get(reverse("curtailment-report"), {"csv": "1"})
    assert rows["Content-Type"].startswith("text/csv") and agreement.site in rows.content.decode()
