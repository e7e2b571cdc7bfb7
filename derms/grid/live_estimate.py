"""From measurements to the feeder's state in the control room: each level has its margin.

The estimate climbs as far as its measurements carry it:
    study   no head measurement: the study's loads, `study_high` times them for import and `study_low` for export
    head    the hour's loads scaled until the head draws what is measured, with the sites at their measured power
    wls     on top, weighted least squares with the sites' voltages and further meters; what it says of its own error
            on the most loaded element and the extreme voltages then replaces the default margin
"""

from __future__ import annotations

import numpy as np

from derms.errors import HeadroomError, NotConverged
from derms.grid import envelope as exact
from derms.grid.devices import devices
from derms.grid.extraction import AGREES_PU, Extraction
from derms.grid.fast import HourState
from derms.grid.hosting import row_currents
from derms.grid.least_squares import Meter, StateEstimate, estimate_state
from derms.grid.live_request import LiveRequest
from derms.grid.network import FloatArray, Network
from derms.grid.opendss import Circuit, Injection, Snapshot
from derms.grid.powerflow import newton
from derms.grid.sharing_sites import with_sites

SITE_VOLTS_SIGMA_PU = 0.005
HEAD_SIGMA = 0.02
"""Relative error of a phase's power at the head where only the total is measured: the split is the model's."""
SIGMAS = 2.0


class NotHere(Exception):
    """The arrays cannot answer on this feeder or at this state: OpenDSS does."""


class LiveState:
    """One question's estimate: `level` reached, `scale` of the loads, and `margins` (thermal, voltage pu)."""

    def __init__(self, circuit: Circuit, request: LiveRequest) -> None:
        self.circuit, self.ask, self.request = circuit, request, request.envelope
        try:
            if "live" not in circuit.kept:
                circuit.kept["live"] = Extraction(circuit)
        except HeadroomError as error:
            raise NotHere(str(error)) from error
        self.extraction: Extraction = circuit.kept["live"]
        self.scale, self.level = request.envelope.first_scale, "head"
        self.margins = (request.envelope.thermal_margin, request.envelope.voltage_margin_pu)

    @property
    def measured(self) -> bool:
        """Say whether the head's power is known."""
        return bool(np.isfinite(self.request.head_w))

    def estimate(self, side: str) -> tuple[Snapshot, Snapshot]:
        """Return the state without sites and the present state; controls then rest at the present state."""
        request = self.request
        if self.measured:
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

    def state(self, base: Snapshot) -> HourState:
        """Return the arrays' state without sites in the present control state; `NotHere` where OpenDSS differs."""
        try:
            self.circuit.solve([])
            network = self.extraction.network()
            theirs = self.extraction.voltages()[network.to_circuit]
            p, q = self._powers(network)
            reference = newton(network, p, q, theirs)
        except HeadroomError as error:
            raise NotHere(str(error)) from error
        apart = np.abs((reference.volts.view(np.complex128) - theirs) / network.base_v).max()
        if apart > AGREES_PU:
            raise NotHere(f"the arrays are {apart:.1e} pu from OpenDSS")
        state = HourState(network, reference)
        return self._refined(state) if self.measured else state

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
