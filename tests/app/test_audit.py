"""The audit chain: tampering is found, writers queue, a failing log stops raises and never a lowering."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from interconnection import audit
from interconnection.audit_models import AuditEntry, AuditHead
from interconnection.models import Application
from tests.app.processes import ended, environment, start

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)


def fill(count: int = 6) -> None:
    for number in range(count):
        audit.append("ann", "cap", f"site {number}", {"import_w": 10.5}, {"import_w": number, "note": 'a","b'})


def tamper(sql: str, *arguments: Any) -> None:
    """Do what somebody with the database's password can do."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE interconnection_auditentry DISABLE TRIGGER audit_append_only")
        cursor.execute(sql, arguments)


def swap() -> None:
    tamper("UPDATE interconnection_auditentry SET sequence = 100 WHERE sequence = 3")
    tamper("UPDATE interconnection_auditentry SET sequence = 3 WHERE sequence = 4")
    tamper("UPDATE interconnection_auditentry SET sequence = 4 WHERE sequence = 100")


def rewrite() -> None:
    """Change an entry and make the rest of the chain fit it."""
    tamper("UPDATE interconnection_auditentry SET actor = 'bob' WHERE sequence = 2")
    previous = AuditEntry.objects.get(sequence=1).digest
    for row in AuditEntry.objects.filter(sequence__gte=2):
        text = (row.sequence, row.at, row.actor, row.action, row.subject, row.before, row.after)
        digest = audit._digest(*text, previous)
        tamper(
            "UPDATE interconnection_auditentry SET previous = %s, digest = %s WHERE sequence = %s",
            previous, digest, row.sequence,
        )  # fmt: skip
        previous = digest
    AuditHead.objects.update(digest=previous)


def cut_off() -> None:
    """Remove the newest entries and say that they never were."""
    tamper("DELETE FROM interconnection_auditentry WHERE sequence > 4")
    AuditHead.objects.update(sequence=4, digest=AuditEntry.objects.get(sequence=4).digest)


CHANGES: dict[str, Callable[[], None]] = {
    "actor": lambda: tamper("UPDATE interconnection_auditentry SET actor = 'bob' WHERE sequence = 3"),
    "after": lambda: tamper("UPDATE interconnection_auditentry SET after = '{}' WHERE sequence = 3"),
    "time": lambda: tamper("UPDATE interconnection_auditentry SET at = %s WHERE sequence = 3", EARLIER),
    "first removed": lambda: tamper("DELETE FROM interconnection_auditentry WHERE sequence = 1"),
    "middle removed": lambda: tamper("DELETE FROM interconnection_auditentry WHERE sequence = 3"),
    "last removed": lambda: tamper("DELETE FROM interconnection_auditentry WHERE sequence = 6"),
    "swapped": swap,
    "rewritten to the end": rewrite,
    "cut off": cut_off,
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_found(db: None, change: str) -> None:
    fill()
    audit.anchor_now()
    assert audit.verify().holds
    assert audit.verify().entries == 6
    CHANGES[change]()
    found = audit.verify()
    assert not found.holds, change
    with pytest.raises(SystemExit):
        call_command("verify_audit")


def test_without_the_anchor_a_cut_and_a_rewrite_would_stay_hidden(db: None, settings: Any, tmp_path: Path) -> None:
    """Why the anchor belongs outside: inside the database everything fits."""
    fill()
    audit.anchor_now()
    rewrite()
    cut_off()
    assert audit.verify(anchor_path=tmp_path / "none").holds
    assert not audit.verify().holds


def test_postgresql_itself_refuses_changes(db: None) -> None:
    fill(1)
    if connection.vendor != "postgresql":
        pytest.skip("the trigger is PostgreSQL's: run with DATABASE_URL")
    for sql in ("UPDATE interconnection_auditentry SET actor = 'bob'", "DELETE FROM interconnection_auditentry"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)


WRITER = """
import sys
from interconnection import audit
for number in range(20):
    audit.append(sys.argv[1], "cap", f"site {number}")
"""


@pytest.mark.django_db(transaction=True)
def test_several_processes_at_once_make_one_chain(tmp_path: Path) -> None:
    env = environment(tmp_path)
    writers = [start(WRITER, name, env=env) for name in ("ann", "ben", "cat")]
    with ended(*writers):
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    check = start("from interconnection import audit; found = audit.verify(); print(found.entries, found.problem)", env=env)
    with ended(check):
        assert check.communicate(timeout=30)[0].strip() == "60"


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_was_never_logged_and_leaves_no_gap() -> None:
    fill(2)
    with pytest.raises(RuntimeError), transaction.atomic():
        fill(2)
        raise RuntimeError
    fill(1)
    assert (audit.verify().problem, audit.verify().entries) == ("", 3)


def test_an_event_of_the_planning_desk_is_in_the_chain(application: Application) -> None:
    entries = AuditEntry.objects.filter(subject=f"application {application.pk}", action="submit")
    assert [entry.actor for entry in entries] == ["applicant"]
    assert audit.verify().holds


def test_what_lowers_goes_on_without_the_log_and_is_brought_in_later(
    db: None, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.STATE_DIR = tmp_path

    def full(rows: object) -> None:
        raise DatabaseError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(AuditEntry.objects, "bulk_create", full)
        with pytest.raises(DatabaseError):
            audit.append("ann", "raise", "site a")
        assert audit.append_lowering("ann", "cap", "site a", {}, {"import_w": 0}) is None
    assert AuditEntry.objects.count() == 0
    assert audit.missed() == 1
    assert audit.log_missed() == 1
    assert audit.missed() == 0
    late = AuditEntry.objects.get()
    assert (late.actor, late.subject) == ("ann", "site a")
    assert "logged_late" in late.after
    assert audit.log_missed() == 0
