"""The offer editor in a real browser: a grid by drag, keyboard and paste, sentences with fields, two people."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def number(house: Any) -> str:
    """An application that is studied and has no offer."""
    house.run("tests.browser.seed", "planning", "signed")
    return house.run("tests.browser.seed", "newest").split()[-1]


class Grid:
    """The 12 x 24 editor of a page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def cell(self, month: int, hour: int) -> Any:
        return self.page.locator("#grid tbody tr").nth(month).locator("td").nth(hour)

    def kw(self, month: int, hour: int) -> str:
        return str(self.cell(month, hour).inner_text())

    def sent(self, side: str) -> list[list[str]]:
        """Return what the form would send."""
        text = self.page.locator(f"#o-schedule_{side}").input_value()
        return [line.split("\t") for line in text.splitlines()]

    def selected(self) -> int:
        return int(self.page.locator('#grid td[aria-selected="true"]').count())

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        self.cell(*start).hover()
        self.page.mouse.down()
        self.cell(*end).hover()
        self.page.mouse.up()

    def answer(self) -> str:
        return str(self.page.locator("#check").inner_text())

    def changed(self, before: str) -> str:
        """Wait until the server has said what the change means, and return it."""
        self.page.wait_for_function("before => document.querySelector('#check').innerText !== before", arg=before)
        return self.answer()


@pytest.fixture
def grid(house: Any, page_as: Any, number: str) -> Grid:
    page = page_as("engineer")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=house.url)
    page.goto(f"{house.url}/applications/{number}/offer/")
    page.locator("#check .notice").wait_for()
    return Grid(page)


def test_a_block_is_dragged_set_undone_and_each_change_is_checked_at_once(grid: Grid) -> None:
    page, before, first = grid.page, grid.answer(), grid.kw(2, 5)
    grid.drag((1, 3), (3, 6))
    assert grid.selected() == 3 * 4
    page.locator("#grid-value").fill("12")
    page.locator("#grid-set").click()
    after = grid.changed(before)
    assert [grid.kw(month, hour) for month, hour in ((1, 3), (3, 6), (2, 5))] == ["12"] * 3
    assert grid.kw(0, 3) == grid.kw(1, 7) == first, "outside the block nothing moves"
    assert sum(row.count("12") for row in grid.sent("import")) == 12
    page.locator("#grid-undo").click()
    grid.changed(after)
    assert grid.kw(2, 5) == first


def test_the_keyboard_alone_selects_types_and_sets_and_the_sides_are_apart(grid: Grid) -> None:
    page = grid.page
    grid.cell(0, 0).focus()
    for key in ("ArrowDown", "ArrowRight", "Shift+ArrowDown", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert grid.selected() == 2 * 3
    before = grid.answer()
    page.keyboard.type("77")
    assert "77 kW" in page.locator("#grid-say").inner_text()
    page.keyboard.press("Enter")
    grid.changed(before)
    assert [grid.kw(month, hour) for month in (1, 2) for hour in (1, 2, 3)] == ["77"] * 6
    exported = grid.sent("export")
    page.get_by_role("button", name="Export").click()
    assert grid.kw(1, 1) == str(round(float(exported[1][1])))
    page.keyboard.press("Escape")
    grid.cell(0, 0).click()
    page.keyboard.press("Control+a")
    assert grid.selected() == 288
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="Import").click()
    assert grid.kw(1, 1) != "77"


def test_a_block_is_copied_and_pasted_also_from_a_spreadsheet(grid: Grid) -> None:
    page = grid.page
    before = grid.answer()
    grid.cell(4, 4).click()
    page.evaluate("navigator.clipboard.writeText('1\\t2.5\\r\\n3\\t1,004\\r\\n')")
    page.keyboard.press("Control+v")
    grid.changed(before)
    assert [row[4:6] for row in grid.sent("import")[4:6]] == [["1", "2.5"], ["3", "1004"]]
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Control+c")
    grid.cell(8, 20).click()
    page.keyboard.press("Control+v")
    page.wait_for_function("document.querySelector('#grid tbody').rows[8].cells[21].innerText === '1'")
    assert [row[20:22] for row in grid.sent("import")[8:10]] == [["1", "2.5"], ["3", "1004"]]
    held = grid.sent("import")
    page.evaluate("navigator.clipboard.writeText('one\\ttwo')")
    page.keyboard.press("Control+v")
    assert "nothing pasted" in page.locator("#grid-say").inner_text()
    assert grid.sent("import") == held


def test_what_is_above_the_request_is_refused_at_once_and_a_sentences_field_changes_the_letter(grid: Grid) -> None:
    page, before = grid.page, grid.answer()
    page.locator("#o-lease_s").fill("90")
    page.locator("#o-lease_s").press("Tab")
    after = grid.changed(before)
    assert "reached it for 90 s" in after
    page.locator("#o-remedy").select_option("pay")
    refused = grid.changed(after)
    assert "price" in refused
    page.locator("#o-remedy_usd_per_kwh").fill("0.25")
    page.locator("#o-remedy_usd_per_kwh").press("Tab")
    paid = grid.changed(refused)
    assert "$0.25" in paid
    grid.cell(0, 0).click()
    page.keyboard.type("99999")
    page.keyboard.press("Enter")
    assert "above what was asked" in grid.changed(paid)
    assert "above what was asked" in page.locator("#grid-summary").inner_text()


def test_who_prepares_does_not_issue_and_the_second_person_does(house: Any, page_as: Any, grid: Grid, number: str) -> None:
    for field in ("firm", "failsafe"):  # beside whatever is agreed on this feeder
        for side in ("import", "export"):
            grid.page.locator(f"#o-{field}_{side}").fill("0")
    before = grid.answer()
    grid.page.locator("#o-failsafe_export").press("Tab")
    assert "hold together" in grid.changed(before)
    grid.page.get_by_role("button", name="Prepare this offer").click()
    grid.page.wait_for_url(f"**/applications/{number}/")
    assert grid.page.get_by_role("button", name="Issue this offer").count() == 0
    house.run("tests.browser.seed", "engineer_approves_too")
    grid.page.reload()
    if grid.page.get_by_role("button", name="Issue this offer").count():
        grid.page.get_by_role("button", name="Issue this offer").click()
        grid.page.get_by_text("the one who prepared an offer does not issue it").wait_for()
    second = page_as("approver")
    second.goto(f"{house.url}/applications/{number}/")
    second.get_by_role("button", name="Issue this offer").click()
    second.locator("#offer .state", has_text="open").wait_for()
    house.run("tests.browser.seed", "engineer_approves_no_more")
