"""The control room's envelope on arrays: estimate, share by rule on exact AC points, try each constraint's worst corner.

The estimate is `live_estimate`'s.

OpenDSS settles the controls and has the last word: a few worst corners are solved there once more, without margins, and
a limit that does not hold there is taken towards the failsafe. Where the arrays do not know a device of this feeder,
`envelope.envelope` answers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.errors import NotConverged
from derms.grid import envelope as exact
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.devices import devices
from derms.grid.envelope import EnvelopeResult, Granted, Site
from derms.grid.fast import HourState
from derms.grid.hosting import Watch, watch
from derms.grid.live_estimate import LiveState, NotHere
from derms.grid.live_request import LiveRequest
from derms.grid.network import FloatArray, Network
from derms.grid.opendss import Circuit, Snapshot
from derms.grid.sharing import Shared, Sharing
from derms.grid.sharing_corners import INSIDE
from derms.grid.sharing_rules import Demand
from derms.grid.sharing_sites import Sites
from derms.limits import Limit

NEAR = 0.02
MOST_EXACT_SITES = 24
"""Above so many sites OpenDSS tries the whole box's ends only; the mixed corners are the arrays'."""
MOST_MARGIN_SITES = 60
MOST_CORNERS = 12


def live_envelope(circuit: Circuit, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits that are feasible together, as plain data; the same question gives the same bytes in any process."""
    request = LiveRequest.from_dict(arguments)
    circuit.start_afresh()
    try:
        return _Live(circuit, request).answer()
    except NotHere as reason:
        circuit.start_afresh()
        if not np.isfinite(request.envelope.head_w):
            raise NotConverged("the head is not measured, and this feeder has no array engine") from reason
        found = exact.envelope(circuit, request.envelope)
        return found.to_dict() | {"level": "head", "engine": "opendss", "margin_w": None, "why_not_arrays": str(reason)}


@dataclass(frozen=True)
class _Side:
    """One direction: its state without sites, its sharing, and what came out."""

    sharing: Sharing
    shared: Shared
    rule: str


