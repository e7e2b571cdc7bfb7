"""The only readers of the alarm list and its journal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from telemetry.alarm_models import AlarmEvent, AlarmRow
from telemetry.control.alarm import ANNOUNCED, HIDDEN, Move, Priority, State, lawful
from telemetry.control.alarm_table import BY_KIND, FLOOD_WINDOW_S, flooded

KINDS = tuple(BY_KIND)
MOST = 500


@dataclass(frozen=True, slots=True)
class Filter:
    """What an operator wants to see; empty means all."""

    feeder: str = ""
    priority: int = 0
    view: str = "announced"
    text: str = ""


VIEWS = {
    "announced": tuple(state.value for state in ANNOUNCED),
    "unacknowledged": (State.UNACKNOWLEDGED.value, State.RETURNED.value),
    "shelved": (State.SHELVED.value,),
    "suppressed": (State.SUPPRESSED.value,),
    "out_of_service": (State.OUT_OF_SERVICE.value,),
}


def alarms(wanted: Filter) -> QuerySet[AlarmRow]:
    """Return the alarms of a view, the most urgent first, then the newest."""
    rows = AlarmRow.objects.filter(kind__in=KINDS, state__in=VIEWS.get(wanted.view, VIEWS["announced"]))
    if wanted.feeder:
        rows = rows.filter(feeder=wanted.feeder)
    if wanted.priority:
        rows = rows.filter(priority=wanted.priority)
    if wanted.text:
        rows = rows.filter(subject__icontains=wanted.text)
    return rows


def listed(wanted: Filter, now: datetime) -> list[dict[str, Any]]:
    """Return a view's alarms as the page and the WebSocket show them; at most 500."""
    return [shown(row, now) for row in alarms(wanted)[:MOST]]


def shown(row: AlarmRow, now: datetime) -> dict[str, Any]:
    """Return one alarm as it is shown."""
    entry = row.entry
    return {
        "id": row.pk, "kind": row.kind, "title": entry.title, "subject": row.subject, "feeder": row.feeder,
        "priority": int(row.priority), "priority_name": Priority(row.priority).name.lower(), "state": row.state,
        "state_name": row.state.replace("_", " "), "text": row.text, "raised": row.raised, "since": row.since,
        "until": row.until, "reason": row.reason, "actor": row.actor, "condition": row.condition,
        "age_s": round((now - row.raised).total_seconds()) if row.raised else None,
        "unacknowledged": row.state in VIEWS["unacknowledged"], "returned": row.state == State.RETURNED.value,
        "action": entry.action, "consequence": entry.consequence, "respond_s": entry.respond_s,
        "shelve_s": entry.shelve_s, "moves": [move.value for move in lawful(row.alarm)],
    }  # fmt: skip


def one(pk: int) -> AlarmRow | None:
    """Return one alarm."""
    return AlarmRow.objects.filter(pk=pk, kind__in=KINDS).first()


def counts() -> dict[str, Any]:
    """Return how many alarms stand, by priority and by feeder, and how many are out of sight, in one statement."""
    rows = AlarmRow.objects.filter(kind__in=KINDS).exclude(state=State.NORMAL.value)
    facts = list(rows.values_list("priority", "state", "feeder"))
    unseen = VIEWS["unacknowledged"]
    standing = [fact for fact in facts if fact[1] in VIEWS["announced"]]
    by_feeder: dict[str, dict[str, int]] = {}
    for priority, state, feeder in standing:
        item = by_feeder.setdefault(feeder, {"count": 0, "unacknowledged": 0, "worst": 9})
        item["count"] += 1
        item["unacknowledged"] += state in unseen
        item["worst"] = min(item["worst"], priority)
    return {
        "standing": len(standing),
        "unacknowledged": sum(1 for _, state, _ in standing if state in unseen),
        "priorities": [
            {
                "priority": int(level), "name": level.name.lower(),
                "count": sum(1 for priority, _, _ in standing if priority == level),
                "unacknowledged": sum(1 for priority, state, _ in standing if priority == level and state in unseen),
            }
            for level in Priority
        ],
        "hidden": dict(Counter(state for _, state, _ in facts if state in {s.value for s in HIDDEN})),
        "feeders": by_feeder,
    }  # fmt: skip


def flood(now: datetime) -> dict[str, Any]:
    """Return whether a flood of alarms runs, with the new alarms of the last ten minutes grouped by kind and feeder."""
    since = now - timedelta(seconds=FLOOD_WINDOW_S)
    raised = list(
        AlarmEvent.objects.filter(move=Move.RAISED.value, at__gt=since, at__lte=now, kind__in=KINDS)
        .exclude(after__in=[state.value for state in HIDDEN])
        .order_by("at")
        .values_list("at", "kind", "feeder", "subject")
    )
    groups: dict[tuple[str, str], list[str]] = {}
    for _, kind, feeder, subject in raised:
        groups.setdefault((kind, feeder), []).append(subject)
    return {
        "flood": flooded([at.timestamp() for at, *_ in raised], now.timestamp()),
        "count": len(raised),
        "first": raised[0] if raised else None,
        "groups": [
            {"kind": kind, "title": BY_KIND[kind].title, "feeder": feeder, "count": len(subjects),
             "priority": int(BY_KIND[kind].priority), "subjects": sorted(set(subjects))}
            for (kind, feeder), subjects in sorted(groups.items(), key=lambda item: (BY_KIND[item[0][0]].priority, item[0]))
        ],
    }  # fmt: skip


def journal(*, kind: str = "", subject: str = "", feeder: str = "", text: str = "") -> QuerySet[AlarmEvent]:
    """Return the journal, newest first."""
    rows = AlarmEvent.objects.filter(kind__in=KINDS)
    for name, value in (("kind", kind), ("subject", subject), ("feeder", feeder)):
        if value:
            rows = rows.filter(**{name: value})
    return rows.filter(subject__icontains=text) if text else rows


def standing() -> dict[tuple[str, str], bool]:
    """Return which alarms' conditions hold now."""
    return {
        (kind, subject): True for kind, subject in AlarmRow.objects.filter(condition=True).values_list("kind", "subject")
    }
