"""A small feeder in the database, people with roles, and an application."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from derms.feeders import shipped
from derms.grid.dss_text import read_model
from interconnection.models import Application, FeederVersion, Study
from interconnection.roles import ROLES
from interconnection.services.applications import Request, file_application, move
from interconnection.services.feeders import store_model
from interconnection.services.studies import build_request, order_study, perform


@pytest.fixture(autouse=True)
def _own_anchor(settings: Any, tmp_path: Path) -> None:
    """Each test has its own database, so its own anchor."""
    settings.AUDIT_ANCHOR = str(tmp_path / "anchor.jsonl")


MODEL = read_model(shipped()["ieee13"])


def person(name: str, *roles: str) -> Any:
    user = get_user_model().objects.create_user(name, password=f"{name}-long-enough-1")
    for role in roles:
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


@pytest.fixture
def people(db: None) -> dict[str, Any]:
    found = {role: person(role, role) for role in ROLES}
    found["other"] = person("other", "applicant")
    found["nobody"] = person("nobody")
    return found


@pytest.fixture
def version(db: None) -> FeederVersion:
    return store_model(MODEL, "ieee13", actor="test")


def ask(**changes: Any) -> Request:
    facts: dict[str, Any] = {
        "name": "Bus depot", "feeder": "ieee13", "bus": "671", "phases": "123",
        "import_w": 4_000_000, "export_w": 3_000_000,
        "charger_model": "80 kW DC", "charger_count": 50, "charger_import_w": 80_000, "charger_export_w": 60_000,
        "need_wh_per_day": 5_000_000, "wanted": date(2027, 1, 1),
    }  # fmt: skip
    return Request(**(facts | changes))


@pytest.fixture
def application(people: dict[str, Any], version: FeederVersion) -> Application:
    filed = file_application(ask(), applicant=people["applicant"])
    return move(filed, "submit", actor="applicant")


@pytest.fixture
def studied(application: Application, version: FeederVersion) -> Study:
    request = build_request(version, "671", (1, 2, 3), application.import_w, application.export_w, hours=48)
    study = order_study(version, request, actor="engineer", application=application)
    return perform(study.pk, workers=1)
