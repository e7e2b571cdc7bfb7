"""Idempotency-Key: the same key and body give the same answer, however often and however late within a day.

The reservation is committed before the work; the work and its answer are committed together. A process that dies between
the two leaves neither effect nor answer, and the key is free again when its lock is over.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.exceptions import ParseError
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from derms.errors import Conflict, InputError
from interconnection.api.models import OnceKey

KEPT = timedelta(hours=24)
LOCK = timedelta(seconds=120)
HEADERS = ("Location", "ETag", "Retry-After")
HEADER = "idempotency-key"


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return what makes a request the same request."""
    return hashlib.sha256(b"\n".join([method.encode(), path.encode(), body])).hexdigest()


def checked(key: str) -> str:
    """Return a key of 1 to 255 printable ASCII characters; raises ParseError."""
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise ParseError("Idempotency-Key has 1 to 255 printable ASCII characters")
    return key


def reserve(owner: Any, key: str, mark: str, now: datetime) -> OnceKey:
    """Return a row with an answer, or a fresh one that is ours to fill.

    Raises InputError (422) when the key stood for another request, Conflict (409) while the first one is at work.
    """
    OnceKey.objects.filter(owner=owner, created__lte=now - KEPT).delete()
    try:
        with transaction.atomic():
            return OnceKey.objects.create(owner=owner, key=key, fingerprint=mark, created=now, locked_until=now + LOCK)
    except IntegrityError:
        row = OnceKey.objects.get(owner=owner, key=key)
    if row.fingerprint != mark:
        raise InputError(
            "this Idempotency-Key stood for another request",
            where="Idempotency-Key",
            remedy="Use a new key for a new request.",
        )
    if row.status is not None:
        return row
    taken = OnceKey.objects.filter(pk=row.pk, status=None, locked_until__lte=now).update(locked_until=now + LOCK)
    if not taken:
        raise Conflict(
            "the first request with this key is still at work", where="Idempotency-Key", remedy="Ask again in a moment."
        )
    return row


def keep(row: OnceKey, answer: Response) -> None:
    """Store an answer; call it in the transaction of the work."""
    OnceKey.objects.filter(pk=row.pk).update(
        status=answer.status_code,
        body=json.dumps(answer.data, cls=JSONEncoder),
        headers={name: answer[name] for name in HEADERS if answer.has_header(name)},
    )


def release(row: OnceKey) -> None:
    """Give the key back: nothing was done under it."""
    OnceKey.objects.filter(pk=row.pk, status=None).delete()


def replay(row: OnceKey) -> Response:
    """Return the stored answer."""
    assert row.status is not None
    problem = row.status >= 400
    answer = Response(
        json.loads(row.body), status=row.status, headers={**row.headers, "Idempotent-Replayed": "true"},
        content_type="application/problem+json" if problem else None,
    )  # fmt: skip
    return answer
