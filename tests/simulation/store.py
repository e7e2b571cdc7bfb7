"""The database as the control room uses it: a lease row changed by conditional updates, an audit log, the head's row.

It can be out, slow, full, or an old backup. Its clock is its own.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from telemetry.control.grant import Grant
from telemetry.control.orders import Order

LEASE_S = 5.0


class StoreDown(Exception):
    """The database does not answer."""


@dataclass(frozen=True)
class LeaseRow:
    """Who leads, under which epoch, until which second of the database's clock."""

    holder: str = ""
    epoch: int = 0
    expires: float = -math.inf


@dataclass(frozen=True)
class HeadRow:
    """The newest head measurement as SCADA wrote it: true second of measuring, W."""

    at: float
    power_w: float


@dataclass
class Store:
    """One database. Faults: `out`, `full` (reads work, writes fail), `slow_s`, `locked` (the ladders' table alone)."""

    chance: random.Random
    out: bool = False
    full: bool = False
    locked: bool = False
    slow_s: float = 0.0
    lease: LeaseRow = field(default_factory=LeaseRow)
    head: HeadRow | None = None
    audited: dict[tuple[str, int, int], float] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    backup: tuple[LeaseRow, dict[str, tuple[float, dict[str, Any]]], frozenset[int]] = (LeaseRow(), {}, frozenset())
    ladders: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    async def take_lead(self, holder: str, foreign: int) -> int | None:
        """Lead if nobody does, under the next epoch, and above one that a site reports."""
        now = await self._answer(write=True)
        if self.lease.expires > now:
            return None
        self.lease = LeaseRow(holder, max(self.lease.epoch, foreign) + 1, now + LEASE_S)
        return self.lease.epoch

    async def keep_lead(self, holder: str, epoch: int) -> bool:
        """Renew a lease that still runs."""
        now = await self._answer(write=True)
        if (self.lease.holder, self.lease.epoch) != (holder, epoch) or self.lease.expires <= now:
            return False
        self.lease = replace(self.lease, expires=now + LEASE_S)
        return True

    async def outrank(self, holder: str, epoch: int, foreign: int) -> int | None:
        """Lead on under an epoch above one that a site reports: the row is older than what was lent."""
        if not await self.keep_lead(holder, epoch):
            return None
        self.lease = replace(self.lease, epoch=max(self.lease.epoch, foreign) + 1)
        return self.lease.epoch

    async def audit(self, grants: Sequence[Grant]) -> bool:
        """Write grants if their epoch still leads."""
        now = await self._answer(write=True)
        if any(grant.epoch != self.lease.epoch for grant in grants):
            return False
        self.audited |= {(grant.site, grant.epoch, grant.sequence): now for grant in grants}
        return True

    async def keep_ladders(self, epoch: int, ladders: Mapping[str, dict[str, Any]]) -> None:
        """Store where sites stand, if their epoch still leads."""
        now = await self._answer(write=True)
        if self.locked:
            raise StoreDown
        if epoch == self.lease.epoch:
            self.ladders |= {name: (now, state) for name, state in ladders.items()}

    async def read_ladders(self) -> tuple[float, dict[str, tuple[float, dict[str, Any]]]]:
        """Return the database's time, and where each site stood when."""
        now = await self._answer(write=False)
        return now, dict(self.ladders)

    async def read_head(self) -> HeadRow | None:
        """Return the newest head measurement."""
        await self._answer(write=False)
        return self.head

    async def read_orders(self) -> tuple[Order, ...]:
        """Return the operators' orders in force."""
        await self._answer(write=False)
        return tuple(self.orders.values())

    def restore_backup(self) -> None:
        """Bring back lease, ladders and orders as they were at the last backup; nobody leads.

        Orders that ended since do not come back (each has its end), and those given since are lost. The audit log's rows
        stay: they are the checker's evidence. The head's row stays: it is written anew each second.
        """
        lease, ladders, known = self.backup
        self.lease, self.ladders = replace(lease, holder="", expires=-math.inf), dict(ladders)
        self.orders = {number: order for number, order in self.orders.items() if number in known}

    def back_up(self) -> None:
        """Take a backup."""
        self.backup = (self.lease, dict(self.ladders), frozenset(self.orders))

    async def _answer(self, *, write: bool) -> float:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.002 + self.chance.random() * self.slow_s)
        if self.out or (write and self.full):
            raise StoreDown
        return loop.time()
