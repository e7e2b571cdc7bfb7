"""The audit log: an append-only hash chain with an anchor outside the database.

Each entry's SHA-256 covers its own text and the digest before it, so a change, a removal or a swap inside the chain
breaks it. Cutting off its end does not: for that the newest digest is written, once a minute while there is work, to
the anchor file (`HEADROOM_AUDIT_ANCHOR`), which belongs on another host or on paper. An entry is written in the same
transaction as the change it tells of: no change is visible before its entry. What may never wait for the log
(tightening) uses `append_lowering`, which notes a failure beside the database and goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, Error, transaction

from derms.clock import Clock, SystemClock
from interconnection.audit_models import AuditEntry, AuditHead

LOG = logging.getLogger(__name__)
START = "0" * 64
ANCHOR_EVERY_S = 60.0
ANCHOR_EVERY_ENTRIES = 1000
MOST_ACTOR, MOST_ACTION, MOST_SUBJECT = 150, 64, 200
_anchored = {"at": -1e9, "sequence": 0}
_anchor_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to be logged; `before` and `after` are plain data."""

    actor: str
    action: str
    subject: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk along the chain found; `problem` is empty when every entry and every anchor fits."""

    entries: int
    anchors: int
    digest: str
    problem: str

    @property
    def holds(self) -> bool:
        """Say whether the chain is whole."""
        return not self.problem


def append(
    actor: str, action: str, subject: str, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None,
    *, clock: Clock | None = None,
) -> AuditEntry:  # fmt: skip
    """Append one entry within the caller's transaction; raises DatabaseError, and then the change must not happen."""
    return append_all([Fact(actor, action, subject, before or {}, after or {})], clock=clock)[0]


def append_all(facts: Iterable[Fact], *, clock: Clock | None = None) -> list[AuditEntry]:
    """Append several entries under one lock; all or none."""
    clock = clock or SystemClock()
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(name="audit").first()
        if head is None:
            AuditHead.objects.get_or_create(name="audit")
            head = AuditHead.objects.select_for_update().get(name="audit")
        rows = []
        for fact in facts:
            row = _row(fact, head.sequence + 1, head.digest, clock.now())
            head.sequence, head.digest = row.sequence, row.digest
            rows.append(row)
        AuditEntry.objects.bulk_create(rows)
        head.save(update_fields=["sequence", "digest"])
        sequence, digest = head.sequence, head.digest
        transaction.on_commit(lambda: _anchor_when_due(sequence, digest, clock))
    return rows


def append_lowering(
    actor: str, action: str, subject: str, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
) -> AuditEntry | None:
    """Append an entry about something that lowers a limit; a log that cannot be written does not stop it.

    What could not be logged goes to the missed file beside the database; `log_missed` brings it into the chain later.
    """
    try:
        with transaction.atomic():
            return append(actor, action, subject, before, after)
    except DatabaseError:
        LOG.exception("the audit log could not be written; the lowering goes on")
        _note_missed(Fact(actor, action, subject, before or {}, after or {}))
        return None


def log_missed() -> int:
    """Bring what could not be logged into the chain, each entry saying that it came late; return how many."""
    path = _missed_path()
    if not path.exists():
        return 0
    taken = path.with_suffix(f".{os.getpid()}")
    try:
        path.replace(taken)
    except FileNotFoundError:
        return 0  # another process of this folder took it between the two looks
    text = taken.read_text()
    facts = []
    for line in text.splitlines():
        try:
            raw = json.loads(line)
            after = raw["after"] | {"logged_late": raw["at"]}
            facts.append(Fact(raw["actor"], raw["action"], raw["subject"], raw["before"], after))
        except (ValueError, KeyError, TypeError):  # the disk filled up in the middle of it: the others are still good
            facts.append(Fact("engine", "unreadable", "an entry that could not be logged", {}, {"text": line[:500]}))
    try:
        append_all(facts)
    except Error:
        with path.open("a") as file:
            file.write(text if text.endswith("\n") else text + "\n")
        taken.unlink()
        raise
    taken.unlink()
    return len(facts)


def missed() -> int:
    """Return how many entries wait beside the database because they could not be logged."""
    path = _missed_path()
    return len(path.read_text().splitlines()) if path.exists() else 0


def verify(*, anchor_path: Path | None = None) -> Verification:
    """Walk the whole chain and compare it with every line of the anchor file."""
    anchors, unread = _anchors(anchor_path or _anchor_path())
    previous, count, checked = START, 0, 0
    rows = AuditEntry.objects.order_by("sequence").values_list(
        "sequence", "at", "actor", "action", "subject", "before", "after", "previous", "digest"
    )
    for row in rows.iterator(chunk_size=5000):
        problem = _problem_of(row, count + 1, previous, anchors)
        if problem:
            return Verification(count, checked, previous, problem)
        count, previous = row[0], row[-1]
        checked += count in anchors
    return Verification(count, checked, previous, unread or _problem_of_end(count, previous, anchors))


