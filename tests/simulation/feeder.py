"""A feeder small enough to live 50 hours in seconds: a tree of ratings, with load that nobody measures but at the head.

`Plant` is the truth; `TreeSolver` is what the control room believes (an `EnvelopeSolver`): it knows the ratings and how
the load usually divides, and it shares what is left equally above the failsafe limits, as the product's own solvers do.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from derms.errors import LocalError, NotConverged
from derms.grid.envelope import Site
from derms.limits import Limit
from telemetry.control.decide import Target
from telemetry.control.grant import Reason
from telemetry.control.settings import ControlSettings
from telemetry.control.state import EnvelopeAnswer, HeadReading

HEAD = "head"
DIVISION_ERROR = 0.04
"""How far, per unit of the head's load, an element's share of it may be from the usual one."""


@dataclass(frozen=True)
class Element:
    """A transformer or line: rating in W, the sites beneath it, its usual share of the feeder's load."""

    rating_w: float
    sites: tuple[str, ...]
    share: float


NORMAL: Mapping[str, Element] = {
    "T1": Element(3.2e6, ("a", "b"), 0.45),
    "T2": Element(3.4e6, ("c", "d"), 0.55),
    HEAD: Element(5.9e6, ("a", "b", "c", "d"), 1.0),
}
BANK_OUT: Mapping[str, Element] = {**NORMAL, HEAD: Element(5.4e6, ("a", "b", "c", "d"), 1.0)}
STATES: Mapping[str, Mapping[str, Element]] = {"normal": NORMAL, "bank out": BANK_OUT}
FAILSAFE = Limit(450_000, 700_000)
FLEXIBLE = Limit(1_500_000, 2_000_000)


@dataclass
class Plant:
    """What really flows. The load follows the day, wanders, and its division wobbles."""

    chance: random.Random
    state: str = "normal"
    load_w: float = 1.2e6
    wobble: float = 0.0
    surge_w: float = 0.0
    _walk: float = 0.0
    flows: dict[str, float] = field(default_factory=dict)

    def step(self, seconds: float, now: float, powers: Mapping[str, float]) -> None:
        """Live until `now`; `powers`: W at each site's PCC, import positive."""
        self._walk += self.chance.gauss(0.0, 1200.0) * math.sqrt(seconds) - self._walk * seconds / 1800.0
        self.wobble += self.chance.gauss(0.0, 0.0008) * math.sqrt(seconds) - self.wobble * seconds / 600.0
        self.wobble = max(-0.5 * DIVISION_ERROR, min(0.5 * DIVISION_ERROR, self.wobble))
        hour = now / 3600.0 % 24.0
        daily = 1.5e6 - 0.9e6 * math.cos((hour - 6.0) / 24.0 * 2.0 * math.pi)
        self.load_w = min(2.75e6, max(0.3e6, daily + self._walk + self.surge_w))
        for name, element in self.elements().items():
            self.flows[name] = self.base_w(name) + sum(powers[site] for site in element.sites)

    def elements(self) -> Mapping[str, Element]:
        """Return the elements as they are switched now."""
        return STATES[self.state]

    def base_w(self, name: str) -> float:
        """Return the true load beneath an element without the sites."""
        if name == HEAD:
            return self.load_w
        return self.load_w * (self.elements()[name].share + (self.wobble if name == "T1" else -self.wobble))


@dataclass
class TreeSolver:
    """Shares what the elements can take; `state` is the switching state that the control room has confirmed."""

    state: str = "normal"
    broken: bool = False

    async def solve(
        self, *, hour: int, head: HeadReading, asks: Sequence[Site], settings: ControlSettings
    ) -> EnvelopeAnswer:
        """Return targets that are feasible together; raises NotConverged when the head cannot be true."""
        if self.broken:
            raise LocalError("the solver is gone", where="solver")
        if not self.state:
            raise NotConverged("the switching state is not confirmed", where="feeder")
        import_base, export_base = self._bases(head, asks)
        fractions = {side: self._fraction(asks, side, base, settings) for side, base in
                     (("import", import_base), ("export", export_base))}  # fmt: skip
        targets = {}
        for ask in asks:
            if not ask.controllable:
                continue
            limit = Limit.of(*(self._one(ask, asks, side, base, fractions[side][0], settings)
                               for side, base in (("import", import_base), ("export", export_base))))  # fmt: skip
            share, element = min(fractions["import"], fractions["export"])
            targets[ask.name] = Target(limit, Reason("thermal", element, share, ""))
        loading = abs(head.power_w) / STATES[self.state][HEAD].rating_w
        return EnvelopeAnswer(targets, 1.0, "head", loading * 100.0, HEAD, 1.0, 1.0, 2, False)

    def _bases(self, head: HeadReading, asks: Sequence[Site]) -> tuple[float, float]:
        """Return the load at its highest and at its lowest, given what silent sites may be doing."""
        known = sum(ask.p_w for ask in asks if ask.p_w is not None)
        silent = [ask for ask in asks if ask.p_w is None]
        highest = head.power_w - known + sum(ask.reserved.export_w for ask in silent)
        lowest = head.power_w - known - sum(ask.reserved.import_w for ask in silent)
        rating = STATES[self.state][HEAD].rating_w
        if highest < -0.1 * rating or lowest > rating:
            raise NotConverged("no load explains the head's measurement", where="head")
        return min(highest, rating), max(lowest, 0.0)

    def _room(self, name: str, side: str, base_w: float, settings: ControlSettings) -> float:
        element = STATES[self.state][name]
        error = 0.0 if name == HEAD else DIVISION_ERROR * base_w
        usable = element.rating_w * (1.0 - settings.thermal_margin)
        return usable - (element.share * base_w + error) if side == "import" else usable + element.share * base_w - error

    def _fraction(self, asks: Sequence[Site], side: str, base_w: float, settings: ControlSettings) -> tuple[float, str]:
        worst = (1.0, "agreement")
        for name, element in STATES[self.state].items():
            inside = [ask for ask in asks if ask.name in element.sites]
            fixed = sum(_w(ask.reserved, side) for ask in inside if not ask.controllable)
            floor = sum(_w(ask.failsafe, side) for ask in inside if ask.controllable)
            reach = sum(_w(ask.flexible, side) - _w(ask.failsafe, side) for ask in inside if ask.controllable)
            if reach > 0:
                worst = min(worst, ((self._room(name, side, base_w, settings) - fixed - floor) / reach, name))
        return max(0.0, worst[0]), worst[1]

    def _one(
        self, ask: Site, asks: Sequence[Site], side: str, base_w: float, fraction: float, settings: ControlSettings
    ) -> float:
        """Return one side's limit; a raise waits while another site may still be using what it gives up."""
        low, high = _w(ask.failsafe, side), _w(ask.flexible, side)
        limit = low + fraction * (high - low)
        for name, element in STATES[self.state].items():
            if ask.name not in element.sites:
                continue
            others = 0.0
            for other in asks:
                if other.name == ask.name or other.name not in element.sites:
                    continue
                floor, most = _w(other.failsafe, side), _w(other.flexible, side)
                share = floor + fraction * (most - floor) if other.controllable else 0.0
                others += max(share, _w(other.reserved, side))
            left = self._room(name, side, base_w, settings) - others
            if limit > left:
                limit = min(limit, max(low, left, min(limit, _w(ask.in_force, side))))
        return limit


def _w(limit: Limit, side: str) -> float:
    return float(limit.import_w if side == "import" else limit.export_w)
