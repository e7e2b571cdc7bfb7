"""A small feeder in the database, people with roles, and an application."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from derms.feeders import shipped
from derms.grid.dss_text import read_model
from interconnection.models import Application, Feeder, FeederVersion, Offer, Study
from interconnection.roles import ROLES
from interconnection.services.applications import Request, file_application, submit
from interconnection.services.certificates import register
from interconnection.services.feeders import store_model
from interconnection.services.offers import draft_terms, issue_offer
from interconnection.services.studies import build_request, order_study, perform


@pytest.fixture(autouse=True)
def _own_anchor(settings: Any, tmp_path: Path) -> None:
    """Each test has its own database, so its own anchor."""
    settings.AUDIT_ANCHOR = str(tmp_path / "anchor.jsonl")


@pytest.fixture(autouse=True)
def _keep_the_tests_own_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL Django closes a connection inside a transaction as "not restored": here that is the test's own."""
    right = BaseDatabaseWrapper.close_if_unusable_or_obsolete

    def close(self: BaseDatabaseWrapper) -> None:
        if not self.in_atomic_block:
            right(self)

    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", close)


MODEL = read_model(shipped()["ieee13"])


def person(name: str, *roles: str) -> Any:
    user = get_user_model().objects.create_user(name, password=f"{name}-long-enough-1")
    for role in roles:
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


@pytest.fixture(autouse=True)
def cheap_passwords(settings: Any) -> None:
    """Eight people a test, 0.4 s each with the real hash: not what these tests are about."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def people(db: None) -> dict[str, Any]:
    found = {role: person(role, role) for role in ROLES}
    found["other"] = person("other", "applicant")
    found["nobody"] = person("nobody")
    return found


COMPILED_ONCE: dict[str, Any] = {}


@pytest.fixture
def version(db: None) -> FeederVersion:
    if not COMPILED_ONCE:
        stored = store_model(MODEL, "ieee13", actor="test")
        COMPILED_ONCE.update({name: getattr(stored, name) for name in ("sha256", "text", "description", "findings")})
        return stored
    feeder = Feeder.objects.create(name="ieee13")
    return FeederVersion.objects.create(feeder=feeder, **copy.deepcopy(COMPILED_ONCE))


def ask(**changes: Any) -> Request:
    facts: dict[str, Any] = {
        "name": "Bus depot", "feeder": "ieee13", "bus": "671", "phases": "123",
        "import_w": 4_000_000, "export_w": 3_000_000,
        "charger_model": "80 kW DC", "charger_count": 50, "charger_import_w": 80_000, "charger_export_w": 60_000,
        "need_wh_per_day": 5_000_000, "wanted": date(2027, 1, 1),
        "address": "1 Depot Road", "contact_email": "night@depot.example", "charger_make": "Volt", "vehicle_count": 50,
        "vehicle_wh": 200_000, "transformer_va": 5_000_000, "certificates": [{"standard": "UL 1741 SB", "listing": "E1"}],
        "documents": [{"kind": "one_line", "status": "attached"}],
    }  # fmt: skip
    return Request(**(facts | changes))


def listed(**changes: Any) -> Any:
    facts: dict[str, Any] = {
        "make": "Volt", "model": "80 kW DC", "standard": "UL 1741 SB", "listing": "E1", "issued": date(2025, 1, 1),
        "expires": date(2030, 1, 1), "origin": "test", "actor": "test",
    }  # fmt: skip
    return register(**(facts | changes))


@pytest.fixture
def application(people: dict[str, Any], version: FeederVersion) -> Application:
    listed()
    filed = file_application(ask(), applicant=people["applicant"])
    return submit(filed, actor="applicant")


RUN_ONCE: dict[str, str] = {}
"""Result by hash of the inputs: the same inputs give the same bytes (test_study_folder), so one run serves every test."""


@pytest.fixture
def studied(application: Application, version: FeederVersion) -> Study:
    request = build_request(version, "671", (1, 2, 3), application.import_w, application.export_w, hours=48)
    study = order_study(version, request, actor="engineer", application=application)
    if study.inputs_sha256 not in RUN_ONCE:
        RUN_ONCE[study.inputs_sha256] = perform(study.pk, workers=1).result
    Study.objects.filter(pk=study.pk).update(
        status=Study.DONE, result=RUN_ONCE[study.inputs_sha256], done_hours=48, finished=timezone.now()
    )
    study.refresh_from_db()
    return study


@pytest.fixture
def offered(application: Application, studied: Study, people: dict[str, Any]) -> Offer:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=application.wanted, ends=None)
    return issue_offer(application, studied, terms, engineer=people["engineer"], approver=people["approver"])
