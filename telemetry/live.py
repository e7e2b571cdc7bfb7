"""What all open pages share: read at most once a second for each server process, however many look on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async

from interconnection.audit_models import AuditHead
from telemetry import alarm_queries, queries
from telemetry.alarm_models import AlarmEvent
from telemetry.banner import shown
from telemetry.progress import watchdog_says
from telemetry.queries import Boards

EVERY_S = 1.0
NOT_PERMITTED = "not permitted"


@dataclass
class Live:
    """The newest news; one for each event loop."""

    boards: Boards = field(default_factory=dict)
    task: asyncio.Task[dict[str, Any]] | None = None
    at: float = -1e9

    async def news(self) -> dict[str, Any]:
        """Return news no older than a second."""
        loop = asyncio.get_running_loop()
        if self.task is None or (self.task.done() and loop.time() - self.at >= EVERY_S):
            self.at, self.task = loop.time(), asyncio.create_task(database_sync_to_async(self.gather)(datetime.now(UTC)))
        return await asyncio.shield(self.task)

    def gather(self, now: datetime) -> dict[str, Any]:
        """Read what changed: five statements, and a sixth when a cycle is new."""
        self.boards = queries.newest_boards(self.boards)
        counts = alarm_queries.counts()
        newest = AlarmEvent.objects.values_list("pk", flat=True).first()
        head = AuditHead.objects.filter(name="audit").values_list("sequence", flat=True).first()
        return {
            "now": now.isoformat(),
            "control": shown(watchdog_says()),
            "alarms": {key: counts[key] for key in ("standing", "unacknowledged", "priorities")}
            | {"version": newest or 0, "flood": alarm_queries.flood(now)["flood"]},
            "audit": head or 0,
            "feeders": [summary(feeder, at, board, now) for feeder, (_, at, board) in sorted(self.boards.items())],
        }


_LIVES: WeakKeyDictionary[asyncio.AbstractEventLoop, Live] = WeakKeyDictionary()


def live() -> Live:
    """Return the running loop's news."""
    return _LIVES.setdefault(asyncio.get_running_loop(), Live())


def summary(
    feeder: str, at: datetime, board: dict[str, Any], now: datetime, permitted: Collection[str] | None = None
) -> dict[str, Any]:
    """Return one feeder's line of the list."""
    age = (now - at).total_seconds()
    sites = board.get("sites", [])
    states = Counter(site_state(site, permitted) for site in sites)
    kept = ("snapshot", "mode", "problem", "head_kw", "loading_percent", "element", "v_min_pu", "v_max_pu", "level")
    return {key: board.get(key) for key in kept} | {
        "feeder": feeder, "at": at.isoformat(), "age_s": round(age), "stale": age > queries.STALE_S, "sites": len(sites),
        "states": dict(states), "power_kw": round(sum(site.get("power_kw") or 0.0 for site in sites), 1),
        "limit_kw": round(sum(site.get("import_limit_kw") or 0.0 for site in sites), 1),
    }  # fmt: skip


def site_state(site: dict[str, Any], permitted: Collection[str] | None = None) -> str:
    """Return the one word that says how a site stands, the worst first.

    `permitted`: the sites that may be operated, where the caller knows them: another one has no wire, which is no fault.
    """
    if site.get("stage") in ("locked", "warned"):
        return str(site["stage"])
    if permitted is not None and site["site"] not in permitted:
        return NOT_PERMITTED
    if not site.get("heard"):
        return "silent"
    return "failsafe" if site.get("in_failsafe") else "lease"
