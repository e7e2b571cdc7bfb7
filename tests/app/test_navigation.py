"""The rooms at the left: every link leads somewhere, no letter twice."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from interconnection.navigation import ROOMS


def test_every_link_leads_somewhere_and_no_letter_is_used_twice() -> None:
    items = [item for room in ROOMS for item in room.items]
    assert all(reverse(item.url) for item in items)
    letters = [item.key for item in items if item.key]
    assert len(letters) == len(set(letters)), letters


@pytest.mark.parametrize(
    ("name", "args", "marked"),
    [("queue", [], "queue"), ("search", [], ""), ("studies", [], "studies"), ("curtailment-report", [], "reports"),
     ("alarms", [], "alarms"), ("my-sites", [], "my-sites")],
)  # fmt: skip
@pytest.mark.django_db
def test_the_mark_stands_at_the_pages_own_link_and_nowhere_when_no_link_leads_to_it(
    people: dict[str, Any], name: str, args: list[Any], marked: str
) -> None:
    browser = Client()
    browser.force_login(people["engineer"])
    page = browser.get(reverse(name, args=args))
    here = [item["url"] for room in page.context["navigation"] for item in room["items"] if item["here"]]
    assert here == ([reverse(marked)] if marked else [])
