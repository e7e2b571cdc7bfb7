"""The limit at the site: layer L1 of the failsafe. It keeps the network safe when everything above it is dead.

    boot ──────────────► FAILSAFE ◄────────── lease over ─────────┐
                            │                                      │
                     a fresh grant                          a fresh grant
                            └──────────────► LEASED ◄──────────────┘

Fresh: (epoch, sequence) above every one accepted before, and its time to live, counted from the site's own stamp
that it answers, not over. Everything else is refused and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from derms.errors import InputError
from derms.limits import Limit


class Verdict(Enum):
    """What the site made of an offered grant."""

    ACCEPTED = "accepted"
    OLD = "old or repeated: (epoch, sequence) does not rise"
    EXPIRED = "its time to live was over when it arrived"
    FROM_THE_FUTURE = "it answers a stamp that this site has not given yet"
    TOO_HIGH = "above the nameplate"
    REVOKED = "it answers a stamp from before the last revocation"


@dataclass(frozen=True, slots=True)
class Lease:
    """A grant in force: limit and the site's monotonic second at which it ends."""

    limit: Limit
    ends: float
    epoch: int
    sequence: int


class SiteLease:
    """Holds a site to a grant for its lease, otherwise to its failsafe limit.

    `failsafe` survives power cycles (it is the site's stored setting); the lease does not: boot is failsafe.
    `order_floor`: the highest (epoch, sequence) ever accepted, also stored, so that a replay after a power cycle
    is refused. `longest_s`: the longest lease that the agreement allows.
    """

    def __init__(
        self,
        failsafe: Limit,
        nameplate: Limit,
        *,
        longest_s: float,
        order_floor: tuple[int, int] = (-1, -1),
    ) -> None:
        if not failsafe.within(nameplate):
            raise InputError("the failsafe limit is above the nameplate", where="failsafe")
        self.failsafe = failsafe
        self.nameplate = nameplate
        self.longest_s = longest_s
        self.order_floor = order_floor
        self._lease: Lease | None = None
        self._revoked_at = float("-inf")

    def offer(self, limit: Limit, *, epoch: int, sequence: int, ttl_s: float, stamp: float, now: float) -> Verdict:
        """Take a grant if it is fresh; `stamp` and `now` are this site's monotonic seconds."""
        if (epoch, sequence) <= self.order_floor:
            return Verdict.OLD
        if stamp > now:
            return Verdict.FROM_THE_FUTURE
        if stamp <= self._revoked_at:
            return Verdict.REVOKED
        ends = stamp + min(ttl_s, self.longest_s)
        if now >= ends:
            return Verdict.EXPIRED
        if not limit.within(self.nameplate):
            return Verdict.TOO_HIGH
        self.order_floor = (epoch, sequence)
        self._lease = Lease(limit, ends, epoch, sequence)
        return Verdict.ACCEPTED

    def revoke(self, now: float) -> None:
        """End the lease at once: only ever a lowering, so it needs no order; and no grant that was made before it, for
        a reading from before it, is taken any more, however late it arrives."""
        self._lease, self._revoked_at = None, now

    def lease(self, now: float) -> Lease | None:
        """Return the lease in force at the site's monotonic second `now`, or None."""
        if self._lease is not None and now >= self._lease.ends:
            self._lease = None
        return self._lease

    def limit(self, now: float) -> Limit:
        """Return the limit to obey now: the lease's, else the failsafe."""
        lease = self.lease(now)
        return self.failsafe if lease is None else lease.limit

    def in_failsafe(self, now: float) -> bool:
        """Say whether no lease is in force."""
        return self.lease(now) is None
