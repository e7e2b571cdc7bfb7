"""Leadership by a lease row: conditional updates on the database's own clock, and an epoch that never falls.

Not an advisory lock: that never frees from a leader that hangs. Not the machines' clocks: two of them differ. The
holder believes its lease for as long as it ran when it asked, on its own monotonic clock, so it stops before anybody
else can start; and whatever it still writes afterwards carries an epoch that changes nothing any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest, Now

from telemetry.models import LeaderLease

LEASE_S = 5.0
MOST_IDLE_MS = 3000
_LEASE = timedelta(seconds=LEASE_S)
# A lease that ends later than one can: the database's clock jumped back. Waiting for it would leave nobody in charge.
_IMPOSSIBLE = timedelta(seconds=LEASE_S + 2.0)


def bound_transactions() -> None:
    """Let PostgreSQL end a transaction of this process that waits for longer than 3 s: call it once, before any query.

    A leader that is stopped inside a transaction holds its locks, and the lease row may be one of them: without this
    nobody could take over from it. SQLite has no such remedy; there a stopped writer stops the machine's other writers.
    """
    connection_created.connect(_bound, dispatch_uid="bound_transactions")


def _bound(connection: Any, **_: Any) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {MOST_IDLE_MS}")
            cursor.execute(f"SET lock_timeout = {MOST_IDLE_MS}")
            cursor.execute(f"SET statement_timeout = {settings.DATABASE_STATEMENT_MS}")


def take_lead(feeder: str, holder: str, *, floor: int = 0) -> int | None:
    """Return the epoch under which `holder` leads from now on, or None while another's lease runs.

    A conditional UPDATE decides: of two engines one wins, and each leadership has a higher epoch than any before it,
    and than `floor`: the highest that a site reports, after an old backup was restored.
    """
    free = Q(expires__lte=Now()) | Q(expires__gt=Now() + _IMPOSSIBLE)
    row = LeaderLease.objects.filter(feeder=feeder)
    if not row.exists():
        LeaderLease.objects.get_or_create(feeder=feeder, defaults={"expires": Now(), "holder": "", "epoch": 0})
    elif not row.filter(free).exists():  # reading alone: a standby must not queue for SQLite's one writer's lock
        return None
    with transaction.atomic():
        won = LeaderLease.objects.filter(Q(feeder=feeder) & free).update(
            holder=holder, epoch=Greatest(F("epoch"), Value(floor)) + 1, expires=Now() + _LEASE
        )
        if not won:
            return None
        return LeaderLease.objects.get(feeder=feeder).epoch


def keep_lead(feeder: str, holder: str, epoch: int) -> bool:
    """Renew the lease; False when it was lost, even if nobody took it: then a new epoch is needed."""
    rows = LeaderLease.objects.filter(feeder=feeder, holder=holder, epoch=epoch, expires__gt=Now())
    return bool(rows.update(expires=Now() + _LEASE))


def release_lead(feeder: str, holder: str, epoch: int) -> None:
    """End the lease that `holder` still has: a planned stop hands over without a gap. Another's lease stays."""
    LeaderLease.objects.filter(feeder=feeder, holder=holder, epoch=epoch).update(expires=Now())


def outrank(feeder: str, holder: str, epoch: int, above: int) -> int | None:
    """Go on leading under an epoch above `above`, which a site reports; None when the lead was lost."""
    with transaction.atomic():
        rows = LeaderLease.objects.filter(feeder=feeder, holder=holder, epoch=epoch, expires__gt=Now())
        if not rows.update(epoch=max(epoch, above) + 1, expires=Now() + _LEASE):
            return None
    return max(epoch, above) + 1


def raise_epoch(feeder: str) -> None:
    """Let the next leadership have a higher epoch than anything sent so far: the present leader must take the lead anew.

    For a site that was tested under the present epoch with sequences of the test's own.
    """
    LeaderLease.objects.filter(feeder=feeder).update(epoch=F("epoch") + 1)


def leads(feeder: str, epoch: int) -> bool:
    """Say whether `epoch` is the newest, and hold it so until the end of the transaction."""
    return LeaderLease.objects.select_for_update().filter(feeder=feeder, epoch=epoch).exists()


def database_ahead_s(wall: datetime) -> float | None:
    """Return by how many seconds the database's clock is ahead of `wall`; None on SQLite, which has no clock of its own."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return (found - wall).total_seconds()
