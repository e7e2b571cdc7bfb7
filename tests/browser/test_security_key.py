"""A security key (WebAuthn) as second factor, with Chromium's virtual authenticator: registered, asked for, refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import House, password

pytestmark = pytest.mark.browser
KEY = {
    "protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    found = browser.new_context(viewport={"width": 1366, "height": 768})
    yield found
    found.close()


def _url(house: House) -> str:
    # A relying party has a name: WebAuthn knows no IP addresses.
    return f"http://localhost:{house.port}"


def _password(page: Any, house: House, name: str) -> None:
    page.goto(_url(house) + "/login/")
    page.fill("input[name=login]", name)
    page.fill("input[name=password]", password(name))
    page.press("input[name=password]", "Enter")


def test_a_key_is_registered_and_then_asked_for_at_each_sign_in(house: House, context: Any) -> None:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    keys = context.new_cdp_session(page)
    keys.send("WebAuthn.enable")
    authenticator = keys.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})["authenticatorId"]
    _password(page, house, "operator2")
    page.wait_for_url(lambda url: "/login" not in url)

    page.goto(_url(house) + "/account/2fa/webauthn/add/")
    page.fill("input[name=name]", "Key of the control room")
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url(lambda url: "/webauthn/add" not in url)
    assert len(keys.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]) == 1
    page.goto(_url(house) + "/account/2fa/webauthn/")
    assert "Key of the control room" in page.locator("main").inner_text()
    house.shoot(page, "security-key")

    context.clear_cookies()
    _password(page, house, "operator2")
    page.wait_for_url("**/account/2fa/authenticate/**")
    page.goto(_url(house) + "/operations/")
    assert "/login/" in page.url, "the password alone opens nothing"
    _password(page, house, "operator2")
    page.wait_for_url("**/account/2fa/authenticate/**")
    page.locator("#mfa_webauthn_authenticate").click()
    page.wait_for_url(lambda url: "/account/2fa/" not in url and "/login" not in url)
    page.goto(_url(house) + "/operations/")
    assert "/login/" not in page.url

    # Another key is no key: the same password, an authenticator that was never registered.
    context.clear_cookies()
    keys.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": authenticator})
    keys.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
    _password(page, house, "operator2")
    page.wait_for_url("**/account/2fa/authenticate/**")
    page.locator("#mfa_webauthn_authenticate").click()
    page.wait_for_timeout(1500)
    page.goto(_url(house) + "/operations/")
    assert "/login/" in page.url
    assert not errors, errors
