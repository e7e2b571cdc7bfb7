"""The rooms at the left of each page: one table, filtered by role. Pages not listed are reached from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from interconnection import roles
from interconnection.roles import ADMINISTRATOR, APPLICANT, APPROVER, AUDITOR, ENGINEER, OPERATOR

UTILITY = (ENGINEER, APPROVER, OPERATOR, AUDITOR)
EVERYONE: tuple[str, ...] = ()


HOMES = {"curtailment-report": "reports"}
"""Pages whose address lies in another room than the link that leads to them."""


@dataclass(frozen=True, slots=True)
class Item:
    """A link: words, the URL's name, the letter after `g`, the roles that see it (none: everyone who is signed in)."""

    words: str
    url: str
    key: str = ""
    roles: tuple[str, ...] = EVERYONE


@dataclass(frozen=True, slots=True)
class Room:
    """Links that belong together."""

    words: str
    items: tuple[Item, ...]


ROOMS = (
    Room(
        "Planning desk",
        (
            Item("Applications", "queue", "q"),
            Item("Studies", "studies", "s"),
            Item("Sites", "my-sites", "i"),
            Item("Feeders", "feeders", "f"),
            Item("Baseline ledger", "baseline-ledger", "b", UTILITY),
            Item("Reports", "reports", "v", UTILITY),
            Item("Rule packs", "rule-packs", "c"),
        ),
    ),
    Room(
        "Control room",
        (
            Item("Operations", "operations", "o", UTILITY),
            Item("Alarms", "alarms", "l", UTILITY),
            Item("Orders", "orders", "r", UTILITY),
            Item("2030.5 devices", "devices", "d", UTILITY),
            Item("Evidence", "evidence-list", "e", UTILITY),
            Item("Audit trail", "audit", "t", UTILITY),
        ),
    ),
    Room(
        "Access",
        (
            Item("Tokens", "tokens", "k"),
            Item("Webhooks", "webhooks", "w"),
            Item("People", "people", "p", (ADMINISTRATOR,)),
        ),
    ),
    Room("Help", (Item("Manual", "manual", "m"), Item("API", "api-docs", "a"))),
)


def _is_of(path: str, item: Item, url: str) -> bool:
    if item.url == "queue":
        return path == url or path.startswith("/applications")
    return path.startswith(url)


def rooms(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the rooms that this user may enter, with the page's own link marked.

    The mark goes to the longest address that the page's path starts with; the board, whose address every path starts
    with, has it on its own pages only.
    """
    held = roles.roles(request.user) if hasattr(request, "user") else frozenset()
    shown = [
        (room.words, [(item, reverse(item.url)) for item in room.items if not item.roles or held & set(item.roles)])
        for room in ROOMS
    ]
    fits = [url for _, items in shown for item, url in items if _is_of(request.path, item, url)]
    match = getattr(request, "resolver_match", None)
    home = HOMES.get(match.url_name or "") if match is not None else None
    here = reverse(home) if home else max(fits, key=len, default="")
    return {
        "navigation": [
            {"words": words, "items": [{"words": item.words, "url": url, "key": item.key, "here": url == here}
                                       for item, url in items]}
            for words, items in shown if items
        ],
        "held_roles": held,
        "is_utility": bool(held & set(UTILITY)),
        "is_administrator": ADMINISTRATOR in held,
        "is_applicant": APPLICANT in held,
    }  # fmt: skip
