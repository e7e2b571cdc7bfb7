"""The registry of certified equipment: listings come in one by one or as a list, and are looked up by make, model, day."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from derms.errors import InputError
from interconnection.models import Certificate
from interconnection.models.certificates import STANDARDS
from interconnection.services.audit import record

COLUMNS = ("make", "model", "standard", "listing", "laboratory", "rated_kw", "firmware", "issued", "expires", "origin")


def register(
    *, make: str, model: str, standard: str, listing: str, issued: date, expires: date | None, origin: str, actor: str,
    laboratory: str = "", rated_w: int | None = None, firmware: str = "",
) -> Certificate:  # fmt: skip
    """Store a listing, or renew the one that is there; raises InputError naming the field."""
    if standard not in [name for name, _ in STANDARDS]:
        raise InputError(f"unknown standard {standard!r}", where="standard", remedy=", ".join(n for n, _ in STANDARDS))
    for name, value in (("make", make), ("model", model), ("listing", listing), ("origin", origin)):
        if not value.strip():
            raise InputError(f"{name} is empty", where=name)
    if expires is not None and expires <= issued:
        raise InputError("it expires before it was issued", where="expires")
    facts = {"laboratory": laboratory, "rated_w": rated_w, "firmware": firmware, "issued": issued, "expires": expires,
             "origin": origin}  # fmt: skip
    with transaction.atomic():
        row, new = Certificate.objects.get_or_create(
            make=make.strip(), model=model.strip(), standard=standard, listing=listing.strip(), defaults=facts
        )
        before = {} if new else {name: getattr(row, name) for name in facts}
        if before != facts:
            Certificate.objects.filter(pk=row.pk).update(**facts)
            row.refresh_from_db()
            record("certificate", actor=actor, before={k: str(v) for k, v in before.items()},
                   after={"listing": listing, "standard": standard} | {k: str(v) for k, v in facts.items()})  # fmt: skip
    return row


def lookup(make: str = "", model: str = "", *, standard: str = "", on: date | None = None) -> QuerySet[Certificate]:
    """Return listings whose make and model contain the words; `on`: only those that hold on that day."""
    rows = Certificate.objects.filter(make__icontains=make, model__icontains=model)
    if standard:
        rows = rows.filter(standard=standard)
    if on is not None:
        rows = rows.filter(Q(expires__isnull=True) | Q(expires__gt=on), issued__lte=on)
    return rows


def load(lines: Iterable[str], *, actor: str, origin: str) -> int:
    """Read a registry as CSV with a heading line; all rows are stored, or none and InputError names line and column."""
    reader = csv.DictReader(lines)
    missing = {"make", "model", "standard", "listing", "issued"} - set(reader.fieldnames or ())
    if missing:
        raise InputError(f"the column {sorted(missing)[0]!r} is missing", where="line 1", remedy=", ".join(COLUMNS))
    count = 0
    with transaction.atomic():
        for number, row in enumerate(reader, start=2):
            try:
                _store(row, actor, origin)
            except (InputError, ValueError) as error:
                where = getattr(error, "where", "") or "a date or number"
                raise InputError(f"line {number}: {error}", where=f"line {number}: {where}") from error
            count += 1
    return count


def _store(row: dict[str, Any], actor: str, origin: str) -> None:
    def text(name: str) -> str:
        return (row.get(name) or "").strip()

    register(
        make=text("make"), model=text("model"), standard=text("standard"), listing=text("listing"),
        laboratory=text("laboratory"), firmware=text("firmware"),
        rated_w=int(float(text("rated_kw")) * 1000) if text("rated_kw") else None,
        issued=date.fromisoformat(text("issued")),
        expires=date.fromisoformat(text("expires")) if text("expires") else None,
        origin=text("origin") or origin, actor=actor,
    )  # fmt: skip
