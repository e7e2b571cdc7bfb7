"""Evidence of a breach: what was lent, what the device said that it obeys, and what it did before and after. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from telemetry.control.compliance import Stage
from telemetry.control.grant import Grant, Reading
from telemetry.control.site_book import SiteBook

BEFORE, AFTER = 30, 30
"""Samples kept on both sides of the event: five minutes each at a cycle of 10 s."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One event, complete: ready to be stored and hashed. Times are seconds from the event."""

    site: str
    stage: str
    snapshot: str
    facts: dict[str, Any]


@dataclass
class _Open:
    stage: str
    snapshot: str
    at: float
    before: list[dict[str, Any]]
    lent: dict[str, Any] | None
    after: list[dict[str, Any]] = field(default_factory=list)


class EvidenceKeeper:
    """Keeps each site's last samples, and completes a bundle for every step up the ladder."""

    def __init__(self) -> None:
        self._past: dict[str, deque[tuple[float, dict[str, Any]]]] = {}
        self._open: dict[str, list[_Open]] = {}
        self._stage: dict[str, Stage] = {}

    def take(
        self, site: str, reading: Reading | None, *, stage: Stage, excess_w: float, grant: Grant | None, now: float,
        snapshot: str,
    ) -> list[Bundle]:  # fmt: skip
        """Take one cycle of one site; return the bundles that are complete now."""
        sample = _sample(reading, excess_w)
        done = []
        for event in list(self._open.get(site, [])):
            event.after.append({"s": round(now - event.at, 3), **sample})
            if len(event.after) >= AFTER:
                self._open[site].remove(event)
                done.append(_bundle(site, event))
        before = self._stage.get(site, Stage.OBEYS)
        self._stage[site] = stage
        past = self._past.setdefault(site, deque(maxlen=BEFORE))
        past.append((now, sample))
        if stage is not before and stage is not Stage.OBEYS:
            samples = [{"s": round(at - now, 3), **item} for at, item in past]
            self._open.setdefault(site, []).append(_Open(stage.value, snapshot, now, samples, _lent(grant, now)))
        return done

    def collect(
        self, books: Mapping[str, SiteBook], readings: Mapping[str, Reading | None], stages: Mapping[str, Stage],
        excess: Mapping[str, float], now: float, snapshot: str,
    ) -> list[Bundle]:  # fmt: skip
        """Take one cycle of every site; return the bundles that are complete now."""
        bundles = []
        for name, book in books.items():
            lent = book.last_loan.grant if book.last_loan is not None else None
            bundles += self.take(
                name, readings.get(name), stage=stages[name], excess_w=excess[name], grant=lent, now=now, snapshot=snapshot
            )
        return bundles

    def close(self) -> list[Bundle]:
        """Return what is open now, incomplete as it is: the engine stops."""
        return [_bundle(site, event) for site, events in sorted(self._open.items()) for event in events]


def _sample(reading: Reading | None, excess_w: float) -> dict[str, Any]:
    if reading is None:
        return {"silent": True}
    limit = reading.limit_in_force
    return {
        "power_w": round(reading.power_w, 1) if math.isfinite(reading.power_w) else None,
        "reactive_var": round(reading.reactive_var, 1) if math.isfinite(reading.reactive_var) else None,
        "read_back": [limit.import_w, limit.export_w] if limit is not None else None,
        "in_failsafe": reading.in_failsafe,
        "epoch": reading.epoch,
        "sequence": reading.sequence,
        "quality": reading.quality.value,
        "excess_w": round(excess_w, 1),
    }


def _lent(grant: Grant | None, now: float) -> dict[str, Any] | None:
    if grant is None:
        return None
    return {
        "import_w": grant.limit.import_w, "export_w": grant.limit.export_w, "epoch": grant.epoch,
        "sequence": grant.sequence, "issued_s": round(grant.issued - now, 3), "ttl_s": grant.ttl_s,
        "reason": [grant.reason.criterion, grant.reason.element, grant.reason.share, grant.reason.snapshot],
    }  # fmt: skip


def _bundle(site: str, event: _Open) -> Bundle:
    return Bundle(site, event.stage, event.snapshot, {"before": event.before, "lent": event.lent, "after": event.after})
