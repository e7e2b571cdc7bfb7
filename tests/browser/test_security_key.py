"""A security key (WebAuthn), with Chromium's own virtual authenticator: added after the password, asked for at sign-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import password

pytestmark = pytest.mark.browser

PERSON = "keeper"
KEY = {
    "protocol": "ctap2", "transport": "usb", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
    "automaticPresenceSimulation": True,
}  # fmt: skip


def give_password(page: Any, url: str) -> None:
    page.goto(url + "/login/")
    page.fill("input[name=login]", PERSON)
    page.fill("input[name=password]", password(PERSON))
    page.press("input[name=password]", "Enter")


def test_a_key_is_added_after_the_password_and_nobody_signs_in_without_it(house: Any, browser: Any) -> None:
    # A key belongs to a host's name: browsers refuse 127.0.0.1.
    url = f"http://localhost:{house.port}"
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    key = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})["authenticatorId"]

    def used() -> int:
        """Return how often the key has signed."""
        (credential,) = devtools.send("WebAuthn.getCredentials", {"authenticatorId": key})["credentials"]
        return int(credential["signCount"])

    give_password(page, url)
    page.wait_for_url(lambda found: "/login" not in found)
    page.goto(url + "/account/2fa/")
    page.locator("a[href$='/webauthn/add/']").click()
    page.wait_for_url("**/account/reauthenticate/**")
    page.fill("input[name=password]", "not the password")
    page.press("input[name=password]", "Enter")
    page.locator("form .errorlist, form .error, [role=alert]").first.wait_for()
    assert "reauthenticate" in page.url
    page.fill("input[name=password]", password(PERSON))
    page.press("input[name=password]", "Enter")
    page.wait_for_url("**/webauthn/add/")
    page.fill("input[name=name]", "Desk key")
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url("**/recovery-codes/**")
    page.goto(url + "/account/2fa/webauthn/")
    assert "Desk key" in page.locator("main").inner_text()
    before = used()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login/**")

    stranger = browser.new_context()
    without = stranger.new_page()
    give_password(without, url)
    without.wait_for_url("**/account/2fa/authenticate/**")
    without.goto(url + "/operations/")
    assert urlsplit(without.url).path != "/operations/", "the password alone signs nobody in"
    stranger.close()

    give_password(page, url)
    page.wait_for_url("**/account/2fa/authenticate/**")
    page.get_by_role("button", name="Use a security key").click()
    page.wait_for_url(url + "/")
    assert PERSON in page.locator("header").first.inner_text()
    assert used() > before
    page.goto(url + "/operations/")
    assert page.locator("h1").count() == 1
    assert errors == []
    context.close()
