"""The manual's table and drawing of states are those of the program."""

from __future__ import annotations

from pathlib import Path

from interconnection import states
from interconnection.screens import MEASURES

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


def test_the_manual_shows_the_table_as_it_is() -> None:
    assert states.diagram() in (TEMPLATES / "docs" / "workflow.md").read_text()
    assert states.drawing() == (TEMPLATES / "static" / "states.svg").read_text().rstrip("\n")


def test_the_manual_lists_every_measure() -> None:
    page = (TEMPLATES / "docs" / "rule-packs.md").read_text()
    for name, measure in MEASURES.items():
        assert f"| `{name}` | {measure.says} |" in page


def test_every_state_is_reached_and_roles_are_known() -> None:
    reached = {states.DRAFT}
    for _ in states.STATES:
        reached |= {t.target for t in states.TABLE if reached & set(t.sources)}
    assert reached == set(states.STATES)
    known = {"applicant", "engineer", "approver", "operator"}
    assert all(set(t.roles) <= known for t in states.TABLE)
    assert states.allowed(states.OFFER, ["applicant"]) == ["modify", "decline", "accept", "withdraw"]
    assert states.allowed(states.OFFER, ["auditor"]) == []
