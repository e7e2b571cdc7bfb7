"""Limit and Envelope: the one object that planning promises and the control room keeps.

A `Limit` is the largest import and export magnitude at a site's point of common coupling, in whole watts.
An `Envelope` is limits over time with an end; outside its time the failsafe holds. There is no "unlimited".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from derms.errors import InputError
from derms.units import finite, watts


@dataclass(frozen=True, slots=True)
class Limit:
    """Largest import and export at the PCC, whole watts ≥ 0."""

    import_w: int
    export_w: int

    def __post_init__(self) -> None:
        for name in ("import_w", "export_w"):
            value = getattr(self, name)
            if not isinstance(value, int) or watts(value, where=name) != value:
                raise InputError(f"{value!r} is not whole watts", where=name, remedy="Use Limit.of().")

    @classmethod
    def of(cls, import_w: object, export_w: object) -> Limit:
        """Build from any finite non-negative numbers of watts, rounded down."""
        return cls(watts(import_w, where="import_w"), watts(export_w, where="export_w"))

    def meet(self, other: Limit) -> Limit:
        """Return the largest limit that obeys both."""
        return Limit(min(self.import_w, other.import_w), min(self.export_w, other.export_w))

    def cover(self, other: Limit) -> Limit:
        """Return the smallest limit that both stay within: what a silent site may be doing."""
        return Limit(max(self.import_w, other.import_w), max(self.export_w, other.export_w))

    def within(self, other: Limit) -> bool:
        """Say whether whoever obeys this limit also obeys `other`."""
        return self.import_w <= other.import_w and self.export_w <= other.export_w

    def allows(self, power_w: float, tolerance_w: float = 0.0) -> bool:
        """Say whether a PCC power (W, import positive) is inside the limit."""
        return -self.export_w - tolerance_w <= power_w <= self.import_w + tolerance_w

    def excess_w(self, power_w: float) -> float:
        """Return how far a PCC power (W, import positive) is outside the limit; 0 inside."""
        return max(0.0, power_w - self.import_w, -power_w - self.export_w)

    def clamp(self, power_w: float) -> float:
        """Return the PCC power nearest to `power_w` (W, import positive) that the limit allows."""
        return min(float(self.import_w), max(-float(self.export_w), power_w))

    def scaled(self, factor: float) -> Limit:
        """Return the limit times a factor in 0..1, rounded down."""
        number = finite(factor, where="factor")
        if not 0.0 <= number <= 1.0:
            raise InputError(f"factor {number:g} is outside 0..1", where="factor")
        return Limit.of(self.import_w * number, self.export_w * number)


NOTHING = Limit(0, 0)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Limits from `start` (UTC), one per `step`; before the start and after the end the failsafe holds."""

    start: datetime
    step: timedelta
    limits: tuple[Limit, ...]
    failsafe: Limit

    def __post_init__(self) -> None:
        if self.start.utcoffset() != timedelta(0):
            raise InputError("the start must be in UTC", where="start", remedy="Convert at the edge of the program.")
        if self.step <= timedelta(0):
            raise InputError("the step must be positive", where="step")

    @classmethod
    def of(cls, start: datetime, step: timedelta, limits: Iterable[Limit], failsafe: Limit) -> Envelope:
        """Build from any iterable of limits."""
        return cls(start, step, tuple(limits), failsafe)

    @property
    def end(self) -> datetime:
        """First moment that the envelope no longer speaks for."""
        return self.start + self.step * len(self.limits)

    def at(self, moment: datetime) -> Limit:
        """Return the limit in force at `moment` (aware datetime)."""
        if not self.start <= moment < self.end:
            return self.failsafe
        return self.limits[(moment - self.start) // self.step]

    def firm(self) -> Limit:
        """Return what is always there: the least over all steps and the failsafe."""
        least = self.failsafe
        for limit in self.limits:
            least = least.meet(limit)
        return least
