"""Readers of the audit log for its page."""

from __future__ import annotations

import json
import re

from django.db.models import QuerySet

from interconnection.audit_models import AuditEntry

DIGEST = re.compile(r"[0-9a-f]{40,64}")


def entries(*, actor: str = "", action: str = "", subject: str = "") -> QuerySet[AuditEntry]:
    """Return entries newest first: of one actor, of one kind, about what contains a text."""
    rows = AuditEntry.objects.order_by("-sequence")
    if actor:
        rows = rows.filter(actor=actor)
    if action:
        rows = rows.filter(action=action)
    return rows.filter(subject__icontains=subject) if subject else rows


def actions(newest: int = 2000) -> list[str]:
    """Return the kinds of entries among the newest ones."""
    found = AuditEntry.objects.order_by("-sequence").values_list("action", flat=True)[:newest]
    return sorted(set(found))


def facts(text: str) -> list[tuple[str, str]]:
    """Return an entry's canonical JSON as (name, value) in words; kilowatts for watts, long digests cut."""
    found = []
    for name, value in json.loads(text).items():
        if name.endswith("_w") and isinstance(value, int):
            found.append((name[:-2].replace("_", " "), f"{value / 1000:g} kW"))
        elif value not in ("", None):
            word = value if isinstance(value, str) else json.dumps(value)
            found.append((name.replace("_", " "), word[:12] + "…" if DIGEST.fullmatch(word) else word[:160]))
    return found
