"""Leadership, orders and memory of one control process, on the database."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace

from asgiref.sync import sync_to_async
from django.db import Error, close_old_connections
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from derms.clock import Clock
from telemetry import lead_services, order_queries
from telemetry.certificate_services import NORMAL, switching_state
from telemetry.control.clock_check import ClockCheck
from telemetry.control.compliance import Ladder
from telemetry.control.orders import Orders
from telemetry.cycle_models import LadderRow

LOG = logging.getLogger(__name__)
READ_S = 2.0
RENEW_S = 5.0


class DatabaseLeadership:
    """Leads by a lease row; what it says is as old as its last renewal, which must be younger than the lease.

    `foreign`: the highest epoch that a site reports and that nobody here lent. `clocks` learns the database's time.
    """

    def __init__(self, feeder: str, clock: Clock, *, foreign: Callable[[], int] = lambda: 0) -> None:
        self._feeder, self._clock, self._foreign = feeder, clock, foreign
        self._holder = f"{socket.gethostname()}-{os.getpid()}"[:64]
        self._epoch: int | None = None
        self._highest = 0
        self._until = 0.0
        self._over = False
        self.clocks = ClockCheck()

    def epoch(self) -> int | None:
        """Return the epoch while the lease certainly runs."""
        return self._epoch if self._clock.monotonic() < self._until else None

    def offset_s(self) -> float:
        """Return how far this machine's wall clock is off, as far as is known."""
        return self.clocks.take(self._clock.now(), self._clock.monotonic())

    def renew(self) -> None:
        """Renew the lease, or take it when it is free; raises DatabaseError, and then the lease runs out."""
        asked = self._clock.monotonic()
        if self._epoch is not None:
            above = self._foreign()
            if above >= self._epoch:
                LOG.warning("a site holds a grant of epoch %d: taking the lead above it", above)
                self._epoch = lead_services.outrank(self._feeder, self._holder, self._epoch, above)
            elif not lead_services.keep_lead(self._feeder, self._holder, self._epoch):
                self._epoch = None
        if self._epoch is None:
            # Never again under an epoch that this process led before: a restored backup would repeat it unnoticed.
            self._epoch = lead_services.take_lead(self._feeder, self._holder, floor=max(self._foreign(), self._highest))
        self._highest = max(self._highest, self._epoch or 0)
        self._until = asked + lead_services.LEASE_S if self._epoch is not None else 0.0
        wall = self._clock.now()
        ahead = lead_services.database_ahead_s(wall)
        self.clocks.take(wall, self._clock.monotonic(), database_ahead_s=ahead)

    def release(self) -> None:
        """Stop leading and let the standby begin at once; a database that fails lets the lease run out instead."""
        epoch, self._epoch, self._until = self._epoch, None, 0.0
        if epoch is None:
            return
        try:
            lead_services.release_lead(self._feeder, self._holder, epoch)
        except Error:
            LOG.exception("the lead of %s could not be handed over: its lease runs out", self._feeder)

    async def keep(self, stop: asyncio.Event) -> None:
        """Renew four times a lease until told to stop or cancelled; a database that fails or is silent is asked again."""
        renewal: asyncio.Future[None] | None = None
        try:
            while not stop.is_set():
                try:
                    if renewal is None or renewal.done():  # one that hangs in its thread is not joined by a second
                        renewal = asyncio.ensure_future(sync_to_async(self._renew_once, thread_sensitive=False)())
                    await asyncio.wait_for(asyncio.shield(renewal), RENEW_S)
                except (Error, TimeoutError):
                    LOG.exception("the lead of %s could not be renewed", self._feeder)
                await asyncio.sleep(lead_services.LEASE_S / 4)
        finally:
            self._over = True
            if renewal is not None:  # what it takes after the release would be a lead of nobody
                await asyncio.wait([renewal], timeout=RENEW_S)

    def _renew_once(self) -> None:
        close_old_connections()
        if not self._over:
            self.renew()


class DatabaseOrders:
    """Mode, orders and switching state from the database; None when it does not answer in time."""

    def __init__(self, feeder: str, clock: Clock, *, compiled_state: str = NORMAL) -> None:
        self._feeder, self._clock, self._state = feeder, clock, compiled_state
        self._version: tuple[int, ...] = ()

    async def read(self) -> Orders | None:
        """Return what is ordered now."""
        try:
            return await asyncio.wait_for(sync_to_async(self._read, thread_sensitive=False)(), READ_S)
        except (Error, TimeoutError):
            LOG.exception("the orders of %s could not be read", self._feeder)
            return None

    async def changed(self) -> bool:
        """Say whether anything was ordered since the last call."""
        try:
            found = await asyncio.wait_for(sync_to_async(self._look, thread_sensitive=False)(), READ_S)
        except (Error, TimeoutError):
            return False
        before, self._version = self._version, found
        return bool(before) and before != found

    def _look(self) -> tuple[int, ...]:
        close_old_connections()
        row = switching_state(self._feeder)
        return (*order_queries.version(self._feeder), row.pk if row is not None else 0)

    def _read(self) -> Orders:
        close_old_connections()
        found = order_queries.snapshot(self._feeder, self._clock.now())
        row = switching_state(self._feeder)
        if row is None:
            return found
        if not row.confirmed:
            return replace(found, topology=f"the switching state is not known: {row.reason}")
        if row.name != self._state:
            return replace(found, topology=f"switching to {row.name}: its model is not loaded yet")
        return found


class DatabaseMemory:
    """The ladders that earlier leaders kept."""

    def __init__(self, feeder: str) -> None:
        self._feeder = feeder

    async def recall(self, now: float) -> Mapping[str, Ladder] | None:
        """Return them, aged by the database's clock (one that ran back ages nothing); None: no answer in time."""
        try:
            return await asyncio.wait_for(sync_to_async(self._recall, thread_sensitive=False)(now), READ_S)
        except (Error, TimeoutError):
            LOG.exception("the ladders of %s could not be read: nothing is sent before they are known", self._feeder)
            return None

    def _recall(self, now: float) -> dict[str, Ladder]:
        close_old_connections()
        age = ExpressionWrapper(Now() - F("at"), output_field=DurationField())
        rows = LadderRow.objects.filter(feeder=self._feeder).annotate(age=age)
        return {row.site: Ladder.from_dict(row.state, now, max(0.0, row.age.total_seconds())) for row in rows}
