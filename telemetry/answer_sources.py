"""Where the alarms about answers are read: what sites over IEEE 2030.5 say to their controls, and leave unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.db.models import Max

from telemetry import services
from telemetry.control import answers as rules
from telemetry.control.alarm_rules import Look
from telemetry.control.answers import Answer, Open
from telemetry.control.evidence import Bundle
from telemetry.cycle_models import EvidenceRow
from telemetry.utility_models import Control, ControlResponse
from telemetry.utility_queries import ANSWERS

DAY_S, RECENT_S = 86_400, 900
"""How far back answers are read at a start; and how far controls: three events of 300 s are the longest chain."""
MOST = 5_000


class AnswerWatch:
    """Reads each answer once; what a site said last is remembered, and is an alarm until it complies."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._said: dict[str, Answer] = {}

    def look(self, now: int, feeders: Mapping[str, str]) -> list[Look]:
        """Return the looks at all sites that have said or left something; keeps a record of each new finding."""
        places = dict(feeders)
        looks: list[Look] = []
        for answer in self._fresh(now).values():
            self._said[answer.site] = rules.newest(self._said.get(answer.site), answer)
        for site, answer in self._said.items():
            looks += rules.answer_looks(answer, ANSWERS.get(answer.status, str(answer.status)), places.get(site, ""))
        answered = dict(
            _recent(now).exclude(responses=None).order_by().values_list("device__site").annotate(Max("creation"))
        )
        rows = _recent(now).filter(responses=None, cancelled=None).values_list("device__site", "mrid", "creation", "start")
        late = rules.unanswered((Open(*row) for row in rows), answered, now)
        looks += rules.unanswered_looks(late, answered, now, places)
        self._record(late, places, now)
        return looks

    def _fresh(self, now: int) -> dict[str, Answer]:
        rows = ControlResponse.objects.filter(status__in=rules.DECISIVE).exclude(control__device__site="")
        rows = rows.filter(at__gte=now - DAY_S)  # always: a first look that finds nothing must not read all history later
        if self._last is not None:
            rows = rows.filter(pk__gt=self._last)
        found: dict[str, Answer] = {}
        columns = ("control__device__site", "control__mrid", "control__creation", "status", "at", "pk")
        for row in rows.order_by("pk").values_list(*columns)[:MOST]:
            answer = Answer(*row)
            found[answer.site] = rules.newest(found.get(answer.site), answer)
            self._last = answer.number
        return found

    def _record(self, late: Mapping[str, Open], feeders: Mapping[str, str], now: int) -> None:
        """Keep a compliance record of each finding, once: control, what was asked, every answer to it."""
        found = {(item.control, rules.KINDS[item.status]): site for site, item in self._said.items() if _refuses(item)}
        found |= {(item.control, rules.UNANSWERED): site for site, item in late.items()}
        known = set(EvidenceRow.objects.filter(snapshot__in=[name for name, _ in found]).values_list("snapshot", "stage"))
        for (control, kind), site in found.items():
            stage = STAGES[kind]
            if (control, stage) not in known and (facts := _facts(control)):
                bundle = Bundle(site, stage, control, facts)
                services.keep_evidence(feeders.get(site, ""), [bundle], datetime.fromtimestamp(now, UTC))


STAGES = {
    "control_rejected": "rejected", "control_opted_out": "opted out", "control_not_followed": "not followed",
    "control_unanswered": "unanswered",
}  # fmt: skip


def _refuses(answer: Answer) -> bool:
    return answer.status in rules.KINDS


def _recent(now: int) -> Any:
    """Return the engine's controls that run, or ended a while ago, and have begun."""
    rows = Control.objects.filter(end__gt=now - RECENT_S, start__lte=now, epoch__isnull=False)
    return rows.exclude(device__site="")


def _facts(mrid: str) -> dict[str, Any]:
    row = Control.objects.filter(mrid=mrid).first()
    if row is None:
        return {}
    said = [
        {"status": item.status, "answer": ANSWERS.get(item.status, "?"), "created": item.created, "at": item.at}
        for item in row.responses.order_by("id")
    ]
    control = {
        "mrid": row.mrid, "start": row.start, "duration": row.duration, "creation": row.creation, "modes": row.modes,
        "epoch": row.epoch, "sequence": row.sequence,
    }  # fmt: skip
    return {"before": [], "lent": None, "after": [], "control": control, "answers": said}
