"""Sending webhooks: one step at a time, each message leased to one sender, longer and longer pauses, then given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import urllib3
from django.conf import settings
from django.db.models import F
from standardwebhooks import Webhook as Signer

from derms.errors import HeadroomError, InputError
from interconnection.api import webhook_address
from interconnection.api.models import Webhook, WebhookAttempt, WebhookMessage
from interconnection.api.webhook_services import opened

PAUSES_S = (5, 30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400)
"""After each failed try; after the last one the message is given up."""
LEASE = timedelta(seconds=60)
CONNECT_S, READ_S, MOST_ANSWER = 5.0, 10.0, 4096
STOP_AFTER = 10
"""So many messages given up in a row stop a webhook."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to: HTTP status or None, in words."""

    status: int | None
    words: str

    @property
    def good(self) -> bool:
        """Say whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


Send = Callable[[Webhook, WebhookMessage, datetime], Outcome]


def signatures(webhook: Webhook, message: WebhookMessage, now: datetime) -> str:
    """Return the webhook-signature header: one for each living secret, as Standard Webhooks asks."""
    secrets = [webhook.secret]
    if webhook.old_secret and webhook.old_until is not None and now < webhook.old_until:
        secrets.append(webhook.old_secret)
    return " ".join(Signer(opened(item)).sign(message.identifier, now, message.payload) for item in secrets)


def post(webhook: Webhook, message: WebhookMessage, now: datetime) -> Outcome:
    """Post a message: to the one address that the name resolved to, no redirect, at most 4 kB of the answer read."""
    try:
        target = webhook_address.parse(webhook.url, allow_http=settings.WEBHOOK_ALLOW_HTTP)
        address = webhook_address.pick(target, settings.WEBHOOK_PRIVATE_NETWORKS)
        head = {
            "Host": target.host if target.port in (80, 443) else target.name,
            "Content-Type": "application/json",
            "User-Agent": "Headroom-Webhooks/1",
            "webhook-id": message.identifier,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signatures(webhook, message, now),
        }
        with _pool(target, address) as pool:
            answer = pool.urlopen(
                "POST", target.path, body=message.payload.encode(), headers=head, redirect=False, retries=False,
                preload_content=False, assert_same_host=False,
            )  # fmt: skip
            answer.read(MOST_ANSWER)
            answer.close()
    except InputError as error:
        return Outcome(None, f"refused: {error.what}"[:200])
    except HeadroomError as error:
        return Outcome(None, error.what[:200])
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return Outcome(None, type(error).__name__)
    return Outcome(answer.status, f"HTTP {answer.status}")


def _pool(target: webhook_address.Target, address: str) -> Any:
    timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
    if target.scheme == "http":
        return urllib3.HTTPConnectionPool(address, target.port, timeout=timeout, maxsize=1)
    return urllib3.HTTPSConnectionPool(
        address, target.port, timeout=timeout, maxsize=1, server_hostname=target.host, assert_hostname=target.host,
        ca_certs=settings.WEBHOOK_CA or None, cert_reqs="CERT_REQUIRED",
    )  # fmt: skip


def deliver_one(now: datetime, send: Send = post) -> bool:
    """Send the message that is due longest; False when none is due. Two senders never take the same one."""
    message = (
        WebhookMessage.objects.filter(state=WebhookMessage.PENDING, due__lte=now, webhook__state=Webhook.ACTIVE)
        .select_related("webhook").order_by("due", "id").first()
    )  # fmt: skip
    if message is None:
        return False
    taken = WebhookMessage.objects.filter(pk=message.pk, state=WebhookMessage.PENDING, due=message.due).update(
        due=now + LEASE, attempts=F("attempts") + 1
    )
    if not taken:
        return True
    message.attempts += 1
    started = time.monotonic()
    outcome = send(message.webhook, message, now)
    _note(message, outcome, now, time.monotonic() - started)
    return True


def _note(message: WebhookMessage, outcome: Outcome, now: datetime, seconds: float) -> None:
    WebhookAttempt.objects.create(
        message=message, at=now, status=outcome.status, outcome=outcome.words, seconds=round(seconds, 3)
    )
    row = WebhookMessage.objects.filter(pk=message.pk)
    hook = Webhook.objects.filter(pk=message.webhook_id)
    if outcome.good:
        row.update(state=WebhookMessage.DELIVERED, delivered=now, due=None)
        hook.update(failures=0)
    elif outcome.status == 410:
        row.update(state=WebhookMessage.GIVEN_UP, due=None)
        hook.update(state=Webhook.STOPPED, reason="the receiver answered 410: gone")
    elif message.attempts > len(PAUSES_S):
        row.update(state=WebhookMessage.GIVEN_UP, due=None)
        hook.update(failures=F("failures") + 1)
        hook.filter(failures__gte=STOP_AFTER).update(
            state=Webhook.STOPPED, reason=f"{STOP_AFTER} messages in a row could not be delivered"
        )
    else:
        row.update(due=now + timedelta(seconds=PAUSES_S[message.attempts - 1]))
