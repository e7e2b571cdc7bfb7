"""Writes what the control loop did. The loop waits for the audit of a raise, and for nothing else."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error, close_old_connections

from telemetry import services
from telemetry.control.decide import Decision
from telemetry.control.grant import Acknowledgement, Grant
from telemetry.control.ladder_keeper import LadderKeeper
from telemetry.control.needs import believable
from telemetry.control.orders import Order
from telemetry.control.state import CycleRecord
from telemetry.database import fresh
from telemetry.engine import ControlEngine

LOG = logging.getLogger(__name__)
MOST_WAITING = 200
AUDIT_S = 5.0
CLOSE_S = 10.0
LOOK_S = 0.2


@dataclass(frozen=True)
class Item:
    """A cycle as it waits to be written."""

    at: datetime
    record: CycleRecord
    board: dict[str, Any]
    ladders: dict[str, dict[str, Any]]


class DatabaseRecorder:
    """A `Recorder` on the database: a thread writes, a bounded queue keeps the loop from ever waiting."""

    def __init__(self, feeder: str) -> None:
        self._feeder = feeder
        self._waiting: queue.Queue[Item | tuple[Acknowledgement, ...]] = queue.Queue(MOST_WAITING)
        self.dropped = 0
        self._closing = threading.Event()
        self._keeper = LadderKeeper()
        self.engine: ControlEngine | None = None
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    async def audit(self, grants: Sequence[Grant]) -> bool:
        """Write raises first; a failure, a lost lead or a slow disk blocks the raise."""
        try:
            write = sync_to_async(fresh(services.audit_grants), thread_sensitive=False)
            return await asyncio.wait_for(write(self._feeder, list(grants)), AUDIT_S)
        except (Error, TimeoutError):
            LOG.exception("the audit log could not be written: raises wait")
            return False

    def record(self, record: CycleRecord) -> None:
        """Queue a cycle for writing; a full queue drops it and counts, and what cannot be shown stops no loop."""
        assert self.engine is not None
        ladders = self._keeper.moved(self.engine.ladders, record.now, record.epoch)
        try:
            self._waiting.put_nowait(Item(datetime.now(UTC), record, board(self.engine, record), ladders))
        except queue.Full:
            self._drop(ladders)
        except Exception:
            self._drop(ladders)
            LOG.exception("a cycle cannot be shown")

    def note(self, answers: Sequence[Acknowledgement]) -> None:
        """Queue what went out between two cycles."""
        try:
            self._waiting.put_nowait(tuple(answers))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits and stop, within `CLOSE_S`: a writer that hangs is left to the process's end."""
        self._closing.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            LOG.error("%d records of %s were not written before the end", self._waiting.qsize(), self._feeder)

    def _write(self) -> None:
        while not (self._closing.is_set() and self._waiting.empty()):
            try:
                item = self._waiting.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            try:
                self._write_one(item)
            except Exception:
                # Whatever a site's value or the database did: the next record, and each ladder, must still be written.
                self._drop(item.ladders if isinstance(item, Item) else {})
                LOG.exception("a cycle could not be recorded")
                close_old_connections()

    def _drop(self, ladders: Mapping[str, Any]) -> None:
        """Count a record that is lost; the ladders in it are stored with the next one."""
        self.dropped += 1
        self._keeper.lost(ladders)

    def _write_one(self, item: Item | tuple[Acknowledgement, ...]) -> None:
        if not isinstance(item, Item):
            services.record_outcomes(self._feeder, item)
            return
        record = item.record
        try:
            services.record_outcomes(self._feeder, record.acknowledgements)
            services.keep_evidence(self._feeder, record.evidence, item.at)
        finally:  # what the next leader must know does not hang on what a site sent
            services.record_cycle(
                self._feeder, item.at, record.snapshot, record.epoch, item.board | {"dropped": self.dropped},
                document=record.document, ladders=item.ladders,
            )  # fmt: skip