def _problem_of(row: tuple[Any, ...], expected: int, previous: str, anchors: Mapping[int, str]) -> str:
    """Return what is wrong with one entry, or nothing."""
    sequence, at, actor, action, subject, before, after, linked, digest = row
    if sequence != expected:
        return f"entry {expected} is missing: {sequence} follows"
    if linked != previous:
        return f"entry {sequence} does not follow the one before it"
    if _digest(sequence, at, actor, action, subject, before, after, previous) != digest:
        return f"entry {sequence} was changed"
    if anchors.get(sequence, digest) != digest:
        return f"entry {sequence} is not the one that was anchored"
    return ""


def _problem_of_end(count: int, digest: str, anchors: Mapping[int, str]) -> str:
    """Return whether entries are missing after the last one."""
    beyond = max(anchors, default=0)
    if beyond > count:
        return f"the chain ends at {count}, the anchor knows {beyond}"
    head = AuditHead.objects.filter(name="audit").first()
    if (head.sequence, head.digest) != (count, digest) if head is not None else count > 0:
        return f"the chain ends at {count}, its head says {head.sequence if head is not None else 'nothing'}"
    return ""


def anchor_now(*, clock: Clock | None = None) -> tuple[int, str]:
    """Write the newest digest to the anchor file and return it with its number."""
    clock = clock or SystemClock()
    head = AuditHead.objects.filter(name="audit").first()
    sequence, digest = (head.sequence, head.digest) if head is not None else (0, START)
    if sequence:
        _write_anchor(sequence, digest, clock.now())
    return sequence, digest


def _row(fact: Fact, sequence: int, previous: str, at: datetime) -> AuditEntry:
    actor, action, subject = fact.actor[:MOST_ACTOR], fact.action[:MOST_ACTION], fact.subject[:MOST_SUBJECT]
    before, after = canonical(fact.before), canonical(fact.after)
    return AuditEntry(
        sequence=sequence, at=at, actor=actor, action=action, subject=subject, before=before, after=after,
        previous=previous, digest=_digest(sequence, at, actor, action, subject, before, after, previous),
    )  # fmt: skip


def canonical(data: Mapping[str, Any]) -> str:
    """Return plain data as canonical JSON text: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), default=str, allow_nan=False)


def _digest(
    sequence: int, at: datetime, actor: str, action: str, subject: str, before: str, after: str, previous: str
) -> str:  # fmt: skip
    # A JSON list keeps the fields apart: no text can pretend to be the next field.
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps([sequence, moment, actor, action, subject, before, after, previous], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _anchor_when_due(sequence: int, digest: str, clock: Clock) -> None:
    now = clock.monotonic()
    with _anchor_lock:
        if now - _anchored["at"] < ANCHOR_EVERY_S and sequence - _anchored["sequence"] < ANCHOR_EVERY_ENTRIES:
            return
        _anchored.update(at=now, sequence=sequence)
    try:
        _write_anchor(sequence, digest, clock.now())
    except OSError:
        LOG.exception("the audit anchor could not be written")


def _write_anchor(sequence: int, digest: str, at: datetime) -> None:
    path = _anchor_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    line = canonical({"sequence": sequence, "digest": digest, "at": at.isoformat()})
    with path.open("a") as file:
        file.write(line + "\n")


def _anchors(path: Path) -> tuple[dict[int, str], str]:
    """Return the anchored digests by number, and what is wrong with the file ("" when nothing is)."""
    found: dict[int, str] = {}
    if not path.exists():
        return found, ""
    for count, line in enumerate(path.read_text().splitlines(), 1):
        try:
            raw = json.loads(line)
            sequence, digest = int(raw["sequence"]), str(raw["digest"])
        except (ValueError, KeyError, TypeError):
            return found, f"line {count} of the anchor file is not an anchor"
        if found.setdefault(sequence, digest) != digest:
            return found, f"the anchor file knows two different entries {sequence}"
    return found, ""


def _anchor_path() -> Path:
    return Path(settings.AUDIT_ANCHOR)


def _missed_path() -> Path:
    return Path(settings.STATE_DIR) / "audit_missed.jsonl"


def _note_missed(fact: Fact) -> None:
    line = canonical(
        {
            "actor": fact.actor, "action": fact.action, "subject": fact.subject, "before": dict(fact.before),
            "after": dict(fact.after), "at": datetime.now(UTC).isoformat(),
        }
    )  # fmt: skip
    try:
        with _missed_path().open("a") as file:
            file.write(line + "\n")
    except OSError:
        LOG.exception("not even the missed file could be written: %s", line)
