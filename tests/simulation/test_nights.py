"""Fifty simulated hours under some thirty faults an hour, and planted bugs that must not survive (failsafe.md)."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import hunted, nights_of
from tests.simulation.campaign import night

WATCHED = (
    "the site counts its lease from the arrival, so a late grant is long", "a new leader starts with empty books",
    "a lock that could not be stored is never stored",
    "a ladder that is read back replaces a younger lock of the same process",
)  # fmt: skip
"""Bugs hunted in every test run; `make simulate` hunts them all."""


def test_invariants_1_to_8_hold_for_50_hours_under_faults_and_the_sites_are_still_lent_what_there_is() -> None:
    nights = nights_of(50.0, first_seed=1)
    broken = [item.story() for item in nights if item.violations]
    assert not broken, "\n\n".join(broken)
    assert sum(len(item.journal) for item in nights) > 1000
    assert sum(item.lent_share for item in nights) / len(nights) > 0.1, "safe by never lending is not what we promise"


def test_without_faults_two_fifths_of_the_flexible_part_are_lent_and_nothing_is_overloaded() -> None:
    quiet = night(7, 3.0, per_hour=0.0)
    assert not quiet.violations
    assert quiet.worst_over == 0.0
    assert quiet.lent_share > 0.35, "the ratings bind at the rest"


def test_a_seed_replays_exactly() -> None:
    first, second = night(11, 1.0), night(11, 1.0)
    assert first == second
    assert first.journal


@pytest.mark.parametrize("name", WATCHED)
def test_a_planted_bug_is_found(name: str) -> None:
    found = hunted(name)
    assert found["found"], found
