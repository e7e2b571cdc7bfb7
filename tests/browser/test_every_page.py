"""Every page, light and dark: no accessibility fault that axe knows, nothing from another host, less than 300 KB.

The pages are those that the access table says answer 200 to a GET: a new page is looked at without anybody's doing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.urls import get_resolver

pytestmark = pytest.mark.browser

MOST_BYTES = 300_000
NARROW, WIDE = (1366, 768), (1920, 1080)
PICTURES = os.environ.get("HEADROOM_EVERY_PAGE", "")
"""A folder for a picture of each whole page, for people to look at; empty: none are taken."""
RULES = {"light": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"], "dark": ["color-contrast", "link-in-text-block"]}
"""In the dark only the colours differ."""


@pytest.fixture(scope="module")
def world(house: Any) -> Iterator[dict[str, Any]]:
    """An application with everything on it, a control room at work, the addresses of the pages by who looks at them."""
    house.run("tests.browser.seed", "planning", "offered", "signed", "furnished")
    control = house.start("manage.py", "control", "--feeder", "ieee13", "--cycle", "2")
    house.run("tests.browser.seed", "controlled")
    yield json.loads(house.run("tests.browser.addresses"))
    house.stop(control)


def look(page: Any, url: str, house: Any, axe: Any, faults: list[str], rules: list[str], status: int = 200) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = page.goto(url, wait_until="load")
    page.wait_for_timeout(150)
    where = urlsplit(url).path
    if answer.status != status:
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
    too_wide(page, where, faults)
    found = axe.run(page, options={"resultTypes": ["violations"], "runOnly": rules})
    for fault in found.response["violations"]:
        places = "; ".join(node["html"][:160] for node in fault["nodes"][:3])
        faults.append(f"{where}: {fault['id']}: {places}")


def too_wide(page: Any, where: str, faults: list[str]) -> None:
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wider > 0:
        faults.append(f"{where}: {wider} px wider than the window")


def take(page: Any, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def page_of(person: str, page_as: Any, browser: Any, size: tuple[int, int], scheme: str) -> Any:
    """Return a page on which a person is signed in; nobody is not."""
    if person != "nobody":
        return page_as(person, width=size[0], height=size[1], scheme=scheme)
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    return context.new_page()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_comes_from_another_host(
    house: Any, browser: Any, page_as: Any, world: dict[str, Any], scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    faults: list[str] = []
    for person, urls in world["pages"].items():
        page = page_of(person, page_as, browser, NARROW, scheme)
        for url in urls:
            look(page, house.url + url, house, axe, faults, RULES[scheme])
            take(page, f"{scheme}-{person}{url.replace('/', '-')}")
    missing = page_as("applicant", scheme=scheme)
    look(missing, house.url + "/applications/987654/", house, axe, faults, RULES[scheme], 404)
    look(missing, house.url + "/operations/", house, axe, faults, RULES[scheme], 403)
    assert faults == [], "\n".join(faults)


def test_every_page_fits_a_large_screen(house: Any, browser: Any, page_as: Any, world: dict[str, Any]) -> None:
    faults: list[str] = []
    for person, urls in world["pages"].items():
        page = page_of(person, page_as, browser, WIDE, "light")
        for url in urls:
            page.goto(house.url + url)
            too_wide(page, url, faults)
            take(page, f"wide-{person}{url.replace('/', '-')}")
    assert faults == [], "\n".join(faults)


def test_after_a_bulk_action_the_queue_says_what_happened_to_each(house: Any, page_as: Any, world: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = page_as("engineer")
    page.goto(house.url + "/")
    page.locator("[data-all=application]").check()
    chosen = page.locator("input[name=application]:checked").count()
    assert chosen > 2
    page.get_by_role("button", name="Run the screens").click()
    page.locator(".messages, [role=status]").first.wait_for()
    take(page, "bulk")
    found = axe.run(page, options={"resultTypes": ["violations"], "runOnly": RULES["light"]}).response["violations"]
    assert found == []


def test_the_help_opens_by_the_keyboard_and_keys_lead_everywhere(house: Any, page_as: Any) -> None:
    page = page_as("engineer")
    page.goto(house.url + "/")
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
