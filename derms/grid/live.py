"""The control room's envelope on arrays: estimate, share by rule on exact AC points, try each constraint's worst corner.

The estimate climbs as far as its measurements carry it:
    study   no head measurement: the study's loads, `study_high` times them for import and `study_low` for export
    head    the hour's loads scaled until the head draws what is measured, with the sites at their measured power
    wls     on top, weighted least squares with the sites' voltages and further meters; what it says of its own error
            on the most loaded element and the extreme voltages then replaces the default margin

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

from derms.errors import HeadroomError, NotConverged
from derms.grid import envelope as exact
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.devices import devices
from derms.grid.envelope import EnvelopeResult, Granted, Site
from derms.grid.extraction import AGREES_PU, Extraction
from derms.grid.fast import HourState
from derms.grid.hosting import Watch, row_currents, watch
from derms.grid.least_squares import Meter, StateEstimate, estimate_state
from derms.grid.live_request import LiveRequest
from derms.grid.network import FloatArray, Network
from derms.grid.opendss import Circuit, Injection, Snapshot
from derms.grid.powerflow import newton
from derms.grid.sharing import Shared, Sharing
from derms.grid.sharing_corners import INSIDE
from derms.grid.sharing_rules import Demand
from derms.grid.sharing_sites import Sites, with_sites
from derms.limits import Limit

SITE_VOLTS_SIGMA_PU = 0.005
HEAD_SIGMA = 0.02
"""Relative error of a phase's power at the head where only the total is measured: the split is the model's."""
SIGMAS = 2.0
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
    except _NotHere as reason:
        circuit.start_afresh()
        if not np.isfinite(request.envelope.head_w):
            raise NotConverged("the head is not measured, and this feeder has no array engine") from reason
        found = exact.envelope(circuit, request.envelope)
        return found.to_dict() | {"level": "head", "engine": "opendss", "margin_w": None, "why_not_arrays": str(reason)}


class _NotHere(Exception):
    """The arrays cannot answer on this feeder or at this state: OpenDSS does."""


@dataclass(frozen=True)
class _Side:
    """One direction: its state without sites, its sharing, and what came out."""

    sharing: Sharing
    shared: Shared
    rule: str


class _Live:
    def __init__(self, circuit: Circuit, request: LiveRequest) -> None:
        self.circuit, self.ask, self.request = circuit, request, request.envelope
        try:
            if "live" not in circuit.kept:
                circuit.kept["live"] = Extraction(circuit)
        except HeadroomError as error:
            raise _NotHere(str(error)) from error
        self.extraction: Extraction = circuit.kept["live"]
        self.scale, self.level = request.envelope.first_scale, "head"
        self.margins = (request.envelope.thermal_margin, request.envelope.voltage_margin_pu)

    def answer(self) -> dict[str, Any]:
        request = self.request
        sides: dict[str, _Side] = {}
        bases: dict[str, Snapshot] = {}
        unheard = any(site.p_w is None for site in request.sites)
        now = state = None
        for side in ("import", "export"):
            if now is None or unheard or not self._measured:
                base, now = self._estimate(side)
                state = self._state(base)
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

    @property
    def _measured(self) -> bool:
        return bool(np.isfinite(self.request.head_w))

    # -- estimate -----------------------------------------------------------------------------------------------

    def _estimate(self, side: str) -> tuple[Snapshot, Snapshot]:
        """Return the state without sites and the present state; controls then rest at the present state."""
        request = self.request
        if self._measured:
            self.scale, base, now = exact._state(self.circuit, request, side, self.scale)
            if not self.ask.scale_low <= self.scale <= self.ask.scale_high:
                raise NotConverged(
                    f"the loads would be {self.scale:.2f} times the study's", where=f"hour {request.hour}",
                    remedy="Check the head's measurement and the switching state.",
                )  # fmt: skip
            return base, now
        self.level = "study"
        self.scale = self.ask.study_high if side == "import" else self.ask.study_low
        known = [Injection(s.bus, s.phases, s.p_w if s.p_w is not None else 0.0, s.q_var) for s in request.sites]
        base = self.circuit.settle(request.hour, load_scale=self.scale)
        return base, self.circuit.settle(request.hour, load_scale=self.scale, injections=known, from_present_controls=True)

    def _state(self, base: Snapshot) -> HourState:
        """Return the arrays' state without sites in the present control state; `_NotHere` where OpenDSS differs."""
        try:
            self.circuit.solve([])
            network = self.extraction.network()
            theirs = self.extraction.voltages()[network.to_circuit]
            p, q = self._powers(network)
            reference = newton(network, p, q, theirs)
        except HeadroomError as error:
            raise _NotHere(str(error)) from error
        apart = np.abs((reference.volts.view(np.complex128) - theirs) / network.base_v).max()
        if apart > AGREES_PU:
            raise _NotHere(f"the arrays are {apart:.1e} pu from OpenDSS")
        state = HourState(network, reference)
        return self._refined(state) if self._measured else state

    def _powers(self, network: Network) -> tuple[FloatArray, FloatArray]:
        p_scale, q_scale = network.multipliers(self.request.hour, self.scale)
        p, q = self.extraction.present_powers(network)
        return network.branches.p_w * p_scale + p, network.branches.q_var * q_scale + q

    def _refined(self, state: HourState) -> HourState:
        """Climb to level wls where there is more to measure than the head; bad meters leave the level as it is."""
        meters = self._meters(state)
        if len(meters) == 0:
            return state
        heard = [site for site in self.request.sites if site.p_w is not None]
        index = state.network.index()
        nodes = [index[f"{site.bus.lower()}.{phase}"] for site in heard for phase in site.phases]
        watts = [site.p_w / len(site.phases) for site in heard for _ in site.phases if site.p_w is not None]
        var = [site.q_var / len(site.phases) for site in heard for _ in site.phases]
        try:
            found = estimate_state(
                state, self._head_meters(state, nodes, watts, var) + meters, np.array(nodes, dtype=np.int64),
                np.array(watts), np.array(var),
            )  # fmt: skip
        except HeadroomError:
            return state
        self.level = "wls"
        self._narrow(found)
        inverse = state.reference.branches.inverse_v2
        p, q = state.reference.p / inverse * found.multipliers, state.reference.q / inverse * found.multipliers
        return HourState(state.network, newton(state.network, p, q, state.volts))

    def _meters(self, state: HourState) -> list[Meter]:
        network, index = state.network, state.network.index()
        found = []
        for site, volts in zip(self.request.sites, self.ask.volts_pu, strict=True):
            # One phase stands for the site: its meter gives one number.
            place = index.get(f"{site.bus.lower()}.{site.phases[0]}")
            if volts is not None and place is not None and 0.8 < volts < 1.2:
                base = float(network.base_v[place])
                found.append(Meter(f"site {site.name}", "voltage", place, volts * base, SITE_VOLTS_SIGMA_PU * base))
        for name, kind, where, phase, value, sigma in self.ask.meters:
            if kind == "voltage":
                place = index.get(f"{where.lower()}.{phase}")
            else:
                rows = [
                    row for row, element in enumerate(network.rows.element) if network.rows.names[element] == where.lower()
                ]
                place = rows[phase - 1] if 0 < phase <= len(rows) else None
            if place is not None and np.isfinite(value) and sigma > 0:
                found.append(Meter(name, kind, place, value, sigma))
        return found

    def _head_meters(self, state: HourState, nodes: list[int], watts: list[float], var: list[float]) -> list[Meter]:
        """Return the head's power by phase: the total is measured, its split is the model's, with an error of its own."""
        head = devices(self.circuit).head
        network = state.network
        if head is None or head not in network.rows.names:
            return []
        together = with_sites(network, np.array(nodes, dtype=np.int64)) if nodes else network
        inverse = state.reference.branches.inverse_v2
        p, q = (
            np.concatenate([part / inverse, np.array(more)])
            for part, more in ((state.reference.p, watts), (state.reference.q, var))
        )
        volts = newton(together, p, q, state.volts).volts.view(np.complex128)
        at = network.rows.names.index(head)
        currents = row_currents(together, volts)
        found = []
        for row in np.flatnonzero(network.rows.element == at):
            power = volts[network.rows.own[row]] * currents[row].conjugate()
            sigma = max(HEAD_SIGMA * abs(power), 100.0)
            found.append(Meter(f"head {row} W", "active_power", int(row), float(power.real), sigma))
            found.append(Meter(f"head {row} var", "reactive_power", int(row), float(power.imag), sigma))
        return found

    def _narrow(self, found: StateEstimate) -> None:
        """Set the margins by what the estimate says of its error, between a least part of the defaults and the defaults."""
        network = found.network
        rows = network.rows
        watched = np.array([rows.names[element] in self.request.elements for element in rows.element])
        loading = np.abs(row_currents(network, found.volts)) / rows.amps[rows.element]
        thermal = 0.0
        for row in np.argsort(-np.where(watched, loading, 0.0))[:3]:
            thermal = max(thermal, SIGMAS * found.sigma_of("current", int(row)) / float(rows.amps[rows.element[row]]))
        nodes = np.flatnonzero(network.phase_node & network.medium_voltage)
        per_unit = np.abs(found.volts[nodes]) / network.base_v[nodes]
        voltage = 0.0
        for place in (nodes[int(per_unit.argmin())], nodes[int(per_unit.argmax())]):
            voltage = max(voltage, SIGMAS * found.sigma_of("voltage", int(place)) / float(network.base_v[place]))
        least = self.ask.least_margin_factor
        default = (self.request.thermal_margin, self.request.voltage_margin_pu)
        self.margins = (
            min(max(thermal, least * default[0]), default[0]), min(max(voltage, least * default[1]), default[1]),
        )  # fmt: skip

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
                    raise _NotHere(f"the arrays have no node {name}")
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
