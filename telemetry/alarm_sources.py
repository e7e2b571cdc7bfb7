"""Where the alarms' conditions are read: recorded cycles, the watchdog's verdict, certificates, clocks, the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from derms.clock import Clock
from interconnection import audit
from interconnection.queries import agreements_in_force, permitted_sites
from interconnection.site_queries import newest_version
from telemetry import alarm_queries, certificate_services, progress, queries, utility_queries
from telemetry.answer_sources import AnswerWatch
from telemetry.control import alarm_rules as rules
from telemetry.control import answers
from telemetry.control.alarm_rules import Look
from telemetry.control.alarm_table import CERTIFICATE_DAYS, TABLE
from telemetry.control.clock_check import ClockCheck
from telemetry.model_text import meaning_of

FEEDERS_S = 30.0
ANSWERS_S = 10.0
SLOW_S = 60.0
WALK_S = 3600.0
ELSEWHERE = ("process_dead", "clock_offset", "audit_failing", *answers.FOUND)
FEEDER_KINDS = tuple(entry.kind for entry in TABLE if entry.kind not in ELSEWHERE)


class Sources:
    """One look at everything; what is dear to ask is asked less often."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._boards: dict[str, tuple[int, datetime, dict[str, Any]]] = {}
        self._feeders: frozenset[str] = frozenset()
        self._permitted: frozenset[str] | None = None
        self._feeders_at = self._slow_at = -1e9
        self._slow: list[Look] = []
        self._check = ClockCheck()
        self._broken, self._walked_at = "", -1e9
        self._answers, self._answers_at, self._said = AnswerWatch(), -1e9, list[Look]()
        self._homes: dict[str, str] = {}

    def look(self) -> tuple[list[Look], set[tuple[str, str]]]:
        """Return the looks, and the (kind, feeder) pairs that were looked at wholly."""
        standing = alarm_queries.standing()
        said = progress.watchdog_says()
        looks = rules.process_looks([
            *((item.name, item.ok, f"{item.what}, {item.silent_s:.0f} s") for item in said.verdict.subjects),
            ("watchdog", said.age_s is not None and said.age_s <= progress.OLDEST_VERDICT_S, "the watchdog is silent"),
        ])  # fmt: skip
        covered = {("process_dead", "")}
        looks.append(rules.clock_look(self._offset_s(), standing))
        for feeder in self._expected():
            found, whole = self._feeder(feeder, standing)
            looks += found
            covered |= whole
        slow = self._slowly() + self._answered()
        return looks + slow, covered | {(f"certificate_{days}_days", "") for days in CERTIFICATE_DAYS}

    def _feeder(self, feeder: str, standing: rules.Standing) -> tuple[list[Look], set[tuple[str, str]]]:
        known = self._boards.get(feeder)
        if known is None:
            return rules.feeder_looks(feeder, None, None, standing), set()
        age_s = (self._clock.now() - known[1]).total_seconds()
        looks = rules.feeder_looks(feeder, known[2], age_s, standing, self._permitted)
        whole = set() if age_s > rules.CYCLE_SEEN_S else {(kind, feeder) for kind in FEEDER_KINDS}
        return looks, whole

    def _expected(self) -> frozenset[str]:
        """Return the feeders that somebody must control, with their newest cycles read where they are new."""
        now = self._clock.monotonic()
        if now - self._feeders_at > FEEDERS_S:
            terms = agreements_in_force(self._clock.now().date())
            self._feeders, self._feeders_at = frozenset(item.feeder for item in terms), now
            self._homes = {item.site: item.feeder for item in terms}
            self._permitted = frozenset(permitted_sites([item.site for item in terms]))
        self._boards = queries.newest_boards(self._boards, self._feeders)
        return self._feeders

    def _answered(self) -> list[Look]:
        """Return the looks at what sites answered their controls."""
        now = self._clock.monotonic()
        if now - self._answers_at > ANSWERS_S:
            self._said, self._answers_at = self._answers.look(int(self._clock.now().timestamp()), self._homes), now
        return self._said

    def _slowly(self) -> list[Look]:
        now = self._clock.monotonic()
        if now - self._slow_at > SLOW_S:
            moment = self._clock.now()
            self._slow = [
                *rules.certificate_looks(utility_queries.certificate_ends(), moment),
                rules.audit_look(self._audit()),
                *(rules.certificate_look(feeder, *_certificate(feeder, moment)) for feeder in sorted(self._feeders)),
            ]
            self._slow_at = now
        return self._slow

    def _audit(self) -> str:
        """Return what is wrong with the audit log; the whole chain is walked once an hour, its end every minute."""
        now = self._clock.monotonic()
        if now - self._walked_at > WALK_S or self._broken:
            self._broken, self._walked_at = audit.verify().problem, now
        waiting = audit.missed()
        return self._broken or (f"{waiting} entries wait to be logged" if waiting else "")

    def _offset_s(self) -> float:
        """Return by how much this machine's wall clock is off, as far as the database's and its own steady clock tell."""
        ahead = None
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                ahead = (cursor.fetchone()[0] - self._clock.now()).total_seconds()
        return self._check.take(self._clock.now(), self._clock.monotonic(), database_ahead_s=ahead)


def _certificate(feeder: str, now: datetime) -> tuple[bool | None, str]:
    """Return whether the certificate of what is in force holds (None: none was tried), and where it breaks."""
    version, terms = newest_version(feeder), agreements_in_force(now.date(), feeder)
    if version is None:
        return None, ""
    state = certificate_services.switching_state(feeder)
    name = state.name if state is not None else certificate_services.NORMAL
    row = certificate_services.certificate_of(version, terms, name, meaning_of(version, state))
    if row is None:
        return None, ""
    why = "{criterion} at {element} in hour {hour}".format_map({"criterion": "", "element": "", "hour": ""} | row.detail)
    return row.holds, f"{why}, switching state {name}"
