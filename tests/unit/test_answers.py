"""What answers mean (IEEE 2030.5 responses): which finding each gives, what clears it, and from when silence is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from telemetry.control.alarm_table import BY_KIND
from telemetry.control.answers import (
    COMPLIES,
    DEADLINE_S,
    FOUND,
    KINDS,
    Answer,
    Open,
    answer_looks,
    newest,
    unanswered,
    unanswered_looks,
)
from telemetry.protocols.ieee2030_5 import events

no_deadline = hypothesis_settings(deadline=None)  # no time in a test


def answer(status: int, creation: int = 10, number: int = 1) -> Answer:
    return Answer("depot", "C" * 32, creation, status, 100, number)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(252, "control_rejected"), (253, "control_rejected"), (254, "control_rejected"), (4, "control_opted_out"),
     (8, "control_opted_out"), (10, "control_not_followed"), (13, "control_not_followed"), (14, "control_not_followed"),
     (2, ""), (3, ""), (5, ""), (9, "")],
)  # fmt: skip
def test_each_decisive_answer_raises_its_own_alarm_and_clears_the_others(status: int, kind: str) -> None:
    looks = {look.kind: look.holds for look in answer_looks(answer(status), "words", "f")}
    assert looks == {name: name == kind for name in ("control_rejected", "control_opted_out", "control_not_followed")}


def test_every_finding_has_a_row_in_the_rationalisation_table_and_every_status_is_one_of_the_standard() -> None:
    assert set(FOUND) <= set(BY_KIND)
    assert set(KINDS) | COMPLIES <= events.RESPONSES


def test_the_last_word_about_the_newest_control_counts() -> None:
    refused, obeyed = answer(252, creation=10, number=5), answer(2, creation=20, number=4)
    assert newest(refused, obeyed) is obeyed
    assert newest(obeyed, answer(252, creation=10, number=6)) is obeyed, "an old control's late word decides nothing"
    assert newest(answer(4, number=5), answer(5, number=6)).status == 5, "opted out, and in again"


def test_silence_is_a_finding_from_the_deadline_on_and_not_before() -> None:
    waiting = [Open("depot", "A", 100, 100), Open("depot", "B", 120, 400)]
    assert unanswered(waiting, {}, 100 + DEADLINE_S - 1) == {}
    assert unanswered(waiting, {}, 100 + DEADLINE_S) == {"depot": waiting[0]}
    assert unanswered(waiting, {"depot": 110}, 400 + DEADLINE_S - 1) == {}, "it answered one since; the next began at 400"
    assert unanswered(waiting, {"depot": 110}, 400 + DEADLINE_S) == {"depot": waiting[1]}
    assert unanswered(waiting, {"depot": 120}, 9_999) == {}


def test_only_what_is_known_is_looked_at() -> None:
    looks = unanswered_looks({"a": Open("a", "A", 0, 0)}, {"b": 5}, DEADLINE_S, {"a": "f"})
    assert [(look.subject, look.holds, look.feeder) for look in looks] == [("a", True, "f"), ("b", False, "")]


@no_deadline
@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=8), st.integers(-1, 500), st.integers(0, 1000)
)
def test_a_site_that_answered_its_newest_control_is_never_late(
    rows: list[tuple[int, int]], answered: int, now: int
) -> None:
    waiting = [Open("depot", str(place), creation, start) for place, (creation, start) in enumerate(rows)]
    late = unanswered(waiting, {"depot": answered}, now)
    assert all(item.creation > answered and now - item.start >= DEADLINE_S for item in late.values())
