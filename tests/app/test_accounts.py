"""Signing in, second factor, tokens and clients, people and territories."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from derms.errors import Conflict, InputError
from interconnection import queries
from interconnection.accounts import services
from interconnection.models import Application, Event
from tests.app.conftest import person

LOGIN = "/login/"


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def sign_in(browser: Client, name: str, password: str | None = None) -> Any:
    return browser.post(LOGIN, {"login": name, "password": password or f"{name}-long-enough-1"})


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    cache.clear()


def test_there_is_no_account_and_no_password_to_begin_with(db: None) -> None:
    assert get_user_model().objects.count() == 0


def test_signing_in_and_out(people: dict[str, Any]) -> None:
    browser = Client()
    answer = sign_in(browser, "engineer")
    assert answer.status_code == 302
    cookie = answer.cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert browser.get("/").status_code == 200
    browser.post(reverse("logout"))
    assert "/login/" in browser.get("/")["Location"]


def test_guessing_a_password_is_slowed_down(people: dict[str, Any]) -> None:
    browser = Client()
    for _ in range(5):
        sign_in(browser, "engineer", "wrong")
    answer = sign_in(browser, "engineer")
    assert "Too many" in answer.content.decode()
    assert "/login/" in browser.get("/")["Location"]


def test_a_second_factor_is_asked_for_at_sign_in(people: dict[str, Any]) -> None:
    secret = generate_totp_secret()
    TOTP.activate(people["operator"], secret)
    browser = Client()
    assert sign_in(browser, "operator")["Location"].startswith("/account/2fa/authenticate/")
    assert "/login/" in browser.get("/")["Location"], "half signed in is not signed in"
    assert "Incorrect" in browser.post("/account/2fa/authenticate/", {"code": "000000"}).content.decode()
    assert browser.post("/account/2fa/authenticate/", {"code": code(secret)}).status_code == 302
    assert browser.get(reverse("operations")).status_code == 200


def test_roles_that_can_do_harm_set_one_up_before_anything_else(people: dict[str, Any], settings: Any) -> None:
    settings.REQUIRE_MFA = True
    for role in ("approver", "operator", "administrator"):
        browser = Client()
        browser.force_login(people[role])
        assert browser.get("/")["Location"] == "/account/2fa/"
        refused = browser.get("/api/v1/feeders/")
        assert refused.status_code == 403
        assert refused["Content-Type"] == "application/problem+json"
        TOTP.activate(people[role], generate_totp_secret())
        assert browser.get("/").status_code == 200
    browser = Client()
    browser.force_login(people["applicant"])
    assert browser.get("/").status_code == 200


def test_allauths_pages_do_not_open_to_strangers(people: dict[str, Any]) -> None:
    for name in (
        "mfa_index", "mfa_activate_totp", "mfa_view_recovery_codes", "mfa_list_webauthn", "account_change_password",
        "account_email", "usersessions_list", "socialaccount_connections",
    ):  # fmt: skip
        assert "/login/" in Client().get(reverse(name))["Location"], name


def test_allauths_pages_stand_in_our_frame(people: dict[str, Any]) -> None:
    browser = Client()
    sign_in(browser, "engineer")
    for name in ("mfa_index", "mfa_activate_totp", "account_change_password", "usersessions_list"):
        text = browser.get(reverse(name), follow=True).content.decode()
        assert "Headroom" in text
        assert "headroom.css" in text, name


def test_strangers_make_no_accounts_unless_the_utility_says_so(db: None, settings: Any) -> None:
    form = {"username": "dev", "password1": "correct-horse-9", "password2": "correct-horse-9"}
    Client().post(reverse("account_signup"), form)
    assert get_user_model().objects.count() == 0
    settings.OPEN_REGISTRATION = True
    Client().post(reverse("account_signup"), form)
    assert list(get_user_model().objects.get(username="dev").groups.values_list("name", flat=True)) == ["applicant"]


def test_a_new_person_gets_an_address_and_no_password(people: dict[str, Any]) -> None:
    browser = Client()
    browser.force_login(people["administrator"])
    page = browser.post(reverse("people"), {"username": "newcomer", "roles": ["engineer"]}).content.decode()
    link = re.search(r"http://testserver(/account/password/reset/key/[^<]+)", page)
    assert link is not None
    newcomer = Client()
    form = newcomer.get(link[1], follow=True)
    at = form.redirect_chain[-1][0]
    newcomer.post(at, {"password1": "a-long-one-4711", "password2": "a-long-one-4711"})
    assert sign_in(Client(), "newcomer", "a-long-one-4711").status_code == 302
    assert (
        "nvalid" in Client().get(link[1], follow=True).content.decode()
        or "Bad Token" in Client().get(link[1], follow=True).content.decode()
    )


def test_nobody_raises_themselves_and_an_administrator_remains(people: dict[str, Any]) -> None:
    boss = people["administrator"]
    with pytest.raises(Conflict, match="own roles"):
        services.set_roles(boss, boss, ["administrator", "operator"])
    second = person("second", "administrator")
    services.set_roles(boss, second, ["engineer"])
    with pytest.raises(Conflict, match="last administrator"):
        services.set_roles(second, boss, [])
    with pytest.raises(InputError, match="unknown role"):
        services.set_roles(boss, second, ["god"])
    event = Event.objects.filter(action="roles_set").last()
    assert event is not None
    assert (event.before, event.after["roles"]) == ({"roles": ["administrator"]}, ["engineer"])


def test_a_closed_account_is_out_everywhere(people: dict[str, Any]) -> None:
    _, value = services.make_token(people["engineer"], "script", ["feeders:read"], days=1, now=timezone.now())
    browser = Client()
    browser.force_login(people["engineer"])
    services.set_active(people["administrator"], people["engineer"], False)
    assert "/login/" in browser.get("/")["Location"]
    assert Client().get("/api/v1/feeders/", headers={"Authorization": f"Bearer {value}"}).status_code == 401


def test_a_territory_narrows_what_the_utilitys_people_see(people: dict[str, Any], application: Application) -> None:
    engineer = people["engineer"]
    assert queries.applications(engineer).count() == 1
    elsewhere = services.save_territory(people["administrator"], "North", [], [engineer.pk])
    assert queries.applications(engineer).count() == 0
    assert queries.applications(people["auditor"]).count() == 1
    services.save_territory(people["administrator"], "North", ["ieee13"], [engineer.pk], number=elsewhere.pk)
    assert queries.applications(engineer).count() == 1


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def test_a_personal_token_opens_its_scopes_until_it_ends(people: dict[str, Any]) -> None:
    now = timezone.now()
    token, value = services.make_token(people["applicant"], "script", ["feeders:read"], days=1, now=now)
    assert value not in str(vars(token))
    assert Client().get("/api/v1/feeders/", headers=bearer(value)).status_code == 200
    refused = Client().get("/api/v1/applications/", headers=bearer(value))
    assert refused.status_code == 403
    assert "applications:read" in refused.json()["detail"]
    token.refresh_from_db()
    assert token.last_used is not None
    assert services.find_token(value, now + timedelta(days=1, seconds=1)) is None
    services.revoke_token(people["applicant"], token.pk, now)
    answer = Client().get("/api/v1/feeders/", headers=bearer(value))
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_oauth2_client_credentials(people: dict[str, Any]) -> None:
    client, secret = services.make_client(people["applicant"], "portal", ["feeders:read", "applications:read"])
    basic = "Basic " + base64.b64encode(f"{client.pk}:{secret}".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": "feeders:read"}
    answer = Client().post(reverse("oauth-token"), form, headers={"Authorization": basic})
    assert answer.status_code == 200, answer.content
    granted = answer.json()
    assert (granted["token_type"], granted["expires_in"], granted["scope"]) == ("Bearer", 3600, "feeders:read")
    assert Client().get("/api/v1/feeders/", headers=bearer(granted["access_token"])).status_code == 200
    assert Client().get("/api/v1/applications/", headers=bearer(granted["access_token"])).status_code == 403
    wrong = "Basic " + base64.b64encode(f"{client.pk}:nope".encode()).decode()
    assert Client().post(reverse("oauth-token"), form, headers={"Authorization": wrong}).status_code == 401
    more = form | {"scope": "offers:write"}
    assert Client().post(reverse("oauth-token"), more, headers={"Authorization": basic}).status_code == 400
    services.rotate_client(people["applicant"], client.pk)
    assert Client().post(reverse("oauth-token"), form, headers={"Authorization": basic}).status_code == 401
    services.remove_client(people["applicant"], client.pk)
    assert Client().get("/api/v1/feeders/", headers=bearer(granted["access_token"])).status_code == 401


def test_a_token_never_does_more_than_its_owners_roles(people: dict[str, Any], application: Application) -> None:
    _, value = services.make_token(
        people["auditor"], "script", ["applications:read", "studies:write"], days=1, now=timezone.now()
    )
    answer = Client().post(f"/api/v1/applications/{application.pk}/studies/", {}, "application/json", headers=bearer(value))
    assert answer.status_code == 403


def test_the_oidc_provider_is_a_setting(settings: Any, people: dict[str, Any]) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [{
        "provider_id": "utility", "name": "Utility", "client_id": "x", "secret": "y", "settings": {"server_url": "https://id.example"},
    }]}}  # fmt: skip
    page = Client().get(LOGIN).content.decode()
    assert "Sign in with Utility" in page
    assert "/account/oidc/utility/login/" in page


def test_a_provider_that_does_not_answer_is_a_sentence_on_the_sign_in_page(db: None, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [{
        "provider_id": "utility", "name": "Utility", "client_id": "x", "secret": "y",
        "settings": {"server_url": "http://127.0.0.1:9"},
    }]}}  # fmt: skip
    page = Client().post("/account/oidc/utility/login/", follow=True)
    assert page.redirect_chain[-1][0] == LOGIN
    assert "does not answer" in page.content.decode()
