"""The control room in a real browser: from an alarm to its acknowledgement, and what an operator sees when things die."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.browser

SHOWN_WITHIN_MS = 30_000  # failsafe.md, "operator blind": known within 30 s
STARTS_WITHIN_MS = 90_000


@pytest.fixture(scope="module")
def control_room(house: Any) -> Iterator[dict[str, Any]]:
    """The processes of `serve`, each our own child: control, watchdog, annunciator."""
    house.run("tests.browser.seed", "agreement")
    found = {
        "control": house.start("manage.py", "control", "--feeder", "ieee13", "--cycle", "2"),
        "annunciator": house.start("manage.py", "annunciator"),
        "watchdog": house.start(
            "manage.py", "watchdog", "--expect", "control-ieee13", "--expect", "web", "--expect", "annunciator"
        ),
    }
    yield found
    for process in found.values():
        house.stop(process, signal.SIGKILL)


def test_from_a_killed_process_to_the_banner_to_the_acknowledged_alarm(
    house: Any, page_as: Any, control_room: dict[str, Any]
) -> None:
    page = page_as("operator")
    page.goto(house.url + "/operations/")
    state, banner = page.locator("#control-state"), page.locator("#banner")
    page.locator('#control-state[data-state="controlling"]').wait_for(timeout=STARTS_WITHIN_MS)
    assert not banner.is_visible()
    page.get_by_role("link", name="ieee13").first.wait_for(timeout=STARTS_WITHIN_MS)

    planning = page_as("engineer")  # on every page, also of the planning desk
    planning.goto(house.url + "/")
    control_room["control"].send_signal(signal.SIGKILL)
    banner.wait_for(state="visible", timeout=SHOWN_WITHIN_MS)
    planning.locator("#banner").wait_for(state="visible", timeout=SHOWN_WITHIN_MS)
    assert "NOT CONTROLLING" in banner.inner_text()
    assert "control-ieee13" in banner.inner_text()
    assert state.inner_text() == "not controlling"
    house.shoot(page, "not-controlling")

    page.goto(house.url + "/operations/alarms/")
    row = page.locator("table.alarms tbody tr", has_text="Process without progress").filter(has_text="control-ieee13")
    row.wait_for(timeout=SHOWN_WITHIN_MS)
    assert "unacknowledged" in row.inner_text()
    for _ in range(20):  # by the keyboard alone: j to the row, a
        page.keyboard.press("j")
        if "at" in (row.get_attribute("class") or "").split():
            break
    page.keyboard.press("a")
    row.get_by_text(re.compile(r"acknowledged\s*by operator at")).wait_for()
    assert row.locator(".prio.new").count() == 0, "only what nobody acknowledged moves"
    house.shoot(page, "acknowledged")
    page.goto(house.url + "/operations/alarms/journal/")
    assert page.locator("tbody tr", has_text="acknowledge").filter(has_text="operator").count() == 1


def test_a_page_that_hears_nothing_says_so_by_its_own_clock(house: Any, page_as: Any, control_room: dict[str, Any]) -> None:
    page = page_as("operator")
    page.clock.install()
    page.goto(house.url + "/operations/")
    page.locator('#live[data-live="live"]').wait_for()
    web = house.processes[0]
    web.send_signal(signal.SIGSTOP)  # the socket stays open and silent: no error tells the page anything
    try:
        page.clock.fast_forward(SHOWN_WITHIN_MS - 5_000)
        page.get_by_text("NOT CONTROLLING FROM HERE: no news from the server").wait_for()
        assert "What this page shows is old" in page.locator("#banner").inner_text()
        house.shoot(page, "blind")
    finally:
        web.send_signal(signal.SIGCONT)
    page.get_by_text("NOT CONTROLLING FROM HERE").wait_for(state="hidden")


def test_an_applicant_hears_nothing_of_the_control_room(house: Any, page_as: Any) -> None:
    page = page_as("applicant")
    assert page.locator("#banner, #control-state").count() == 0
    answer = page.goto(house.url + "/operations/")
    assert answer.status == 403
