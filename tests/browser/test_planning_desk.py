"""The planning desk in a real browser: the engineer's way from the queue to an issued offer, and the developer's by API."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.browser

STUDY_MS = 180_000


@pytest.fixture(scope="module")
def desk(house: Any) -> Iterator[str]:
    """An application that waits, and a worker for its study; its number."""
    number = house.run("tests.browser.seed", "planning").split()[-1]
    worker = house.start("manage.py", "qcluster")
    yield number
    house.stop(worker)


def test_an_engineer_goes_from_the_queue_to_an_issued_offer_in_one_sitting(house: Any, page_as: Any, desk: str) -> None:
    started = time.monotonic()
    page = page_as("engineer")
    page.goto(house.url + "/")
    page.locator("h1", has_text="Applications").wait_for()
    house.shoot(page, "queue")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/applications/{desk}/")
    page.get_by_role("button", name="Run the screens").click(timeout=60_000)
    page.locator("table.screens").first.wait_for(timeout=60_000)
    house.shoot(page, "application")
    page.locator("#screens").scroll_into_view_if_needed()
    house.shoot(page, "screens")

    page.get_by_role("button", name="Quick look, 288 hours").click()
    page.wait_for_url("**/studies/*/")
    page.locator("caption", has_text="Answer").wait_for(timeout=STUDY_MS)
    house.shoot(page, "study")
    page.locator("#profile svg.chart").wait_for(timeout=60_000)
    page.locator("#map").scroll_into_view_if_needed()
    page.locator("#m-table table").first.wait_for(timeout=60_000)
    house.shoot(page, "map")
    asked = page.locator("#wi-import_kw")
    asked.fill("500")
    asked.press("Enter")
    page.locator("#what-if-answer table").first.wait_for(timeout=60_000)
    page.locator("#what-if").scroll_into_view_if_needed()
    house.shoot(page, "what-if")

    page.get_by_role("link", name="To the application").click()
    page.get_by_role("link", name="Shape the offer").click()
    page.locator("#check .notice").wait_for()
    cell = page.locator("#grid td").nth(18)
    cell.click()
    page.keyboard.press("Shift+ArrowRight")
    before = page.locator("#check").inner_text()
    page.keyboard.type("3000")
    page.keyboard.press("Enter")
    page.wait_for_function("before => document.querySelector('#check').innerText !== before", arg=before)
    page.locator("#check .notice", has_text="hold together").wait_for()
    assert [page.locator("#grid td").nth(place).inner_text() for place in (17, 18, 19)][1:] == ["3000", "3000"]
    assert page.locator("#o-schedule_import").input_value().splitlines()[0].split("\t")[18:20] == ["3000", "3000"]
    house.shoot(page, "offer-editor")
    page.get_by_role("button", name="Prepare this offer").click()
    page.wait_for_url(f"**/applications/{desk}/")
    assert page.locator("text=waits for an approver").count() == 1

    second = page_as("approver")
    second.goto(f"{house.url}/applications/{desk}/")
    second.get_by_role("button", name="Issue this offer").click()
    second.locator("#offer .state", has_text="open").wait_for()
    house.shoot(second, "offer-issued")
    seconds = time.monotonic() - started
    (house.state / "stopwatch.json").write_text(json.dumps({"application_to_offer_s": round(seconds, 1)}))
    print(f"from the queue to an issued offer: {seconds:.1f} s")

    applicant = page_as("applicant")
    applicant.goto(f"{house.url}/applications/{desk}/")
    with applicant.expect_response("**/letter.pdf") as letter:
        applicant.evaluate("url => fetch(url)", applicant.get_by_role("link", name="Letter, PDF").get_attribute("href"))
    assert letter.value.header_value("content-type") == "application/pdf"
    applicant.get_by_label("Type your full name").fill("A. Applicant")
    applicant.get_by_role("button", name="Accept this document").click()
    applicant.locator("text=the control room obeys it").wait_for()
    house.shoot(applicant, "agreement")


def call(house: Any, token: str, method: str, path: str, body: dict[str, Any] | None = None, *, match: str = "") -> Any:
    request = urllib.request.Request(
        house.url + path, method=method, data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        | ({"If-Match": match} if match else {}),
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error


def test_a_developer_goes_from_a_token_to_an_agreement_by_api_and_sees_it_on_the_page(
    house: Any, page_as: Any, desk: str
) -> None:
    page = page_as("applicant")
    page.goto(house.url + "/account/tokens/")
    page.fill("#token-name", "journey")
    for box in page.locator('form:has(#token-name) input[name="scopes"]').all():
        box.check()
    page.get_by_role("button", name="Make token").click()
    token = page.locator("#secret").inner_text()
    body = {
        "name": "Harbour hub", "feeder": "ieee13", "bus": "671", "phases": "123", "import_kw": 1000, "export_kw": 500,
        "charger_make": "ACME", "charger_model": "80 kW DC", "charger_count": 20, "charger_import_kw": 80,
        "charger_export_kw": 60, "wanted": "2027-01-01",
    }  # fmt: skip
    filed = call(house, token, "POST", "/api/v1/applications/", body)
    number = filed["id"]
    assert call(house, token, "POST", f"/api/v1/applications/{number}/submit/")["state"] in ("submitted", "complete")

    engineer = page_as("engineer")
    engineer.goto(f"{house.url}/applications/{number}/")
    boxes = engineer.locator('#gaps input[type="checkbox"]')
    for place in range(boxes.count()):
        boxes.nth(place).check()
    if boxes.count():
        engineer.get_by_label("Reason for a waiver").fill("A trial of the API")
        engineer.get_by_role("button", name="Find it complete").click()
        engineer.locator("h1 + .state", has_text="complete").wait_for()
    house.run("tests.browser.seed", "offered")

    path = f"/api/v1/applications/{number}/offer/"
    offer = call(house, token, "GET", path)
    signed = call(
        house, token, "POST", path + "accept/", {"sha256": offer["sha256"], "typed_name": "A. Developer"}, match="*"
    )
    assert signed["terms"] == offer["terms"]
    page.goto(f"{house.url}/applications/{number}/")
    assert "A. Developer" in page.locator("#offer").inner_text()
    house.shoot(page, "developer-agreement")
