"""OpenID Connect with a real provider in a process of its own: PKCE, code, signed token, an account without a role."""

from __future__ import annotations

import html
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from tests.browser.conftest import House
from tests.identity.provider import PASSWORD, SECRET

pytestmark = pytest.mark.skipif(
    not os.environ.get("HEADROOM_SINGLE_SIGN_ON"), reason="starts four servers, some minutes: make single-sign-on"
)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Known(House):
    """A Headroom that knows the provider."""

    provider_port = 0
    secret = SECRET

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "OIDC_SERVER_URL": f"http://127.0.0.1:{self.provider_port}", "OIDC_CLIENT_ID": "headroom",
            "OIDC_CLIENT_SECRET": self.secret, "OIDC_NAME": "Utility", "NO_PROXY": "*",
        }  # fmt: skip


def _house(folder: Path, provider_port: int, secret: str = SECRET) -> Known:
    place = Known(folder)
    place.provider_port, place.secret = provider_port, secret
    place.manage("migrate", "--verbosity", "0")
    place.serve()
    return place


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    port = _free_port()
    place = _house(tmp_path_factory.mktemp("headroom"), port)
    folder = tmp_path_factory.mktemp("provider")
    callback = f"{place.url}/account/oidc/utility/login/callback/"
    provider = place.start("-m", "tests.identity.provider", str(folder), str(port), callback)
    deadline = time.monotonic() + 120
    while provider.poll() is None and time.monotonic() < deadline:
        try:
            requests.get(f"http://127.0.0.1:{port}/.well-known/openid-configuration", timeout=5).raise_for_status()
            break
        except requests.ConnectionError:
            time.sleep(0.2)
    yield place
    for process in reversed(place.processes):
        place.stop(process)


def _browser() -> requests.Session:
    browser = requests.Session()
    browser.trust_env = False
    return browser


def _send(
    browser: requests.Session, answer: requests.Response, fields: dict[str, str], path: str = ""
) -> requests.Response:
    """Post a page's form as a browser would, with its own hidden fields."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text)
    hidden = {name: html.unescape(value) for name, value in found}
    to = urljoin(answer.url, path) if path else answer.url
    return browser.post(to, hidden | fields, headers={"Referer": answer.url}, timeout=60)


def _to_provider(browser: requests.Session, place: Known) -> requests.Response:
    start = browser.get(place.url + "/login/", timeout=60)
    assert "Sign in with Utility" in start.text
    return _send(browser, browser.get(place.url + "/account/oidc/utility/login/", timeout=60), {})


def _roles(place: Known, name: str) -> str:
    code = (
        "import django; django.setup()\n"
        "from django.contrib.auth import get_user_model\n"
        f"found = get_user_model().objects.filter(username={name!r})\n"
        "print([sorted(user.groups.values_list('name', flat=True)) for user in found])"
    )
    return place._finish("-c", code).strip()


def test_a_person_of_the_provider_signs_in_and_has_no_role(pair: Known) -> None:
    browser = _browser()
    at_provider = _to_provider(browser, pair)
    assert urlsplit(at_provider.url).port == pair.provider_port, at_provider.url
    came_back = _send(browser, at_provider, {"login": "worker", "password": PASSWORD})
    assert urlsplit(came_back.url).port == pair.port, (came_back.url, came_back.text[:500])
    steps = [item.url for item in (*came_back.history, came_back)]
    called = parse_qs(urlsplit(next((url for url in steps if "/login/callback/" in url), "")).query)
    assert called, steps
    assert set(called) <= {"code", "state", "iss"}, "a code in the address, never a token"
    assert called["code"]
    assert browser.get(pair.url + "/account/tokens/", timeout=60, allow_redirects=False).status_code == 200, "signed in"
    assert _roles(pair, "worker") == "[[]]", "default deny: an administrator gives roles"
    for path in ("/operations/", "/people/", "/reports/", "/applications/new/"):
        assert browser.get(pair.url + path, timeout=60).status_code in (403, 404), path


def test_signing_in_again_is_the_same_account(pair: Known) -> None:
    for _ in range(2):
        browser = _browser()
        _send(browser, _to_provider(browser, pair), {"login": "worker", "password": PASSWORD})
    assert _roles(pair, "worker") == "[[]]"


def test_the_provider_is_asked_with_pkce_and_state(pair: Known) -> None:
    browser = _browser()
    page = browser.get(pair.url + "/account/oidc/utility/login/", timeout=60)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
    sent = browser.post(page.url, hidden, headers={"Referer": page.url}, timeout=60, allow_redirects=False)
    asked = parse_qs(urlsplit(sent.headers["Location"]).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["state"][0]


def test_an_answer_that_nobody_asked_for_signs_nobody_in(pair: Known) -> None:
    browser = _browser()
    browser.get(pair.url + "/account/oidc/utility/login/callback/?code=stolen&state=guessed", timeout=60)
    assert "/login/" in browser.get(pair.url + "/account/tokens/", timeout=60).url


def test_a_client_with_the_wrong_secret_gets_nobody_in(pair: Known, tmp_path: Path) -> None:
    other = _house(tmp_path, pair.provider_port, secret="not-the-secret")
    try:
        browser = _browser()
        at_provider = _to_provider(browser, other)
        _send(browser, at_provider, {"login": "worker", "password": PASSWORD})
        assert "/login/" in browser.get(other.url + "/account/tokens/", timeout=60).url
        assert _roles(other, "worker") == "[]"
    finally:
        for process in reversed(other.processes):
            other.stop(process)


def test_a_provider_that_does_not_answer_is_a_sentence_on_the_sign_in_page(tmp_path: Path) -> None:
    other = _house(tmp_path, _free_port())
    try:
        page = _to_provider(_browser(), other)
        assert (page.status_code, urlsplit(page.url).path) == (200, "/login/")
        assert "does not answer" in page.text
    finally:
        for process in reversed(other.processes):
            other.stop(process)
