"""What browsers are told, and what production insists on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from tests.app.test_pages_and_api import client

ROOT = django_settings.BASE_DIR


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HEADROOM_", "WEBHOOK_", "UTILITY_", "SECRET_KEY"))
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=kept | environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


PRODUCTION = {"HEADROOM_PRODUCTION": "1", "SECRET_KEY": "k7" * 40 + "_!aZ"}


def test_check_deploy_has_nothing_to_say() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"HEADROOM_PRODUCTION": "1"},
        PRODUCTION | {"WEBHOOK_ALLOW_HTTP": "1"},
        PRODUCTION | {"UTILITY_TEST_API": "1"},
        PRODUCTION | {"WEBHOOK_PRIVATE_NETWORKS": "10.0.0.0/99"},
    ],
)
def test_production_does_not_start_half_open(environment: dict[str, str]) -> None:
    done = manage("check", **environment)
    assert done.returncode != 0
    assert "ImproperlyConfigured" in done.stderr


def test_headers_of_a_page_and_of_the_api(people: dict[str, Any]) -> None:
    browser = client(people["engineer"])
    for url in ("/", "/login/", "/api/v1/me/", "/docs/", "/people/", "/nothing-here/"):
        answer = browser.get(url)
        assert answer["X-Content-Type-Options"] == "nosniff", url
        assert answer["X-Frame-Options"] == "DENY", url
        assert answer["Referrer-Policy"] == "same-origin", url
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin", url
        policy = answer["Content-Security-Policy"]
        for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'self'", "form-action 'self'"):
            assert part in policy, (url, part)
        assert "unsafe-eval" not in policy
        script = re.search(r"script-src ([^;]*)", policy)
        assert script is None or "unsafe-inline" not in script[1], url
    assert browser.get("/api/v1/me/")["Cache-Control"] == "no-store"


def test_plain_http_is_sent_to_https_and_cookies_are_secure_in_production() -> None:
    done = manage(
        "shell", "-c",
        "from django.conf import settings as s;"
        "print(s.SECURE_SSL_REDIRECT, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_HSTS_SECONDS >= 31536000,"
        " s.SESSION_COOKIE_HTTPONLY, s.REQUIRE_MFA, s.DEBUG, s.OPEN_REGISTRATION)",
        **PRODUCTION,
    )  # fmt: skip
    assert done.stdout.split()[-8:] == ["True"] * 6 + ["False"] * 2, done.stdout + done.stderr


def test_an_unknown_host_is_refused(db: None) -> None:
    for url in ("/login/", "/api/v1/me/"):
        answer = Client().get(url, headers={"Host": "evil.example"})
        assert answer.status_code == 400
        assert b"evil" not in answer.content


def test_signing_in_leads_nowhere_else(people: dict[str, Any]) -> None:
    for target in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        answer = Client().post("/login/", {"login": "engineer", "password": "engineer-long-enough-1", "next": target})
        assert "evil" not in answer.get("Location", ""), target


def test_every_setting_that_is_read_is_listed() -> None:
    source = (ROOT / "derms" / "settings.py").read_text()
    listed = (ROOT / ".env.example").read_text()
    read = re.findall(r'env(?:\.\w+)?\(\s*"([A-Z0-9_]+)"', source)
    assert len(read) > 30
    assert [name for name in read if name not in listed] == []
