"""What a site's answers to its controls mean: what raises an alarm, and the later compliance that clears it. Pure.

IEEE 2030.5 responses: 2 started, 3 completed, 5 opted in, 9 partly and opted in are compliance; 252 to 254 are rejections,
4 and 8 an opt-out, 10, 13 and 14 say that the site could not comply. The rest decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from telemetry.control.alarm_rules import Look

COMPLIES = frozenset({2, 3, 5, 9})
KINDS = {
    252: "control_rejected", 253: "control_rejected", 254: "control_rejected", 4: "control_opted_out",
    8: "control_opted_out", 10: "control_not_followed", 13: "control_not_followed", 14: "control_not_followed",
}  # fmt: skip
DECISIVE = COMPLIES | frozenset(KINDS)
UNANSWERED = "control_unanswered"
FOUND = (*dict.fromkeys(KINDS.values()), UNANSWERED)
DEADLINE_S = 180
"""Three polls of a site that polls once a minute: by then it has fetched a control and said so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decisive answer of a site to one control; `creation` orders the controls, `number` the answers; seconds UTC."""

    site: str
    control: str
    creation: int
    status: int
    at: int
    number: int


@dataclass(frozen=True, slots=True)
class Open:
    """A control that its site has not answered at all: when it was made and when it began, seconds UTC."""

    site: str
    control: str
    creation: int
    start: int


def newest(before: Answer | None, answer: Answer) -> Answer:
    """Return the answer that counts: the last one about the newest control. An old control's late word decides nothing."""
    if before is None or (answer.creation, answer.number) > (before.creation, before.number):
        return answer
    return before


def answer_looks(answer: Answer, words: str, feeder: str = "") -> list[Look]:
    """Return the looks that a site's decisive answer gives; `words`: the answer as people say it."""
    kind = KINDS.get(answer.status, "")
    text = f"{words} to control {answer.control}"
    return [Look(name, answer.site, name == kind, text, feeder) for name in dict.fromkeys(KINDS.values())]


def unanswered(waiting: Iterable[Open], answered: dict[str, int], now: int) -> dict[str, Open]:
    """Return for each site the first control that it should have answered by now; `answered`: creation of the newest that
    a site answered. What was made before that one is no finding: the site has spoken since.
    """
    first: dict[str, Open] = {}
    for item in waiting:
        if item.creation <= answered.get(item.site, -1):
            continue
        held = first.get(item.site)
        if held is None or _since(item) < _since(held):
            first[item.site] = item
    return {site: item for site, item in first.items() if now - _since(item) >= DEADLINE_S}


def unanswered_looks(found: dict[str, Open], answered: dict[str, int], now: int, feeders: dict[str, str]) -> list[Look]:
    """Return the looks at sites that should have answered, and at those that did. Of others nothing is known."""
    looks = []
    for site in sorted(found.keys() | answered.keys()):
        late = found.get(site)
        text = f"no answer to control {late.control} for {now - _since(late)} s" if late else "it answers"
        looks.append(Look(UNANSWERED, site, late is not None, text, feeders.get(site, "")))
    return looks


def _since(item: Open) -> int:
    return max(item.creation, item.start)
