"""Two models of one feeder side by side: what came, what went, which rating changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FACTS = (
    ("nodes", "Nodes"),
    ("hours", "Hours of load"),
    ("head_kw", "Head in the first hour, kW"),
    ("losses_kw", "Losses, kW"),
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the first model to the second.

    `facts`: words, before, after; `came` and `went`: names by kind; `rerated`: element, amperes and their origin before
    and after; `moved`: buses whose phases or base volts changed; `findings`: (gone, new) messages.
    """

    facts: list[tuple[str, Any, Any]]
    came: dict[str, list[str]]
    went: dict[str, list[str]]
    rerated: list[tuple[str, str, str]]
    moved: list[tuple[str, str, str]]
    findings: tuple[list[str], list[str]]

    @property
    def nothing(self) -> bool:
        """Say whether the two describe the same network."""
        return not (any(one != two for _, one, two in self.facts) or self.came or self.went or self.rerated or self.moved)


def compare(one: Mapping[str, Any], two: Mapping[str, Any], findings: tuple[list[Any], list[Any]]) -> Changes:
    """Return the changes between two descriptions as `feeder_process` makes them, and between their findings."""
    came, went = {}, {}
    for kind in ("buses", "elements"):
        before, after = {row[0] for row in one[kind]}, {row[0] for row in two[kind]}
        if after - before:
            came[kind] = sorted(after - before)
        if before - after:
            went[kind] = sorted(before - after)
    old, new = ({row[0]: row for row in side["elements"]} for side in (one, two))
    rerated = [
        (name, f"{old[name][2]:,.1f} A ({old[name][3]})", f"{new[name][2]:,.1f} A ({new[name][3]})")
        for name in sorted(set(old) & set(new)) if old[name][2:4] != new[name][2:4]
    ]  # fmt: skip
    was, now = ({row[0]: row for row in side["buses"]} for side in (one, two))
    moved = [
        (name, f"phases {was[name][1]}, {was[name][2]:,.0f} V", f"phases {now[name][1]}, {now[name][2]:,.0f} V")
        for name in sorted(set(was) & set(now)) if was[name][1:3] != now[name][1:3]
    ]  # fmt: skip
    said = [{item["message"] for item in side} for side in findings]
    return Changes(
        [(words, one.get(key), two.get(key)) for key, words in FACTS], came, went, rerated, moved,
        (sorted(said[0] - said[1]), sorted(said[1] - said[0])),
    )  # fmt: skip
