"""Every page, light and dark: no accessibility fault that axe knows, nothing from another host, less than 300 KB.

The pages are those that the access table says answer 200 to a GET: a new page is looked at without anybody's doing.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.urls import get_resolver

pytestmark = pytest.mark.browser

MOST_BYTES = 300_000
RULES = {"light": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"], "dark": ["color-contrast", "link-in-text-block"]}
"""In the dark only the colours differ."""


@pytest.fixture(scope="module")
def world(house: Any) -> dict[str, Any]:
    """An application with everything on it, and the addresses of the pages by who looks at them."""
    house.run("tests.browser.seed", "planning", "offered", "signed")
    return json.loads(house.run("tests.browser.addresses"))


def look(page: Any, url: str, house: Any, axe: Any, faults: list[str], rules: list[str]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = page.goto(url, wait_until="load")
    page.wait_for_timeout(150)
    where = urlsplit(url).path
    if answer.status != 200:
        faults.append(f"{where}: {answer.status}")
        return
    foreign = [item for item in asked if not item.startswith((house.url, "data:", house.url.replace("http", "ws")))]
    faults.extend(f"{where}: from another host: {item}" for item in foreign)
    sizes = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(e => e.encodedBodySize)"
    )
    if sum(sizes) > MOST_BYTES:
        faults.append(f"{where}: {sum(sizes)} bytes")
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wider > 0:
        faults.append(f"{where}: {wider} px wider than the window")
    found = axe.run(page, options={"resultTypes": ["violations"], "runOnly": rules})
    for fault in found.response["violations"]:
        places = "; ".join(node["html"][:160] for node in fault["nodes"][:3])
        faults.append(f"{where}: {fault['id']}: {places}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_comes_from_another_host(
    house: Any, page_as: Any, world: dict[str, Any], scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    faults: list[str] = []
    for person, urls in world["pages"].items():
        page = page_as(person, scheme=scheme)
        for url in urls:
            look(page, house.url + url, house, axe, faults, RULES[scheme])
    assert faults == [], "\n".join(faults)


def test_no_page_is_wider_than_a_large_screen_and_the_help_opens_by_the_keyboard(
    house: Any, page_as: Any, world: dict[str, Any]
) -> None:
    page = page_as("engineer", width=1920, height=1080)
    for url in world["pages"]["engineer"][:6]:
        page.goto(house.url + url)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), url
    page.keyboard.press("?")
    assert page.locator("#keys-help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url("**/feeders/")


def test_the_address_list_covers_the_resolver() -> None:
    names = {key for key in get_resolver().reverse_dict if isinstance(key, str)}
    assert {"queue", "study", "edit-offer", "operations"} <= names
