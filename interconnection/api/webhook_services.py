"""The writers of webhooks: set up, approve, rotate, send again."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import IntegrityError, transaction

from derms.errors import Conflict, InputError, LocalError, NotFound
from interconnection import roles
from interconnection.api import webhook_address
from interconnection.api.models import Webhook, WebhookMessage
from interconnection.services.audit import record

MOST_WEBHOOKS = 20
OLD_SECRET_LIVES = timedelta(hours=24)
TYPES = (
    "application.file", "application.amend", "application.submit", "application.gaps", "application.complete",
    "application.screen", "application.study", "application.study_done", "application.offer", "application.decline",
    "application.lapse", "application.accept", "application.agreement", "application.commission", "application.permit",
    "application.suspend", "application.resume", "application.end", "application.withdraw", "application.modify", "test",
)  # fmt: skip
"""Events that one may ask for; an endpoint without a choice gets all of them."""


def _box() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"webhook" + key.encode()).digest())) for key in keys]
    )


def sealed(secret: str) -> str:
    """Return a secret as it is stored."""
    return _box().encrypt(secret.encode()).decode()


def opened(text: str) -> str:
    """Return a stored secret; raises LocalError when SECRET_KEY is no longer the one that sealed it."""
    try:
        return _box().decrypt(text.encode()).decode()
    except InvalidToken as error:
        raise LocalError(
            "this webhook's secret was sealed with another SECRET_KEY", where="webhook", remedy="Rotate the secret."
        ) from error


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _types(wanted: list[str]) -> list[str]:
    unknown = sorted(set(wanted) - set(TYPES))
    if unknown:
        raise InputError(f"unknown event type {unknown[0][:64]!r}", where="types", remedy=f"Known: {', '.join(TYPES)}.")
    return sorted(set(wanted))


def create(owner: Any, url: str, types: list[str]) -> tuple[Webhook, str]:
    """Store a webhook; the secret is shown once. Hosts of WEBHOOK_HOSTS are active at once, others wait for approval."""
    target = webhook_address.parse(url, allow_http=settings.WEBHOOK_ALLOW_HTTP)
    listed = webhook_address.allowed_by_list(target, settings.WEBHOOK_HOSTS)
    if Webhook.objects.filter(owner=owner).count() >= MOST_WEBHOOKS:
        raise Conflict(f"there are {MOST_WEBHOOKS} webhooks already", where="url", remedy="Remove one.")
    secret = _new_secret()
    try:
        with transaction.atomic():
            webhook = Webhook.objects.create(
                owner=owner, url=url, types=_types(types), secret=sealed(secret),
                state=Webhook.ACTIVE if listed else Webhook.WAITING,
                reason="" if listed else "waits for the administrator",
            )  # fmt: skip
            record("webhook_made", actor=str(owner), after={"webhook": webhook.pk, "url": url, "state": webhook.state})
    except IntegrityError as error:
        raise Conflict("this address is a webhook already", where="url", remedy="Change that one.") from error
    return webhook, secret


def approve(actor: Any, webhook: Webhook, active: bool) -> None:
    """Let a webhook be sent to, or stop it; for the administrator."""
    if not roles.has(actor, roles.ADMINISTRATOR):
        raise Conflict("only an administrator approves addresses", where="state")
    state = Webhook.ACTIVE if active else Webhook.STOPPED
    Webhook.objects.filter(pk=webhook.pk).update(state=state, reason="" if active else f"stopped by {actor}", failures=0)
    record("webhook_" + state, actor=str(actor), after={"webhook": webhook.pk, "url": webhook.url})


def change(owner: Any, webhook: Webhook, types: list[str]) -> Webhook:
    """Choose other event types; another address is another webhook."""
    webhook.types = _types(types)
    webhook.save(update_fields=["types"])
    record("webhook_changed", actor=str(owner), after={"webhook": webhook.pk, "types": webhook.types})
    return webhook


def rotate(owner: Any, webhook: Webhook, now: datetime) -> str:
    """Return a new secret, shown once; for a day messages carry both signatures."""
    secret = _new_secret()
    Webhook.objects.filter(pk=webhook.pk).update(
        old_secret=webhook.secret, old_until=now + OLD_SECRET_LIVES, secret=sealed(secret)
    )
    record("webhook_rotated", actor=str(owner), after={"webhook": webhook.pk})
    return secret


def remove(owner: Any, webhook: Webhook) -> None:
    """Remove a webhook with its messages."""
    record("webhook_removed", actor=str(owner), before={"webhook": webhook.pk, "url": webhook.url})
    webhook.delete()


def mine(owner: Any, number: int) -> Webhook:
    """Return one's webhook; another's answers as a missing one."""
    found = Webhook.objects.filter(owner=owner, pk=number).first()
    if found is None:
        raise NotFound(f"there is no webhook {number}", where="webhook")
    return found


def enqueue(webhook: Webhook, kind: str, data: dict[str, Any], at: datetime) -> WebhookMessage:
    """Store a message to be sent: in the transaction of what it tells of."""
    body = {"type": kind, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}
    return WebhookMessage.objects.create(
        webhook=webhook, identifier=f"msg_{uuid.uuid4().hex}", type=kind,
        payload=json.dumps(body, separators=(",", ":"), sort_keys=True), due=at,
    )  # fmt: skip


def send_again(owner: Any, webhook: Webhook, number: int, now: datetime) -> WebhookMessage:
    """Queue a message once more under its own identifier: the receiver can see that it had it."""
    changed = WebhookMessage.objects.filter(pk=number, webhook=webhook).update(
        state=WebhookMessage.PENDING, attempts=0, due=now
    )
    if not changed:
        raise NotFound(f"there is no message {number}", where="message")
    record("webhook_resent", actor=str(owner), after={"webhook": webhook.pk, "message": number})
    return WebhookMessage.objects.get(pk=number)
