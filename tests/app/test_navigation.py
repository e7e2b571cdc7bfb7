"""The rooms at the left: every link leads somewhere, no letter twice."""

from __future__ import annotations

from django.urls import reverse

from interconnection.navigation import ROOMS


def test_every_link_leads_somewhere_and_no_letter_is_used_twice() -> None:
    items = [item for room in ROOMS for item in room.items]
    assert all(reverse(item.url) for item in items)
    letters = [item.key for item in items if item.key]
    assert len(letters) == len(set(letters)), letters
