"""Reading and Grant: what a site told us, and what we lend it.

A grant is a lease. It can only raise a site above its failsafe limit, and only until its time to live is over,
counted at the site **from the moment of the reading that it answers** (the `stamp`), on the site's own monotonic
clock: a late, repeated or replayed grant is then short or dead, never long.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from derms.errors import InputError
from derms.limits import Limit
from derms.units import finite


class Quality(Enum):
    """Whether a value may be used: only GOOD ever supports a raise."""

    GOOD = "good"
    SUSPECT = "suspect"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Need:
    """Energy that a site asked for: Wh (import positive), at up to `power_w` (a magnitude), within [start, end].

    `start`, `end`: the control room's monotonic seconds. `name`: tells a site's requests apart. It is a wish, never a
    permission.
    """

    energy_wh: float
    power_w: float
    start: float
    end: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One site's measurements as they came off a wire, in watts, import positive.

    `received`: the control room's monotonic seconds when the answer arrived.
    `stamp`: the site's own monotonic clock when it answered, seconds; None where the device has none.
    `limit_in_force`: what the device says it obeys now; None where it cannot say.
    `available_import_w`, `available_export_w`: what the site could do now, magnitudes. `needs`: the energy it asked for.
    """

    site: str
    received: float
    power_w: float
    reactive_var: float = 0.0
    voltage_pu: float | None = None
    limit_in_force: Limit | None = None
    in_failsafe: bool | None = None
    state_of_charge_percent: float | None = None
    energy_wh: float | None = None
    available_import_w: float | None = None
    available_export_w: float | None = None
    needs: tuple[Need, ...] = ()
    stamp: float | None = None
    epoch: int | None = None
    sequence: int | None = None
    quality: Quality = Quality.GOOD


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a limit is what it is: criterion, element, this site's share, the snapshot that it rests on."""

    criterion: str
    element: str
    share: float
    snapshot: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A limit lent to a site for `ttl_s` seconds. (epoch, sequence) only rises."""

    site: str
    limit: Limit
    epoch: int
    sequence: int
    issued: float
    ttl_s: float
    stamp: float | None
    reason: Reason

    def __post_init__(self) -> None:
        if finite(self.ttl_s, where="ttl_s") <= 0:
            raise InputError("a grant without an end is not a grant", where="ttl_s")

    @property
    def order(self) -> tuple[int, int]:
        """Return what must only rise."""
        return self.epoch, self.sequence


class Outcome(Enum):
    """What became of a grant on the wire."""

    ACKNOWLEDGED = "acknowledged"
    """The device was read back and obeys it."""
    REFUSED = "refused"
    """The device said no; it obeys what it obeyed before."""
    UNKNOWN = "unknown"
    """No answer: it may or may not obey; both must be safe."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The result of publishing one grant; `in_force` is what the device said on read-back."""

    grant: Grant
    outcome: Outcome
    in_force: Limit | None
    detail: str = ""
