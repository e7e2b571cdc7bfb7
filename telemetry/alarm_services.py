"""The only writers of the alarm list and its journal. `now` is an argument; two writers never both win."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from derms.errors import Conflict, InputError, NotFound
from interconnection import audit
from telemetry.alarm_models import AlarmEvent, AlarmRow
from telemetry.control import alarm as life
from telemetry.control.alarm import ANNOUNCED, HIDDEN, Alarm, Move, State
from telemetry.control.alarm_rules import Look
from telemetry.control.alarm_table import BY_KIND, TABLE

SYSTEM = "system"
ORDER = {entry.kind: place for place, entry in enumerate(TABLE)}
"""Causes stand above what they explain in the table, so that a whole storm is suppressed in the look that brings it."""


def report(
    looks: Iterable[Look], now: datetime, *, covered: Iterable[tuple[str, str]] = ()
) -> list[AlarmEvent]:  # fmt: skip
    """Take looks at conditions; return what was written to the journal.

    `covered`: (kind, feeder) pairs that were looked at wholly: a standing alarm of theirs without a look is about
    something that is no longer there, and clears.
    """
    seen = {look.key: look for look in looks}
    rows = {(row.kind, row.subject): row for row in AlarmRow.objects.all()}
    whole = set(covered)
    standing = {_cause(row) for row in rows.values() if row.condition}
    events = []
    for key in sorted(seen.keys() | rows.keys(), key=lambda key: (ORDER.get(key[0], len(ORDER)), key[1])):
        row, look = rows.get(key), seen.get(key)
        if key[0] not in BY_KIND or (row is None and (look is None or not look.holds)):
            continue
        if row is None and look is not None:
            row = AlarmRow(kind=look.kind, subject=look.subject, feeder=look.feeder, priority=BY_KIND[look.kind].priority)
        assert row is not None
        if look is None and row.condition and (row.kind, row.feeder) in whole:
            look = Look(row.kind, row.subject, False, "no longer there", row.feeder)
        events += _step(row, look, now, standing)
        (standing.add if row.condition else standing.discard)(_cause(row))
    return events


def acknowledge(pks: Sequence[int], *, actor: str, now: datetime) -> int:
    """Acknowledge alarms; return how many. Those that nobody can acknowledge any more are left as they are."""
    done = 0
    for row in AlarmRow.objects.filter(pk__in=pks, state__in=(State.UNACKNOWLEDGED.value, State.RETURNED.value)):
        try:
            _change(row, Move.ACKNOWLEDGE, lambda alarm: life.acknowledge(alarm, now), actor=actor, now=now)
        except Conflict:
            continue  # another operator was quicker
        done += 1
    return done


def shelve(pk: int, *, minutes: float, reason: str, actor: str, now: datetime) -> AlarmRow:
    """Shelve an alarm for a time, with a reason; raises InputError, Conflict or NotFound and changes nothing."""
    row = _row(pk)
    reason = _reason(reason)
    until = now + timedelta(minutes=minutes)
    return _change(
        row, Move.SHELVE, lambda alarm: life.shelve(alarm, now, until, row.entry.shelve_s),
        actor=actor, now=now, reason=reason,
    )  # fmt: skip


def remove(pk: int, *, reason: str, actor: str, now: datetime) -> AlarmRow:
    """Take an alarm out of service, with a reason, until somebody restores it."""
    row = _row(pk)
    if row.entry.shelve_s <= 0:
        raise Conflict("this alarm may not be taken out of service", where="alarm", remedy="It may not be shelved either.")
    return _change(row, Move.REMOVE, lambda alarm: life.remove(alarm, now), actor=actor, now=now, reason=_reason(reason))


def bring_back(pk: int, *, actor: str, now: datetime) -> AlarmRow:
    """Unshelve or restore an alarm; raises Conflict for one that is suppressed by design."""
    row = _row(pk)
    if row.alarm.state is State.SUPPRESSED:
        raise Conflict("a greater alarm suppresses this one", where="alarm", remedy="It comes back when that one clears.")
    move = life.BACK.get(row.alarm.state, Move.UNSHELVE)
    return _change(row, move, lambda alarm: life.bring_back(alarm, now), actor=actor, now=now)


def _cause(row: AlarmRow) -> tuple[str, str]:
    """Return what an alarm explains others by: its kind, and its feeder or, where the kind is personal, its subject."""
    entry = BY_KIND.get(row.kind)
    return row.kind, row.subject if entry is not None and entry.personal else row.feeder


def _step(row: AlarmRow, look: Look | None, now: datetime, standing: set[tuple[str, str]]) -> list[AlarmEvent]:
    """Move one alarm by its look, its causes and its shelf."""
    entry, before = BY_KIND[row.kind], row.alarm
    after, moves = before, []
    if look is not None:
        # A suppressed alarm whose condition is over must not come back just to wait for its delay.
        off_s = 0.0 if before.state is State.SUPPRESSED else entry.off_delay_s
        after = life.observe(before, look.holds, now, on_delay_s=entry.on_delay_s, off_delay_s=off_s)
        if after.condition != before.condition:
            moves.append(Move.RAISED if after.condition else Move.CLEARED)
    explained = after.condition and any(
        (cause, row.subject if BY_KIND[cause].personal else row.feeder) in standing for cause in entry.suppressed_by
    )
    if explained and after.state not in HIDDEN:
        after = life.suppress(replace(after, state=before.state), now)
        moves = [Move.SUPPRESS]
    elif after.state is State.SUPPRESSED and not explained:
        after = life.bring_back(after, now)
        moves.append(Move.RELEASE)
    elif life.expired(after, now):
        after = life.bring_back(after, now)
        moves.append(Move.UNSHELVE)
    # What was seen while it held stays in the list; how it ended stands in the journal.
    text = look.text[:255] if look is not None and look.holds else row.text
    if after == before and (text == row.text or not after.condition):
        return []
    ended = look.text[:255] if look is not None and Move.CLEARED in moves else text
    return _write(row, after, moves, actor=SYSTEM, now=now, text=text, said=ended)


def _change(
    row: AlarmRow, move: Move, change: Callable[[Alarm], Alarm], *, actor: str, now: datetime, reason: str = ""
) -> AlarmRow:
    if not _write(row, change(row.alarm), [move], actor=actor, now=now, reason=reason):
        raise Conflict("somebody else changed this alarm just now", where="alarm", remedy="Look again.")
    return row


def _write(
    row: AlarmRow, after: Alarm, moves: Sequence[Move], *, actor: str, now: datetime, text: str | None = None,
    said: str | None = None, reason: str = "",
) -> list[AlarmEvent]:  # fmt: skip
    """Store the alarm if nobody changed it meanwhile, and its moves; nothing of either when somebody did."""
    before, version = row.state, row.version
    fields: dict[str, Any] = {
        "state": after.state.value, "condition": after.condition, "pending": after.pending, "since": after.since,
        "until": after.until, "text": row.text if text is None else text, "priority": BY_KIND[row.kind].priority,
    }  # fmt: skip
    if moves:
        fields |= {"actor": actor, "reason": reason}
    if Move.RAISED in moves or (Move.SUPPRESS in moves and row.raised is None):
        fields["raised"] = now
    with transaction.atomic():
        if row.pk is None:
            made, new = AlarmRow.objects.get_or_create(kind=row.kind, subject=row.subject, defaults={"feeder": row.feeder})
            if not new:
                return []
            row.pk, version = made.pk, made.version
        if not AlarmRow.objects.filter(pk=row.pk, version=version).update(version=version + 1, **fields):
            return []
        events = AlarmEvent.objects.bulk_create([
            AlarmEvent(
                at=now, kind=row.kind, subject=row.subject, feeder=row.feeder, priority=fields["priority"],
                move=move.value, before=before, after=after.state.value, actor=actor, text=said or fields["text"],
                reason=reason,
            )
            for move in moves
        ])  # fmt: skip
        if actor != SYSTEM:  # what people do; a log that fails must not keep an operator from his alarms
            facts = {"move": [move.value for move in moves], "state": after.state.value, "reason": reason}
            audit.append_lowering(
                actor, "alarm", f"alarm {row.kind} {row.subject}"[: audit.MOST_SUBJECT], {"state": before}, facts
            )
    row.version = version + 1
    for name, value in fields.items():
        setattr(row, name, value)
    return events


def _row(pk: int) -> AlarmRow:
    row = AlarmRow.objects.filter(pk=pk).first()
    if row is None:
        raise NotFound(f"there is no alarm {pk}", where="alarm", remedy="The list shows all.")
    return row


def _reason(text: str) -> str:
    text = text.strip()
    if len(text) < 3:
        raise InputError("no reason is given", where="reason", remedy="Say why, for the next shift.")
    return text[:255]


def announced() -> tuple[str, ...]:
    """Return the states in which an alarm stands in the operator's list."""
    return tuple(state.value for state in ANNOUNCED)
