"""The life of an application as a table: which action leads from which states to which, and who may take it."""

from __future__ import annotations

from dataclasses import dataclass

from derms.errors import Conflict

DRAFT, SUBMITTED, STUDY, OFFER, ACCEPTED, PERMITTED, ENDED, WITHDRAWN = (
    "draft", "submitted", "study", "offer", "accepted", "permitted", "ended", "withdrawn",
)  # fmt: skip
STATES = (DRAFT, SUBMITTED, STUDY, OFFER, ACCEPTED, PERMITTED, ENDED, WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Transition:
    """An action, the states it may start from, the state it leads to, the roles that may take it."""

    action: str
    sources: tuple[str, ...]
    target: str
    roles: tuple[str, ...]


TABLE = (
    Transition("submit", (DRAFT,), SUBMITTED, ("applicant", "engineer")),
    Transition("study", (SUBMITTED, STUDY, OFFER), STUDY, ("engineer",)),
    Transition("offer", (STUDY,), OFFER, ("engineer",)),
    Transition("accept", (OFFER,), ACCEPTED, ("applicant",)),
    Transition("permit", (ACCEPTED,), PERMITTED, ("engineer",)),
    Transition("end", (ACCEPTED, PERMITTED), ENDED, ("engineer",)),
    Transition("withdraw", (DRAFT, SUBMITTED, STUDY, OFFER, ACCEPTED), WITHDRAWN, ("applicant", "engineer")),
)
BY_ACTION = {transition.action: transition for transition in TABLE}


def after(action: str, state: str) -> str:
    """Return the state that an action leads to; raises Conflict when it may not be taken now."""
    transition = BY_ACTION[action]
    if state not in transition.sources:
        raise Conflict(
            f"an application in state '{state}' cannot take '{action}'",
            where="state",
            remedy=f"Possible from: {', '.join(transition.sources)}.",
        )
    return transition.target


def actions(state: str) -> list[str]:
    """Return what may be done in a state."""
    return [transition.action for transition in TABLE if state in transition.sources]


def diagram() -> str:
    """Return the table as text for the manual."""
    rows = [f"| {t.action} | {', '.join(t.sources)} | {t.target} | {', '.join(t.roles)} |" for t in TABLE]
    return "\n".join(["| action | from | to | who |", "|---|---|---|---|", *rows])
