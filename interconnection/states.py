"""The life of an application as a table: which action leads from where to where, who may take it, when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from derms.errors import Conflict

DRAFT, SUBMITTED, COMPLETE, SCREENING, STUDY, OFFER, ACCEPTED, COMMISSIONING, PERMITTED, SUSPENDED, ENDED, WITHDRAWN = (
    "draft", "submitted", "complete", "screening", "study", "offer", "accepted", "commissioning", "permitted", "suspended",
    "ended", "withdrawn",
)  # fmt: skip
STATES = (
    DRAFT, SUBMITTED, COMPLETE, SCREENING, STUDY, OFFER, ACCEPTED, COMMISSIONING, PERMITTED, SUSPENDED, ENDED, WITHDRAWN,
)  # fmt: skip
FINAL = (ENDED, WITHDRAWN)
"""Nothing leads out of these."""
QUEUED = (COMPLETE, SCREENING, STUDY, OFFER)
"""States that hold a place in the queue of each constraint."""
COMMITTED = (ACCEPTED, COMMISSIONING, PERMITTED, SUSPENDED)
"""States in which an agreement is in force and its capacity is taken."""


@dataclass(frozen=True, slots=True)
class Transition:
    """An action, the states it may start from, the state it leads to, the roles that may take it, and on what condition."""

    action: str
    sources: tuple[str, ...]
    target: str
    roles: tuple[str, ...]
    condition: str = ""


TABLE = (
    Transition("submit", (DRAFT,), SUBMITTED, ("applicant", "engineer")),
    Transition("complete", (SUBMITTED,), COMPLETE, ("applicant", "engineer"), "no gap, or each waived with a reason"),
    Transition("screen", (COMPLETE, SCREENING), SCREENING, ("engineer",)),
    Transition("study", (COMPLETE, SCREENING, STUDY, OFFER), STUDY, ("engineer",), "an open offer is superseded"),
    Transition(
        "modify", (COMPLETE, SCREENING, STUDY, OFFER), SUBMITTED, ("applicant", "engineer"),
        "a material change: the place in the queue is lost",
    ),
    Transition("offer", (STUDY,), OFFER, ("approver",), "prepared by somebody else"),
    Transition("decline", (OFFER,), STUDY, ("applicant",)),
    Transition("lapse", (OFFER,), STUDY, ("engineer", "approver"), "the offer's last day is over, or it is taken back"),
    Transition("accept", (OFFER,), ACCEPTED, ("applicant",), "typed name and the document's hash"),
    Transition("commission", (ACCEPTED,), COMMISSIONING, ("engineer", "operator")),
    Transition(
        "permit", (COMMISSIONING,), PERMITTED, ("engineer", "approver"), "a test result that passed and still counts"
    ),
    Transition("suspend", (PERMITTED,), SUSPENDED, ("engineer", "operator"), "a reason"),
    Transition("resume", (SUSPENDED,), PERMITTED, ("engineer", "approver"), "as for permit"),
    Transition("end", (ACCEPTED, COMMISSIONING, PERMITTED, SUSPENDED), ENDED, ("engineer",)),
    Transition(
        "withdraw", (DRAFT, SUBMITTED, COMPLETE, SCREENING, STUDY, OFFER, ACCEPTED, COMMISSIONING), WITHDRAWN,
        ("applicant", "engineer"),
    ),
)  # fmt: skip
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


def allowed(state: str, roles: Iterable[str]) -> list[str]:
    """Return what somebody with these roles may do in a state; whose application it is, is asked elsewhere."""
    held = frozenset(roles)
    return [transition.action for transition in TABLE if state in transition.sources and held & set(transition.roles)]


def diagram() -> str:
    """Return the table as text for the manual."""
    rows = [f"| {t.action} | {', '.join(t.sources)} | {t.target} | {', '.join(t.roles)} | {t.condition} |" for t in TABLE]
    return "\n".join(["| action | from | to | who | condition |", "|---|---|---|---|---|", *rows])


STRAIGHT = STATES[: STATES.index(SUSPENDED) + 1]
GREY = "#767676"
"""Readable on a light and on a dark ground: the drawing is a picture of its own and does not know which it stands on."""


def drawing() -> str:
    """Return the table as a drawing in SVG: states downwards with the actions that lead on, all other ways as text."""
    step, left, width, middle = 56, 20, 170, 105
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {len(STATES) * step}" role="img" '
        f'font-family="sans-serif" font-size="13" fill="{GREY}" stroke="none" '
        'aria-label="States of an application and the actions between them">'
    ]
    for place, state in enumerate(STATES):
        top = 8 + place * step
        following = STRAIGHT[place + 1] if place + 1 < len(STRAIGHT) else ""
        onward = [t.action for t in TABLE if state in t.sources and t.target == following]
        others = [f"{t.action} → {t.target}" for t in TABLE if state in t.sources and t.target not in (state, following)]
        parts.append(
            f'<rect x="{left}" y="{top}" width="{width}" height="30" rx="4" fill="none" stroke="{GREY}"/>'
            f'<text x="{middle}" y="{top + 20}" text-anchor="middle">{state}</text>'
            f'<text x="{left + width + 20}" y="{top + 20}">{"; ".join(others) or ("" if onward else "final")}</text>'
        )
        if onward:
            parts.append(
                f'<path d="M{middle} {top + 30}V{top + step - 1}m-4 -6l4 6l4 -6" fill="none" stroke="{GREY}"/>'
                f'<text x="{middle + 10}" y="{top + 48}" font-size="12">{", ".join(onward)}</text>'
            )
    return "".join([*parts, "</svg>"])