def board(engine: ControlEngine, record: CycleRecord) -> dict[str, Any]:
    """Return what people see of a cycle, in kilowatts."""
    envelope, head = record.envelope, record.head
    decisions = {decision.site: decision for decision in record.decisions}
    shown: dict[str, Any] = {
        "snapshot": record.snapshot,
        "epoch": record.epoch,
        "mode": record.orders.mode,
        "problem": record.problem,
        "head_kw": round(head.power_w / 1000, 1) if head is not None and math.isfinite(head.power_w) else None,
        "head_kvar": round(head.reactive_var / 1000, 1) if head is not None and math.isfinite(head.reactive_var) else None,
        "orders": [_order(item) for item in record.orders.items],
        "orders_known": record.orders.known,
        "level": record.level,
        "clock_offset_s": round(record.clock_offset_s, 2),
        "withheld": list(record.withheld),
        "sites": [_site(engine, record, name, decisions.get(name)) for name in sorted(engine.books)],
    }
    if envelope is not None:
        shown |= {
            "loading_percent": round(envelope.worst_loading_percent, 1),
            "element": envelope.worst_element,
            "v_min_pu": round(envelope.lowest_voltage_pu, 4),
            "v_max_pu": round(envelope.highest_voltage_pu, 4),
            "load_scale": round(envelope.load_scale, 4),
            "engine": envelope.engine,
        }
        if envelope.margin_w is not None:
            shown["margin_kw"] = {
                side: round(w / 1000, 1) for side, w in zip(("import", "export"), envelope.margin_w, strict=True)
            }
    return shown


def _order(order: Order) -> dict[str, Any]:
    limit = order.limit
    return {
        "number": order.number, "kind": order.kind, "site": order.site, "by": order.by,
        "import_kw": limit.import_w // 100 / 10 if limit is not None else None,
        "export_kw": limit.export_w // 100 / 10 if limit is not None else None,
    }  # fmt: skip


def _site(engine: ControlEngine, record: CycleRecord, name: str, decision: Decision | None) -> dict[str, Any]:
    book, now = engine.books[name], record.now
    reading, limit = book.last_reading, book.in_force(record.now)
    reason = decision.reason if decision is not None else None
    heard, shadow = book.fresh(now), record.shadow.get(name)
    facts: dict[str, Any] = {
        "site": name,
        "protocol": engine.ports[name].protocol if name in engine.ports else book.terms.protocol,
        "power_kw": round(reading.power_w / 1000, 1) if reading else None,
        "import_limit_kw": limit.import_w // 100 / 10,
        "export_limit_kw": limit.export_w // 100 / 10,
        "failsafe_import_kw": book.terms.failsafe.import_w // 100 / 10,
        "failsafe_export_kw": book.terms.failsafe.export_w // 100 / 10,
        "flexible_import_kw": book.terms.flexible.import_w // 100 / 10,
        "flexible_export_kw": book.terms.flexible.export_w // 100 / 10,
        "heard": heard,
        "silent_s": round(now - reading.received) if reading else None,
        "in_failsafe": limit == book.terms.failsafe,
        "stage": record.stages[name].value,
        "state_of_charge_percent": _finite(reading.state_of_charge_percent) if reading else None,
        "needs_kwh": [round(need.energy_wh / 1000, 1) for need in reading.needs if believable(need)] if reading else [],
        "available_import_kw": _kilo(reading.available_import_w) if reading else None,
        "available_export_kw": _kilo(reading.available_export_w) if reading else None,
        "energy_kwh": _kilo(reading.energy_wh) if reading else None,
        "reason": f"{reason.criterion} at {reason.element}, share {reason.share:.2f}"
        if reason
        else "failsafe limit: not heard",
    }
    if reason is not None:  # what the limit rests on, and what `replay_cycle` takes
        facts["why"] = {
            "criterion": reason.criterion, "element": reason.element, "share": round(reason.share, 4),
            "snapshot": reason.snapshot,
        }  # fmt: skip
    if shadow is not None:
        facts["shadow"] = {
            "import_limit_kw": shadow.limit.import_w // 100 / 10, "export_limit_kw": shadow.limit.export_w // 100 / 10,
            "beyond_kw": round(shadow.beyond_w / 1000, 1),
            "reason": f"{shadow.reason.criterion} at {shadow.reason.element}",
        }  # fmt: skip
    return facts


def _kilo(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value / 1000, 1)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
