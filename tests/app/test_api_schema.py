"""The API against its own schema: the checked-in document is the code's, and generated calls never break the server.

`make api-fuzz` runs the same with a hundred calls for each operation and each kind (thousands in all).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
import schemathesis
import yaml
from django.conf import settings as django_settings
from django.core.cache import cache
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from interconnection.accounts import services as accounts
from interconnection.accounts.scopes import SCOPES
from interconnection.api import webhook_services
from interconnection.models import Offer
from telemetry.utility_models import WireNotification, WireSubscription
from telemetry.utility_services import enrol
from tests.app.conftest import person

DOCUMENT = django_settings.BASE_DIR / "templates" / "docs" / "openapi.yaml"
CASES = int(os.environ.get("HEADROOM_API_CASES", "4"))
SEED = os.environ.get("HEADROOM_API_SEED", "")
"""Empty: the same calls each time. A number: others, the same for the same number."""
SLOW = {"indicative_ask": 2, "screens_run": 2}
"""Operations that run the grid engine: fewer calls."""


@schemathesis.serializer("application/zip", "text/csv", "application/x-ndjson")
def as_bytes(ctx: Any, value: Any) -> bytes:
    """Generated text or bytes go out as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def test_the_checked_in_document_is_what_the_code_says(tmp_path: Any) -> None:
    made = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(made))
    assert yaml.safe_load(made.read_text()) == yaml.safe_load(DOCUMENT.read_text()), (
        "run 'make openapi' and look at the change"
    )


def test_each_operation_says_what_it_answers_and_how_to_sign_in() -> None:
    document = yaml.safe_load(DOCUMENT.read_text())
    assert document["openapi"].startswith("3.1")
    seen = set()
    for path, operations in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in operations.items():
            seen.add(operation["operationId"])
            assert operation["description"], path
            assert "default" in operation["responses"], (path, method)
            assert any(code.startswith("2") for code in operation["responses"]), (path, method)
            ways = [name for choice in operation["security"] for name in choice]
            assert ways == ["personalToken", "oauth2", "cookieAuth"], (path, method)
    assert len(seen) == sum(len(operations) for operations in document["paths"].values())


def test_generated_calls_never_break_the_server(offered: Offer, people: dict[str, Any], settings: Any) -> None:
    """Positive and negative cases for each operation: no 5xx, and each answer is what the document promises."""
    settings.API_CALLS_A_MINUTE = 10**9
    settings.SANDBOX_FEEDER = "ieee13"
    cache.clear()
    caller = person("everything", "applicant", "engineer", "approver")
    offered.application.applicant = caller
    offered.application.save()
    _, token = accounts.make_token(caller, "fuzz", list(SCOPES), days=1, now=timezone.now())
    hook, _ = webhook_services.create(caller, "https://hooks.example.org/", [])
    message = webhook_services.enqueue(hook, "test", {}, timezone.now())
    known = {"name": "ieee13", "message_number": message.pk}
    device = enrol("A" * 40, now=1)
    listens = WireSubscription.objects.create(owner=device, resource="/edev", uri="https://hooks.example/", profile="csip")
    told = WireNotification.objects.create(subscription=listens, body="", created=1, due=1)
    numbers = {"applications": offered.application_id, "studies": offered.study_id, "webhooks": hook.pk,
               "devices": device.pk, "notifications": told.pk}  # fmt: skip
    count: Counter[int] = Counter()
    schema = schemathesis.openapi.from_dict(yaml.safe_load(DOCUMENT.read_text()))
    schema.app = get_wsgi_application()
    checks = [
        CHECKS.get_one(name) for name in ("not_a_server_error", "content_type_conformance", "response_schema_conformance")
    ]
    for result in schema.get_all_operations():
        operation = result.ok()
        existing = {"number": numbers.get(operation.path.split("/")[3], 1), **known}
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            run(operation, mode, existing, token, checks, count)
    assert sum(count.values()) >= CASES * 40
    assert not [status for status in count if status >= 500], count
    assert sum(number for status, number in count.items() if status < 300) >= 30, f"too few calls got through: {count}"
    print(f"{sum(count.values())} generated calls: {dict(sorted(count.items()))}")


def run(
    operation: Any, mode: GenerationMode, existing: dict[str, Any], token: str, checks: list[Any], count: Counter[int]
) -> None:
    turns = {"n": 0}

    @settings(
        max_examples=min(CASES, SLOW.get(operation.definition.raw["operationId"], CASES)), derandomize=not SEED,
        database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        turns["n"] += 1
        if case.path_parameters and turns["n"] % 4:  # three of four at something that is there
            case.path_parameters = {name: existing.get(name, value) for name, value in case.path_parameters.items()}
        with transaction.atomic():
            answer = case.call(headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"})
            transaction.set_rollback(True)
        count[answer.status_code] += 1
        case.validate_response(answer, checks=checks)

    (seed(int(SEED))(call) if SEED else call)()


@pytest.mark.parametrize("name", ["Problem", "ApplicationForm", "Study", "Offer", "Agreement"])
def test_the_document_names_what_clients_need(name: str) -> None:
    assert name in yaml.safe_load(DOCUMENT.read_text())["components"]["schemas"]
