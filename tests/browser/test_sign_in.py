"""The shared server and browser themselves: a person signs in and sees the first page."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser


def test_a_person_signs_in_and_out(house: Any, page_as: Any) -> None:
    page = page_as("operator")
    assert page.locator("h1").count() == 1
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login/**")
