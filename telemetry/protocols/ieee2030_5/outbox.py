"""Notifications: written with the change they tell of, sent in order, tried again for a day.

What goes to one host goes one after the other, in the order of writing: a lane. Where nobody is there the lane waits, and
no other; what the far end answers with an error waits alone, and with it the later ones of its subscription.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

from django.db import transaction
from django.db.models import Min

from telemetry.protocols.ieee2030_5 import xml
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.utility_models import WireNotification, WireSubscription

TIMEOUT_S = 10.0
LONGEST_WAIT_S = 60
GIVE_UP_S = 24 * 3600
AT_ONCE = 20
"""Lanes that are sent at the same time: so many hosts may be slow before others wait for them."""
IN_A_LANE = 200
MOST_READ = 65_536
CLAIM_S = 30
STATUS_OF = {200: 0, 404: 4}
"""What the owner would be answered → Notification.status: as it is, or deleted (2030.5 NotificationStatus)."""
Lane = list[WireNotification]


def enqueue(touched: Iterable[str], now: int) -> int:
    """Write a notification for every subscription to one of the resources; return how many."""
    rows = WireSubscription.objects.filter(resource__in=set(touched)).select_related("owner__aggregator")
    return sum(tell(row, now) is not None for row in rows)


def tell(row: WireSubscription, now: int) -> WireNotification | None:
    """Write a notification of a subscription's resource as it is now, or that it is deleted.

    None when its owner may not come in any more.
    """
    profile = next(item for item in xml.PROFILES if item.name == row.profile)
    look = Request(
        "GET", profile.prefix + row.resource, row.owner.lfdi, datetime.fromtimestamp(now, UTC), f"s=0&l={row.limit}"
    )
    answer = handle(look)
    if answer.status not in STATUS_OF:
        return None
    status, place = STATUS_OF[answer.status], f"/edev/{row.owner_id}/sub/{row.pk}"
    value = {"subscribedResource": row.resource, "status": status, "subscriptionURI": place}
    body = xml.notification(value, "" if status else answer.body, profile)
    return WireNotification.objects.create(subscription=row, body=body, created=now, due=now)


def due(now: int, most: int = AT_ONCE) -> list[Lane]:
    """Claim and return what may be sent now, at most `most` lanes: of each subscription the oldest that waits.

    A conditional UPDATE claims it for longer than sending may take: of two senders one wins, and if it dies the
    notification is due again. A lane that is being sent, or where nobody was there a moment ago, is left alone.
    """
    oldest = WireNotification.objects.filter(done=False).order_by().values("subscription").annotate(first=Min("pk"))
    heads = WireNotification.objects.filter(pk__in=oldest.values("first")).select_related("subscription").order_by("pk")
    lanes: dict[str, Lane] = {}
    for row in heads:
        lanes.setdefault(urlsplit(row.subscription.uri).netloc, []).append(row)
    free = [lane for lane in lanes.values() if not any(row.due > now and not answered(row.outcome) for row in lane)]
    ready = [found for lane in free if (found := [row for row in lane if row.due <= now][:IN_A_LANE])]
    ready.sort(key=lambda lane: min(row.attempts for row in lane))  # who answers goes before who has not for long
    claimed = [[row for row in lane if _claim(row, now)] for lane in ready[:most]]
    return [lane for lane in claimed if lane]


def _claim(row: WireNotification, now: int) -> bool:
    free = WireNotification.objects.filter(pk=row.pk, due=row.due, done=False)
    return bool(free.update(due=now + CLAIM_S))


def answered(outcome: str) -> bool:
    """Say whether an outcome is an answer of the far end: its status, not the name of a failure to reach it."""
    return outcome[:1].isdigit()


def deliver(now: int) -> None:
    """Send what is due, one after the other, until nothing more is."""
    while lanes := due(now):
        for lane in lanes:
            deliver_lane(lane, now)


def deliver_lane(lane: Lane, now: int) -> None:
    """Send a lane in order, as far as it goes."""
    begun = time.monotonic()
    with closing(Line()) as line:
        for number, row in enumerate(lane):
            if not settle_in(lane, number, send(row, line), begun, now):
                return


def settle_in(lane: Lane, number: int, outcome: str, begun: float, now: int) -> bool:
    """Note the outcome of one of a lane; False, and the rest is left for later, where the lane may not go on.

    That is where nobody is there, or where the claim has half run out since `begun` (monotonic seconds).
    """
    row = lane[number]
    settle(row, outcome, now)
    if answered(outcome) and time.monotonic() - begun < CLAIM_S / 2:
        return True
    rest = WireNotification.objects.filter(pk__in=[item.pk for item in lane[number + 1 :]], done=False)
    rest.update(due=now if answered(outcome) else row.due)
    return False


class Line:
    """A kept connection to the far end of a lane: over a long way a handshake costs more than the message."""

    def __init__(self) -> None:
        self._key = ("", "")
        self._link: http.client.HTTPConnection | None = None

    def post(self, uri: str, body: bytes) -> str:
        """Return the status; raises OSError, ValueError or HTTPException where there is none."""
        place = urlsplit(uri)
        if (place.scheme, place.netloc) != self._key:
            self.close()
        used = self._link is not None
        try:
            return self._post(place, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if not used:
                raise
            return self._post(place, body)  # the far end had ended a connection that was kept too long

    def _post(self, place: SplitResult, body: bytes) -> str:
        path = (place.path or "/") + (f"?{place.query}" if place.query else "")
        try:
            if self._link is None:
                self._link, self._key = _open(place), (place.scheme, place.netloc)
            self._link.request("POST", path, body, {"Content-Type": xml.MEDIA_TYPE})
            answer = self._link.getresponse()
            answer.read(MOST_READ)
        except (OSError, ValueError, http.client.HTTPException):
            self.close()
            raise
        if not answer.isclosed():  # it says more than anybody needs
            self.close()
        return str(answer.status)

    def close(self) -> None:
        """Let the connection go."""
        if self._link is not None:
            self._link.close()
        self._link = None


def _open(place: SplitResult) -> http.client.HTTPConnection:
    if place.scheme == "https":
        verified = ssl.create_default_context()
        return http.client.HTTPSConnection(place.hostname or "", place.port, timeout=TIMEOUT_S, context=verified)
    return http.client.HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_S)


def send(row: WireNotification, line: Line) -> str:
    """POST one notification; return its outcome. A TLS certificate that does not verify is a failure, always."""
    try:
        return line.post(row.subscription.uri, row.body.encode())
    except (OSError, ValueError, http.client.HTTPException) as error:
        return type(error).__name__


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
