"""Running a recorded cycle again: the same model, the same question, the same control law."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from derms.errors import HeadroomError, InputError
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import FeederVersion
from telemetry.control.cycle_document import canonical, decide_again
from telemetry.cycle_models import CycleDocument
from telemetry.model_text import text_of_cycle

SOLVE_S = 60.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What running again gave; `difference` names the first part that is not the same."""

    number: int
    feeder: str
    snapshot: str
    text: str
    sha256: str
    recorded_sha256: str
    difference: str

    @property
    def same(self) -> bool:
        """Say whether the bytes are the same, and the record is the one that was written."""
        return self.sha256 == self.recorded_sha256 and not self.difference


def replay_cycle(cycle: str) -> Replay:
    """Return what a recorded cycle gives now: `cycle` is its number, or FEEDER:SNAPSHOT; raises InputError."""
    row = _find(cycle)
    raw = json.loads(row.text)
    answer = raw["envelope"]["answer"]
    if raw["envelope"]["question"] is not None:
        answer = _ask_again(raw)
    again = raw | {"envelope": raw["envelope"] | {"answer": answer}, "decisions": decide_again(row.text)}
    text = canonical(again)
    digest = hashlib.sha256(text.encode()).hexdigest()
    parts = [name for name in ("envelope", "decisions") if again[name] != raw[name]]
    if hashlib.sha256(row.text.encode()).hexdigest() != row.sha256:
        parts.insert(0, "the record itself was changed")
    return Replay(row.cycle_id, raw["feeder"], raw["snapshot"], text, digest, row.sha256, ", ".join(parts))


def _find(cycle: str) -> CycleDocument:
    rows = CycleDocument.objects.select_related("cycle")
    if ":" in cycle:
        feeder, _, snapshot = cycle.partition(":")
        found = rows.filter(cycle__feeder=feeder, cycle__snapshot=snapshot).last()
    else:
        found = rows.filter(cycle=int(cycle)).first() if cycle.isdigit() else None
    if found is None:
        raise InputError(f"no recorded cycle is {cycle!r}", where="cycle", remedy="Old cycles are let go after a day.")
    return found


def _ask_again(raw: dict[str, Any]) -> dict[str, Any] | None:
    version = FeederVersion.objects.filter(feeder__name=raw["feeder"], sha256=raw["model_sha256"]).first()
    if version is None:
        raise InputError("the cycle's model is not stored any more", where=raw["feeder"])
    with FeederProcess(text_of_cycle(version, raw["feeder"], raw["switching"])) as model:
        try:
            return model.call("live_envelope", raw["envelope"]["question"], timeout_s=SOLVE_S)
        except HeadroomError:
            return None
