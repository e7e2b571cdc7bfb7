"""An alarm's life after ANSI/ISA-18.2: the states, the lawful moves, delays and dead-band against chatter. Pure.

NORMAL ──raised──► UNACKNOWLEDGED ──acknowledge──► ACKNOWLEDGED ──cleared──► NORMAL
   ▲                    │    ▲
   │                 cleared raised
   │                    ▼    │
   └──acknowledge── RETURNED ┘        any of these ──shelve──► SHELVED, ──suppress──► SUPPRESSED, ──remove──► OUT_OF_SERVICE

From the last three an alarm comes back as UNACKNOWLEDGED where its condition holds at that moment, else as NORMAL: what
happened out of sight is announced anew, never assumed to have been seen. The condition is followed in every state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, IntEnum

from derms.errors import Conflict, InputError


class State(Enum):
    """Where an alarm stands."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    """Back to normal, but nobody has said yet that they saw it."""
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    """By design: a named greater alarm explains this one."""
    OUT_OF_SERVICE = "out_of_service"


class Move(Enum):
    """What changes an alarm's state."""

    RAISED = "raised"
    CLEARED = "cleared"
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    RELEASE = "release"
    REMOVE = "remove"
    RESTORE = "restore"


class Priority(IntEnum):
    """How soon an operator must act; 1 is the most urgent."""

    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4


ANNOUNCED = (State.UNACKNOWLEDGED, State.ACKNOWLEDGED, State.RETURNED)
HIDDEN = (State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE)
BACK = {State.SHELVED: Move.UNSHELVE, State.SUPPRESSED: Move.RELEASE, State.OUT_OF_SERVICE: Move.RESTORE}

_MOVES: dict[tuple[State, Move], State] = {
    (State.NORMAL, Move.RAISED): State.UNACKNOWLEDGED,
    (State.UNACKNOWLEDGED, Move.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.UNACKNOWLEDGED, Move.CLEARED): State.RETURNED,
    (State.ACKNOWLEDGED, Move.CLEARED): State.NORMAL,
    (State.RETURNED, Move.ACKNOWLEDGE): State.NORMAL,
    (State.RETURNED, Move.RAISED): State.UNACKNOWLEDGED,
} | {
    (state, move): to
    for state in (State.NORMAL, *ANNOUNCED)
    for move, to in ((Move.SHELVE, State.SHELVED), (Move.SUPPRESS, State.SUPPRESSED), (Move.REMOVE, State.OUT_OF_SERVICE))
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm as it stands.

    `condition`: whether what it watches for holds, after delays. `pending`: since when the raw condition has differed.
    `since`: the moment of the last move. `until`: the end of the shelf, in SHELVED only.
    """

    state: State = State.NORMAL
    condition: bool = False
    pending: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def announced(self) -> bool:
        """Say whether the alarm stands in the operator's list."""
        return self.state in ANNOUNCED


def beyond(value: float, limit: float, dead_band: float, was: bool, *, low: bool = False) -> bool:
    """Say whether a value is beyond its limit; once it is, it must come back by the dead-band before it is not.

    `low`: the limit is a lower one. A value that is not a number counts as beyond: a bad measurement is no good news.
    """
    if math.isnan(value):
        return True
    edge = limit - dead_band if was else limit
    if low:
        edge = limit + dead_band if was else limit
        return value <= edge if was else value < edge
    return value >= edge if was else value > edge


def observe(alarm: Alarm, holds: bool, now: datetime, *, on_delay_s: float = 0.0, off_delay_s: float = 0.0) -> Alarm:
    """Take one look at the raw condition; the alarm moves only when it has lasted the delay."""
    if holds == alarm.condition:
        return alarm if alarm.pending is None else replace(alarm, pending=None)
    began = alarm.pending or now
    if (now - began).total_seconds() < (on_delay_s if holds else off_delay_s):
        return replace(alarm, pending=began)
    changed = replace(alarm, condition=holds, pending=None)
    if alarm.state in HIDDEN:
        return changed
    return _moved(changed, Move.RAISED if holds else Move.CLEARED, now)


def acknowledge(alarm: Alarm, now: datetime) -> Alarm:
    """Say that an operator has seen it; raises Conflict where there is nothing to acknowledge."""
    return _moved(alarm, Move.ACKNOWLEDGE, now)


def shelve(alarm: Alarm, now: datetime, until: datetime, longest_s: float) -> Alarm:
    """Put it out of the list until a moment; raises Conflict or InputError where that is not allowed."""
    if longest_s <= 0:
        raise Conflict("this alarm may not be shelved", where="alarm", remedy="Act on it; its table row says what to do.")
    if not now < until <= now + timedelta(seconds=longest_s):
        raise InputError(
            f"an alarm is shelved for more than no time and at most {longest_s / 3600:g} h",
            where="minutes",
            remedy="Shelve it for less, or have it mended.",
        )
    return replace(_moved(alarm, Move.SHELVE, now), until=until)


def suppress(alarm: Alarm, now: datetime) -> Alarm:
    """Suppress by design while a greater alarm explains this one."""
    return _moved(alarm, Move.SUPPRESS, now)


def remove(alarm: Alarm, now: datetime) -> Alarm:
    """Take out of service."""
    return _moved(alarm, Move.REMOVE, now)


def bring_back(alarm: Alarm, now: datetime) -> Alarm:
    """Unshelve, release or restore; raises Conflict when the alarm is in none of these states."""
    if alarm.state not in HIDDEN:
        raise Conflict("the alarm is neither shelved, suppressed nor out of service", where="alarm")
    state = State.UNACKNOWLEDGED if alarm.condition else State.NORMAL
    return replace(alarm, state=state, since=now, until=None)


def expired(alarm: Alarm, now: datetime) -> bool:
    """Say whether its time on the shelf is over."""
    return alarm.state is State.SHELVED and alarm.until is not None and now >= alarm.until


def lawful(alarm: Alarm) -> tuple[Move, ...]:
    """Return what a person may do with it now."""
    if alarm.state in HIDDEN:
        return (BACK[alarm.state],) if alarm.state is not State.SUPPRESSED else ()
    people = (Move.ACKNOWLEDGE, Move.SHELVE, Move.REMOVE)
    return tuple(move for move in people if (alarm.state, move) in _MOVES)


def _moved(alarm: Alarm, move: Move, now: datetime) -> Alarm:
    to = _MOVES.get((alarm.state, move))
    if to is None:
        raise Conflict(f"an alarm that is {alarm.state.value} cannot be {move.value}d", where="alarm")
    return replace(alarm, state=to, since=now)
