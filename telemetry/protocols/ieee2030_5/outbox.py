"""Notifications: written with the change they tell of, sent in order for each subscription, tried again for a day."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from django.db import transaction

from telemetry.protocols.ieee2030_5 import xml
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.utility_models import WireNotification, WireSubscription

TIMEOUT_S = 10.0
LONGEST_WAIT_S = 60
GIVE_UP_S = 24 * 3600
AT_ONCE = 20
MOST_LOOKED_AT = 2000
CLAIM_S = 30


def enqueue(touched: Iterable[str], now: int) -> int:
    """Write a notification for every subscription to one of the resources; return how many."""
    rows = WireSubscription.objects.filter(resource__in=set(touched)).select_related("owner__aggregator")
    return sum(tell(row, now) is not None for row in rows)


def tell(row: WireSubscription, now: int) -> WireNotification | None:
    """Write a notification of a subscription's resource as it is now; None when its owner may not see it any more."""
    profile = next(item for item in xml.PROFILES if item.name == row.profile)
    look = Request(
        "GET", profile.prefix + row.resource, row.owner.lfdi, datetime.fromtimestamp(now, UTC), f"s=0&l={row.limit}"
    )
    answer = handle(look)
    if answer.status != 200:
        return None
    value = {"subscribedResource": row.resource, "status": 0, "subscriptionURI": f"/edev/{row.owner_id}/sub/{row.pk}"}
    body = xml.notification(value, answer.body, profile)
    return WireNotification.objects.create(subscription=row, body=body, created=now, due=now)


def due(now: int) -> list[WireNotification]:
    """Claim and return the oldest waiting notification of each subscription whose time has come.

    A conditional UPDATE claims it for longer than sending may take: of two senders one wins, and if it dies the
    notification is due again.
    """
    first: dict[int, WireNotification] = {}
    for row in WireNotification.objects.filter(done=False).select_related("subscription").order_by("id")[:MOST_LOOKED_AT]:
        first.setdefault(row.subscription_id, row)
    ready = [row for row in first.values() if row.due <= now][:AT_ONCE]
    return [
        row
        for row in ready
        if WireNotification.objects.filter(pk=row.pk, due=row.due, done=False).update(due=now + CLAIM_S)
    ]


def deliver(now: int) -> None:
    """Send what is due, one after the other, until nothing more is."""
    while rows := due(now):
        for row in rows:
            settle(row, send(row), now)


def send(row: WireNotification) -> str:
    """POST one notification; return its outcome. A TLS certificate that does not verify is a failure, always."""
    place = urlsplit(row.subscription.uri)
    host, path = place.hostname or "", (place.path or "/") + (f"?{place.query}" if place.query else "")
    link: http.client.HTTPConnection
    if place.scheme == "https":
        link = http.client.HTTPSConnection(host, place.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    else:
        link = http.client.HTTPConnection(host, place.port, timeout=TIMEOUT_S)
    try:
        link.request("POST", path, row.body.encode(), {"Content-Type": xml.MEDIA_TYPE})
        return str(link.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        link.close()


def settle(row: WireNotification, outcome: str, now: int) -> None:
    """Note an outcome: done on 2xx, else again later, given up after a day."""
    with transaction.atomic():
        row.attempts += 1
        row.outcome = outcome[:64]
        row.done = outcome.startswith("2") or now - row.created > GIVE_UP_S
        row.due = now + min(LONGEST_WAIT_S, 2 ** min(row.attempts, 6))
        # The subscription may have ended meanwhile, and its queue with it: an update, not a save.
        WireNotification.objects.filter(pk=row.pk).update(
            attempts=row.attempts, outcome=row.outcome, done=row.done, due=row.due, finished=now if row.done else None
        )
