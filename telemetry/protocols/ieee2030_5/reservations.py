"""What may be promised to a FlowReservationRequest: power that the agreement always gives, once only. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Ask:
    """Energy asked for: Wh (import positive, to discharge negative) at up to `power_w` (a magnitude) in [start, end)."""

    energy_wh: float
    power_w: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What is promised: power (W, a magnitude) and energy (Wh, signed as asked) from `start` for `duration` seconds."""

    power_w: int
    energy_wh: int
    start: int
    duration: int

    @property
    def end(self) -> int:
        """Return the first second after it."""
        return self.start + self.duration


def offer(ask: Ask, firm_w: int, taken: Iterable[Offer], now: int) -> Offer:
    """Return the offer with the most energy, the earliest of them: within the window, the ask, and what is left of firm.

    `firm_w`: what the agreement always gives in the ask's direction. `taken`: what is promised that way already.
    Nothing left: an offer of 0 W over the window. More may come as a DERControl; a promise is what always holds.
    """
    held = [item for item in taken if item.power_w > 0 and item.duration > 0]
    first = max(ask.start, now)
    nothing = Offer(0, 0, min(first, ask.end), max(0, ask.end - first))
    best = nothing
    for start in sorted({first, *(item.end for item in held if first < item.end < ask.end)}):
        found = _at(ask, start, firm_w, held)
        if abs(found.energy_wh) > abs(best.energy_wh):
            best = found
    return best


def _at(ask: Ask, start: int, firm_w: int, held: Sequence[Offer]) -> Offer:
    """Return what fits from `start` on: a lower power lasts longer, and may meet more of what is taken."""
    power, wanted = int(min(ask.power_w, firm_w)), abs(ask.energy_wh)
    for _ in range(len(held) + 1):
        if power <= 0 or start >= ask.end:
            return Offer(0, 0, start, 0)
        duration = min(ask.end - start, ceil(wanted * 3600 / power))
        left = int(min(ask.power_w, firm_w - busiest(held, start, start + duration)))
        if left >= power:
            break
        power = left
    else:
        return Offer(0, 0, start, 0)
    energy = int(min(wanted, power * duration / 3600))
    return Offer(power, energy if ask.energy_wh >= 0 else -energy, start, duration)


def busiest(held: Iterable[Offer], start: int, end: int) -> int:
    """Return the largest power that is promised at one moment of [start, end), W."""
    rows = [item for item in held if item.start < end and start < item.end]
    moments = {start, *(item.start for item in rows if item.start > start)}
    return max((sum(i.power_w for i in rows if i.start <= moment < i.end) for moment in moments), default=0)