class _Live(LiveState):
    def answer(self) -> dict[str, Any]:
        request = self.request
        sides: dict[str, _Side] = {}
        bases: dict[str, Snapshot] = {}
        unheard = any(site.p_w is None for site in request.sites)
        now = state = None
        for side in ("import", "export"):
            if now is None or unheard or not self.measured:
                base, now = self.estimate(side)
                state = self.state(base)
            bases[side] = base
            assert state is not None
            sides[side] = self._share(state, side)
        limits = {
            site.name: Limit(int(sides["import"].shared.watts[place]), int(sides["export"].shared.watts[place]))
            for place, site in enumerate(request.sites)
            if site.controllable
        }
        limits, corners, shrunk = self._mixed_corners(sides, limits)
        plain = Criteria(self.circuit, request.criteria).only(request.elements)
        limits, more, again = self._exact_corners(plain, bases["export"], limits)
        limits = exact._no_raise_into_reserved(self.circuit, request, plain, bases["export"], limits)
        assert now is not None
        result = self._result(sides, limits, plain, now, corners + more, shrunk or again)
        return result.to_dict() | {
            "level": self.level, "engine": "arrays", "margin_w": self._margin_w(sides, limits),
            "thermal_margin": round(self.margins[0], 6), "voltage_margin_pu": round(self.margins[1], 6),
        }  # fmt: skip

    # -- share --------------------------------------------------------------------------------------------------

    def _share(self, state: HourState, side: str, margins: tuple[float, float] | None = None) -> _Side:
        settings = self.request.criteria.tightened(*(self.margins if margins is None else margins))
        sharing = self._sharing(state, side, settings)
        rule = self.ask.rules.get("", "pro_rata_capacity")
        shared = sharing.run(rule)
        other = self._rule_of_what_binds(shared, rule)
        if other != rule:
            rule, shared = other, sharing.run(other)
        if shared.violation > INSIDE:
            # Not even the failsafes hold with the margin: nobody gets more, and the margin is not theirs to give.
            shared = replace(shared, watts=np.minimum(shared.watts, sharing.demand.floor))
        return _Side(sharing, shared, rule)

    def _sharing(self, state: HourState, side: str, settings: CriteriaSettings) -> Sharing:
        network = state.network
        watching: Watch = watch(network, settings, head=devices(self.circuit).head)
        counted = np.array([network.rows.names[element] in self.request.elements for element in network.rows.element])
        sign = 1.0 if side == "import" else -1.0
        return Sharing(state, watching, self._sites(network), self._demand(side), sign, counted)

    def _sites(self, network: Network) -> Sites:
        index = network.index()
        nodes: NDArray[np.int64] = np.full((len(self.request.sites), 3), -1, dtype=np.int64)
        for place, site in enumerate(self.request.sites):
            for at, phase in enumerate(site.phases):
                name = f"{site.bus.lower()}.{phase}"
                if name not in index:
                    raise NotHere(f"the arrays have no node {name}")
                nodes[place, at] = index[name]
        return Sites(tuple(site.name for site in self.request.sites), nodes)

    def _demand(self, side: str) -> Demand:
        def watts(site: Site, limit: Limit) -> float:
            return float(getattr(limit if site.controllable else site.reserved, f"{side}_w"))

        sites = self.request.sites
        floor = np.array([watts(site, site.failsafe) for site in sites])
        cap = np.maximum(floor, np.array([watts(site, site.flexible) for site in sites]))
        place = 0 if side == "import" else 1
        need = np.array([cap[at] if wish is None else wish[place] for at, wish in enumerate(self.ask.need)])
        return Demand(floor, cap, np.maximum(need, 1.0), np.array(self.ask.rank, dtype=np.int64))

    def _rule_of_what_binds(self, shared: Shared, rule: str) -> str:
        """Return the rule of the element that takes most from the sites."""
        lost: dict[str, float] = {}
        for (_, element), cap, watts in zip(shared.binding, self._cap_of(shared), shared.watts, strict=True):
            if element in self.ask.rules:
                lost[element] = lost.get(element, 0.0) + float(cap - watts)
        return self.ask.rules[max(lost, key=lambda name: (lost[name], name))] if lost else rule

    def _cap_of(self, shared: Shared) -> FloatArray:
        return np.array(
            [max(site.flexible.import_w, site.flexible.export_w) for site in self.request.sites], dtype=np.float64
        )

    def _margin_w(self, sides: Mapping[str, _Side], limits: Mapping[str, Limit]) -> list[float] | None:
        """Return what the margins cost all sites together: the same question once more without them."""
        if not self.ask.price_margin or len(self.request.sites) > MOST_MARGIN_SITES:
            return None
        found = []
        for side, item in sides.items():
            free = self._share(item.sharing.feeder.base, side, (0.0, 0.0)).shared.watts.sum()
            found.append(round(max(0.0, float(free - item.shared.watts.sum())), 0))
        return found

    # -- corners ------------------------------------------------------------------------------------------------

    def _mixed_corners(self, sides: Mapping[str, _Side], limits: dict[str, Limit]) -> tuple[dict[str, Limit], int, bool]:
        """Try, for each constraint near its limit, the corner that is worst for it: whoever adds to it imports or exports
        all, whoever relieves it does the opposite or nothing; and shrink until all hold.
        """
        sites = self.request.sites
        if len(sites) <= 2:
            return limits, 0, False  # OpenDSS tries every corner of two sites
        ends = [
            np.array([getattr(limits.get(s.name, s.reserved), f"{side}_w") for s in sites]) for side in ("import", "export")
        ]
        floors = [
            np.array([getattr(s.failsafe if s.controllable else s.reserved, f"{side}_w") for s in sites])
            for side in ("import", "export")
        ]
        judge, count, shrunk = sides["import"].sharing, 0, False
        for sign, side in ((1.0, "import"), (-1.0, "export")):
            patterns = self._worst_patterns(sides[side].sharing, sign * ends[0 if sign > 0 else 1])
            judge = sides[side].sharing
            for adds in patterns:
                count += 1
                for _ in range(12):
                    corner = np.where(adds, ends[0], -ends[1])
                    if self._corner_holds(judge, corner):
                        break
                    shrunk = True
                    ends = [
                        np.floor(floor + 0.7 * np.maximum(end - floor, 0.0))
                        for end, floor in zip(ends, floors, strict=True)
                    ]
                else:
                    ends = [np.minimum(end, floor) for end, floor in zip(ends, floors, strict=True)]
        if not shrunk:
            return limits, count, False
        new = {
            site.name: Limit(int(ends[0][place]), int(ends[1][place])).meet(limits[site.name])
            for place, site in enumerate(sites)
            if site.controllable
        }
        return new, count, True

    def _worst_patterns(self, sharing: Sharing, signed: FloatArray) -> list[NDArray[np.bool_]]:
        """Return which sites import in each corner worth trying (the others export)."""
        feeder = sharing.feeder
        try:
            volts = feeder.solve(np.abs(signed))
        except NotConverged:
            return []
        excess = feeder.excess(volts)
        near = np.flatnonzero(excess > -NEAR)
        near = near[np.argsort(-excess[near], kind="stable")][:64].astype(np.int64)
        found: dict[bytes, NDArray[np.bool_]] = {}
        for slopes in feeder.rows(volts, near):
            # Slopes are by watts of this side; turned to import they say who must import to make it worst.
            adds = feeder.sign * slopes > 0.0
            found.setdefault(adds.tobytes(), adds)
            if len(found) >= MOST_CORNERS:
                break
        return list(found.values())

    def _corner_holds(self, sharing: Sharing, signed: FloatArray) -> bool:
        feeder = sharing.feeder
        try:
            excess = feeder.excess(feeder.voltages(feeder.sign * signed))
        except NotConverged:
            return False
        # The margins are there for the estimate's error, not for corners: a corner may use them up.
        volts = 2 * len(feeder.watching.watched_nodes)
        slack = np.full(len(excess), self.margins[0])
        slack[:volts] = self.margins[1]
        return bool((excess <= slack).all())

    def _exact_corners(
        self, criteria: Criteria, base: Snapshot, limits: dict[str, Limit]
    ) -> tuple[dict[str, Limit], int, bool]:
        """Let OpenDSS try corners without margins: the mixed ones of few sites, the two ends of many."""
        if len(self.request.sites) <= MOST_EXACT_SITES:
            limits, corners, shrunk = exact._box(self.circuit, self.request, criteria, base, limits)
        else:
            corners, shrunk = 0, False
        for _ in range(exact.MOST_SHRINKS):
            ends = [[exact._corner(site, limits, sign) for site in self.request.sites] for sign in (1.0, -1.0)]
            corners += 2
            if all(exact._holds(self.circuit, criteria, base, pattern) for pattern in ends):
                return limits, corners, shrunk
            shrunk = True
            limits = {
                site.name: exact._toward(site.failsafe, limits[site.name], exact.SHRINK)
                for site in self.request.sites
                if site.controllable
            }
        return {site.name: site.failsafe for site in self.request.sites if site.controllable}, corners, True

    # -- answer -------------------------------------------------------------------------------------------------

    def _result(
        self, sides: Mapping[str, _Side], limits: Mapping[str, Limit], plain: Criteria, now: Snapshot, corners: int,
        shrunk: bool,
    ) -> EnvelopeResult:  # fmt: skip
        granted = {}
        for place, site in enumerate(self.request.sites):
            if not site.controllable:
                continue
            binding = [sides[side].shared.binding[place] for side in ("import", "export")]
            of_three = (limits[site.name], site.failsafe, site.flexible)
            shares = [_share(*(getattr(limit, f"{side}_w") for limit in of_three)) for side in ("import", "export")]
            granted[site.name] = Granted(
                limits[site.name], binding[0][0], binding[0][1], shares[0], binding[1][0], binding[1][1], shares[1]
            )
        loading = now.loading_pu[plain.participating]
        worst = int(loading.argmax()) if len(loading) else 0
        volts = now.v_pu[plain.watched_nodes]
        return EnvelopeResult(
            granted, round(self.scale, 6), round(float(loading.max(initial=0.0)), 6),
            plain.elements[plain.participating[worst]] if len(loading) else "", round(float(volts.min()), 6),
            round(float(volts.max()), 6), corners, shrunk,
        )  # fmt: skip


def _share(limit_w: int, failsafe_w: int, flexible_w: int) -> float:
    """Return the fraction of the flexible part that a site got."""
    return 1.0 if flexible_w <= failsafe_w else round((limit_w - failsafe_w) / (flexible_w - failsafe_w), 4)
