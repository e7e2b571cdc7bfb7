"""The engine health page: the last stored run of validate, failures and reasons in plain words."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from derms.validation import second_engine
from derms.validation.answers import Check, ieee13, skipped_by_name
from interconnection.study_models import EngineHealth

pytestmark = pytest.mark.django_db


def test_the_page_shows_each_check_with_figures_and_what_was_left_out(client: Client, people: dict[str, Any]) -> None:
    client.force_login(people["engineer"])
    assert "No run is stored" in client.get("/studies/engine/").content.decode()
    checks = [*ieee13(), Check("a wrong one", "nowhere", 1.0, 2.0, 0.1), Check("known", "x", 1.0, 2.0, 0.1, "because")]
    document = {"passed": False, "checks": [check.to_dict() for check in checks], "skipped": ["second engine: absent"]}
    EngineHealth.objects.create(engine="headroom-arrays-2", passed=False, document=document)
    page = client.get("/studies/engine/").content.decode()
    for words in ("IEEE 13: head, kW", "a check fails", "known: because", "Left out: second engine: absent", "fail</span>"):
        assert words in page


def test_what_a_run_leaves_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_engine, "available", lambda: False)
    assert skipped_by_name(True) == ["second engine: install py-dss-interface"]
    assert len(skipped_by_name(False)) == 2
