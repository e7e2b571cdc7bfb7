"""The queue board in a real browser: by the keyboard, by stages and views, many at once, and places in the queue."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def board(house: Any) -> list[str]:
    """Twelve applications that wait and two that are studied on one feeder: their numbers, newest first."""
    return house.run("tests.browser.seed", *["planning"] * 12, "signed", "signed", "queued").split("queue:")[-1].split()


def test_rows_are_walked_chosen_and_opened_by_the_keyboard_and_never_hide_behind_the_bar(
    house: Any, page_as: Any, board: list[str]
) -> None:
    page = page_as("engineer")
    page.goto(house.url + "/")
    page.keyboard.press("k")  # the last row of the page
    row = page.locator("table.keys tr.at")
    bottom = row.bounding_box()
    bar = page.locator("#bulk").bounding_box()
    assert bottom["y"] + bottom["height"] <= bar["y"] + 1, "the row that is chosen stands above the bar"
    page.keyboard.press("x")
    assert row.locator("input[type=checkbox]").is_checked()
    page.keyboard.press("x")
    assert not row.locator("input[type=checkbox]").is_checked()
    for _ in range(3):
        page.keyboard.press("k")
    reference = row.locator("a").first.inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url("**/applications/*/")
    assert reference in page.locator("h1").inner_text()


def test_stages_words_and_orders_filter_and_a_view_is_kept_and_forgotten(
    house: Any, page_as: Any, board: list[str]
) -> None:
    page = page_as("engineer")
    page.goto(house.url + "/")
    page.locator(".tabs a", has_text="Study").click()
    page.wait_for_url("**stage=study**")
    assert set(page.locator("table.keys tbody .state").all_inner_texts()) == {"study"}
    page.fill("#filter", "North yard")
    page.press("#filter", "Enter")
    page.wait_for_url("**q=North**")
    found = page.locator("table.keys tbody tr").count()
    assert found >= 2
    assert page.locator("table.keys tbody tr", has_text="North yard").count() == found
    page.fill("[data-saved-name]", "yards")
    page.get_by_role("button", name="Save this view").click()
    page.goto(house.url + "/")
    page.get_by_role("link", name="yards").click()
    page.wait_for_url("**q=North**")
    assert page.locator("table.keys tbody tr").count() == found
    page.get_by_role("button", name="Forget the view yards").click()
    page.reload()
    assert page.get_by_role("link", name="yards").count() == 0
    page.goto(house.url + "/")
    page.locator("a.sort", has_text="Import").click()
    page.wait_for_load_state()
    column = [cell.replace(",", "") for cell in page.locator("table.keys tbody tr td:nth-child(5)").all_inner_texts()]
    powers = [float(cell) for cell in column]
    assert powers in (sorted(powers), sorted(powers, reverse=True))
    assert page.locator("th[aria-sort]").count() == 1


def test_the_second_in_line_sees_who_is_ahead_and_what_a_withdrawal_frees(
    house: Any, page_as: Any, board: list[str]
) -> None:
    page = page_as("engineer")
    last, first = board[0], board[1]
    page.goto(f"{house.url}/applications/{last}/")
    places = page.locator("#places")
    assert places.locator("tbody tr").count() >= 1
    assert f"A-{int(first):05d}" in places.inner_text(), "the one that was complete before stands ahead"
    page.goto(f"{house.url}/applications/{first}/")
    freed = page.locator("#places tbody tr", has_text="come free").first
    assert f"A-{int(last):05d} could get" in freed.inner_text()
    applicant = page_as("applicant")
    applicant.goto(f"{house.url}/applications/{last}/")
    assert "A-" not in applicant.locator("#places tbody").inner_text(), "who is ahead is the utility's to know"


def test_chosen_ones_are_ordered_together_and_wait_in_the_list_of_studies(
    house: Any, page_as: Any, board: list[str]
) -> None:
    page = page_as("engineer")
    page.goto(house.url + "/?stage=study&q=North+yard")
    for _ in range(2):
        page.keyboard.press("j")
        page.keyboard.press("x")
    page.get_by_role("button", name="Quick look, 288 hours").click()
    page.wait_for_url(lambda url: "bulk" not in url)
    page.goto(house.url + "/studies/")
    page.locator("section", has=page.get_by_role("heading", name="In hand")).wait_for()
    assert page.locator("text=North yard").count() >= 2
    page.locator(".tabs a", has_text="Queued").click()
    assert page.locator("table tbody tr", has_text="North yard").count() >= 2
