"""An application arranged for people: its life as steps, actions a person may take, versions with differences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interconnection import request, roles, states
from interconnection.models import Application

LIFE = (
    (states.DRAFT, "Draft"), (states.SUBMITTED, "Submitted"), (states.COMPLETE, "Complete"), (states.SCREENING, "Screened"),
    (states.STUDY, "Study"), (states.OFFER, "Offer"), (states.ACCEPTED, "Agreement"),
    (states.COMMISSIONING, "Commissioning"), (states.PERMITTED, "Operating"),
)  # fmt: skip
WORDS = {
    "withdraw": "Withdraw", "commission": "Begin commissioning", "suspend": "Suspend", "end": "End the connection",
    "permit": "Permit operation", "resume": "Lift the suspension",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the life: past, now or to come."""

    words: str
    css: str


def steps(state: str) -> list[Step]:
    """Return the stages with the present one marked; a final or suspended state stands after the last stage it passed."""
    names = [name for name, _ in LIFE]
    if state in names:
        at = names.index(state)
        return [
            Step(words, "past" if place < at else "now" if place == at else "") for place, (_, words) in enumerate(LIFE)
        ]
    ended = Step(state.capitalize(), "now")
    return [*(Step(words, "past" if state == states.SUSPENDED else "") for _, words in LIFE), ended]


@dataclass(frozen=True, slots=True)
class Action:
    """A button: the action, its words, whether it needs a reason."""

    name: str
    words: str
    reason: bool


def plain_actions(application: Application, user: Any) -> list[Action]:
    """Return the actions that this person may take now and that need no page of their own."""
    held = set(roles.roles(user))
    if application.applicant_id != user.pk:
        held.discard(roles.APPLICANT)
    return [
        Action(t.action, WORDS[t.action], t.action in ("suspend", "end", "withdraw"))
        for t in states.TABLE
        if t.action in WORDS and application.state in t.sources and held & set(t.roles)
    ]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of the request, with what it changed."""

    number: int
    made: datetime
    made_by: str
    cause: str
    changes: list[request.Difference]


def versions(application: Application) -> list[VersionRow]:
    """Return the versions, newest first, each with its differences from the one before."""
    rows = list(application.versions.select_related("made_by").order_by("number"))
    found: list[VersionRow] = []
    before: dict[str, Any] | None = None
    for row in rows:
        changes: list[request.Difference] = request.differences(before, row.document) if before is not None else []
        found.append(VersionRow(row.number, row.made, str(row.made_by), row.cause, changes))
        before = row.document
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock as its row shows it; `waits`: the pause that is open."""

    pk: int
    title: str
    owner: str
    days: int
    due: Any
    stopped: datetime | None
    late: bool | None
    waits: Any

    @classmethod
    def of(cls, run: Any) -> Clock:
        """Read a run whose pauses are fetched already."""
        waits = next((pause for pause in run.pauses.all() if pause.ended is None), None)
        return cls(run.pk, run.title, run.owner, run.days, run.due, run.stopped, run.late, waits)


def by_side(results: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return a screen run's results by side, what needs a look first."""
    order = {"fail": 0, "unknown": 1, "pass": 2, "not_applicable": 3}
    found: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        found.setdefault(result["side"], []).append(result)
    return [(side, sorted(rows, key=lambda row: order.get(row["status"], 9))) for side, rows in sorted(found.items())]
