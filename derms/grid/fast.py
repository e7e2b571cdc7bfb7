"""The fast engine over one circuit: base states settled as OpenDSS settles them, then arrays.

`hour_state` is one hour ready for `hosting.hour_limits`. `year_limits` is one site over many hours: sixteen hours in the
lanes, one factorisation for each control state. Where a control might act, OpenDSS settles the hour (see `rest`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derms.errors import NotConverged
from derms.grid.existing import ExistingSite, cases, powers
from derms.grid.extraction import AGREES_PU, Extraction
from derms.grid.groups_kernel import settle_lanes, site_points
from derms.grid.hosting import TOLERANCE_W, Candidates, Limits, Watch, limits_of, row_currents
from derms.grid.lanes import WIDTH
from derms.grid.limits_kernel import find_limits, workspace
from derms.grid.network import ComplexArray, FloatArray, Network
from derms.grid.opendss import Circuit
from derms.grid.powerflow import Reference, newton
from derms.grid.rest import RestTest
from derms.grid.sweep import Watched

CROWDED = "Those ahead hold more than the feeder carries: study them first, or leave them out."
KEPT_CROWDS = 8


@dataclass(frozen=True)
class HourState:
    """One solved hour: the network in its control state, linearised there."""

    network: Network
    reference: Reference

    @property
    def volts(self) -> ComplexArray:
        """Return the node voltages, (n,)."""
        return self.reference.volts.view(np.complex128)


class FastEngine:
    """One circuit and the networks taken out of it."""

    def __init__(self, circuit: Circuit, places: Sequence[tuple[str, int]] = ()) -> None:
        """Extract a circuit; `places`: (bus, phase) of the sites that `with_existing` will know."""
        self.circuit = circuit
        circuit.settle(0)
        self.places = tuple(places)
        self.extraction = Extraction(circuit, self.places)
        self._references: dict[int, Reference] = {}
        self._crowded: dict[tuple[int, str], tuple[Reference, Reference]] = {}
        self._scale = 1.0

    def hour_state(self, hour: int, *, load_scale: float = 1.0) -> HourState:
        """Return an hour with its controls settled by OpenDSS; raises NotConverged where the two engines disagree."""
        self.circuit.settle(hour, load_scale=load_scale)
        network = self.extraction.network()
        p, q = self.powers(network, hour, load_scale)
        theirs = self.extraction.voltages()[network.to_circuit]
        reference = newton(network, p, q, theirs)
        apart = np.abs((reference.volts.view(np.complex128) - theirs) / network.base_v)
        if apart.max() > AGREES_PU:
            worst = network.nodes[int(apart.argmax())]
            raise NotConverged(
                f"the fast engine is {apart.max():.1e} pu from OpenDSS", where=f"hour {hour}, node {worst}",
                remedy="A device without its law here: use the OpenDSS engine for this feeder.",
            )  # fmt: skip
        return HourState(network, reference)

    def present(self, hour: int) -> HourGroup:
        """Return the circuit's present state, settled at `hour` without sites, as a group of one hour; or NotConverged."""
        network = self.extraction.network()
        p, q = self.powers(network, hour)
        theirs = self.extraction.voltages()[network.to_circuit]
        reference = newton(network, p, q, theirs)
        return self._group(network, reference, [hour], theirs[:, None], (p[:, None], q[:, None]))

    def powers(self, network: Network, hour: int, load_scale: float = 1.0) -> tuple[FloatArray, FloatArray]:
        """Return the branches' P and Q at an hour; generators, PV and storage as the circuit has them now."""
        p_scale, q_scale = network.multipliers(hour, load_scale)
        p, q = self.extraction.present_powers(network)
        return network.branches.p_w * p_scale + p, network.branches.q_var * q_scale + q

    def with_existing(self, group: HourGroup, existing: Sequence[ExistingSite]) -> list[HourGroup]:
        """Return the group in each case of the sites that are there already, at rest first; taps and capacitors stay.

        Raises NotConverged where the feeder has no solution with them at their limits.
        """
        return [group] + [self._crowd(group, powers(existing, case), case) for case in cases(existing)[1:]]

    def _crowd(self, group: HourGroup, drawn: Mapping[tuple[str, int], float], case: str) -> HourGroup:
        network, inverse = group.network, group.reference.branches.inverse_v2
        first, p = len(inverse) - len(self.places), group.p.copy()
        for row, place in enumerate(self.places, start=first):
            p[row] = drawn.get(place, 0.0) * inverse[row]
        where = f"hour {group.hours[0]}, the sites that are there already {case}"
        known = self._crowded.get((id(group.reference), case))
        if known is None:
            try:
                found = newton(network, p[:, 0] / inverse, group.q[:, 0] / inverse, group.volts[:, 0])
            except NotConverged as error:
                raise NotConverged(error.what, where=where, remedy=CROWDED) from error
            while len(self._crowded) >= KEPT_CROWDS:
                self._crowded.pop(next(iter(self._crowded)))
            known = self._crowded[id(group.reference), case] = (group.reference, found)
        reference = known[1]
        flat = group.flat + (reference.volts - group.reference.volts)[:, None]
        if not settle_lanes(reference, p, group.q, flat, workspace(network.size))[: len(group.hours)].all():
            raise NotConverged("the power flow has no solution", where=where, remedy=CROWDED)
        return HourGroup(network, reference, group.hours, p, group.q, flat)

    # -- many hours ---------------------------------------------------------------------------------------------

    def year(self, hours: Sequence[int], *, load_scale: float = 1.0) -> Iterator[HourGroup]:
        """Yield the hours in groups of at most sixteen that share a control state, base states solved; in no fixed order.

        `load_scale` multiplies every load that follows it. OpenDSS is asked for the hours in which a control might act from
        the compiled state, and only for those.
        """
        self._references.clear()
        self._crowded.clear()  # what another slice left here would show in the last digits
        self._scale = load_scale
        first = self.hour_state(hours[len(hours) // 2], load_scale=load_scale)
        self.circuit.restore_controls(self.circuit.initial_controls)
        self.circuit.solve()
        start = self.extraction.network()
        moving = bool((start.branches.owner < 0).any())
        rest = RestTest(self.circuit, start)
        waiting = list(hours)
        if rest.judges_all and not moving:
            p, q = self.powers(start, hours[len(hours) // 2], load_scale)
            reference = newton(start, p, q, first.volts)
            waiting = []
            for group in self._groups(start, reference, hours):
                calm = rest.at_rest(group.volts, row_currents(start, group.volts))[: len(group.hours)]
                waiting += [hour for hour, still in zip(group.hours, calm, strict=True) if not still]
                if calm.all():
                    yield group
                elif calm.any():
                    yield group.only([place for place, still in enumerate(calm) if still])
        yield from self._settled(waiting, moving)

    def _settled(self, hours: Sequence[int], moving: bool) -> Iterator[HourGroup]:
        """Yield groups of hours that OpenDSS settles one by one, sixteen of one control state at a time."""
        pools: dict[int, list[tuple[int, ComplexArray, FloatArray, FloatArray]]] = {}
        networks: dict[int, Network] = {}
        for hour in hours:
            self.circuit.settle(hour, load_scale=self._scale, read=False)
            network = self.extraction.network()
            networks[id(network)] = network
            p, q = self.powers(network, hour, self._scale) if moving else (np.zeros(0), np.zeros(0))
            pool = pools.setdefault(id(network), [])
            pool.append((hour, self.extraction.voltages()[network.to_circuit], p, q))
            if len(pool) == WIDTH:
                yield self._from_pool(network, pool)
                pool.clear()
        for key, pool in pools.items():
            if pool:
                yield self._from_pool(networks[key], pool)

    def _from_pool(self, network: Network, pool: list[tuple[int, ComplexArray, FloatArray, FloatArray]]) -> HourGroup:
        hours = [item[0] for item in pool]
        if id(network) not in self._references:
            p, q = self.powers(network, hours[0], self._scale) if not len(pool[0][2]) else (pool[0][2], pool[0][3])
            self._references[id(network)] = newton(network, p, q, pool[0][1])
        given = (np.stack([item[2] for item in pool], axis=1), np.stack([item[3] for item in pool], axis=1))
        theirs = np.stack([item[1] for item in pool], axis=1)
        group = self._group(network, self._references[id(network)], hours, theirs, given if len(pool[0][2]) else None)
        apart = np.abs(group.volts[:, : len(hours)] - theirs) / network.base_v[:, None]
        if apart.max() > AGREES_PU:
            lane = int(apart.max(axis=0).argmax())
            raise NotConverged(
                f"the fast engine is {apart.max():.1e} pu from OpenDSS", where=f"hour {hours[lane]}",
                remedy="A device without its law here: use the OpenDSS engine for this feeder.",
            )  # fmt: skip
        return group

    def _groups(self, network: Network, reference: Reference, hours: Sequence[int]) -> Iterator[HourGroup]:
        for place in range(0, len(hours), WIDTH):
            yield self._group(network, reference, list(hours[place : place + WIDTH]), None, None)

    def _group(
        self, network: Network, reference: Reference, hours: list[int], start: ComplexArray | None,
        given: tuple[FloatArray, FloatArray] | None,
    ) -> HourGroup:  # fmt: skip
        """Solve the base states of some hours in the lanes, from the reference or from `start` (n, hours)."""
        lanes = [hours[min(lane, len(hours) - 1)] for lane in range(WIDTH)]
        inverse = reference.branches.inverse_v2
        p, q = np.empty((len(inverse), WIDTH)), np.empty((len(inverse), WIDTH))
        for lane, hour in enumerate(lanes):
            if given is not None:
                at = min(lane, len(hours) - 1)
                p[:, lane], q[:, lane] = given[0][:, at] * inverse, given[1][:, at] * inverse
            elif lane < len(hours):
                p_scale, q_scale = network.multipliers(hour, self._scale)
                p[:, lane] = network.branches.p_w * p_scale * inverse
                q[:, lane] = network.branches.q_var * q_scale * inverse
            else:
                p[:, lane], q[:, lane] = p[:, len(hours) - 1], q[:, len(hours) - 1]
        flat = np.repeat(reference.volts[:, None], WIDTH, axis=1)
        if start is not None:
            flat[0::2, : len(hours)], flat[1::2, : len(hours)] = start.real, start.imag
        good = settle_lanes(reference, p, q, flat, workspace(network.size))
        if not good[: len(hours)].all():
            raise NotConverged("the power flow has no solution", where=f"hour {hours[int(good.argmin())]}")
        return HourGroup(network, reference, tuple(hours), p, q, flat)


NO_INDEX, NO_VALUE = np.zeros(0, dtype=np.int64), np.zeros(0)


@dataclass(frozen=True)
class HourGroup:
    """At most sixteen hours of one control state: P and Q (k, 16) in siemens, base voltages `flat` (2n, 16)."""

    network: Network
    reference: Reference
    hours: tuple[int, ...]
    p: FloatArray
    q: FloatArray
    flat: FloatArray

    @property
    def volts(self) -> ComplexArray:
        """Return the base voltages, (n, 16); lanes beyond the hours repeat the last."""
        return self.flat[0::2] + 1j * self.flat[1::2]

    def only(self, places: list[int]) -> HourGroup:
        """Return the same group with some of its hours."""
        lanes = places + [places[-1]] * (WIDTH - len(places))
        return HourGroup(
            self.network, self.reference, tuple(self.hours[place] for place in places),
            np.ascontiguousarray(self.p[:, lanes]), np.ascontiguousarray(self.q[:, lanes]),
            np.ascontiguousarray(self.flat[:, lanes]),
        )  # fmt: skip

    def limits(
        self, watching: Watch, site: Candidates, cap_w: tuple[float, float], *, probe: bool = False,
        tolerance_w: float = TOLERANCE_W,
    ) -> Limits:  # fmt: skip
        """Return the site's largest import and export in each hour of the group."""
        watched, base_rows = limits_of(self.network, watching, self.volts)
        return self._find(watched, base_rows, site, cap_w, probe, tolerance_w)

    def at(self, site: Candidates, watts: FloatArray) -> tuple[ComplexArray, ComplexArray, NDArray[np.bool_]]:
        """Return the hours with the site at `watts` (hours,), import positive: voltages (n, hours), dV/dP at the base
        (volts a watt), and which hours have a solution."""
        count, share = len(self.hours), np.full(WIDTH, 1.0 / site.phases[0])
        power = np.full(WIDTH, float(watts[-1]))
        power[:count] = watts
        volts, tangent = np.empty_like(self.flat), np.empty_like(self.flat)
        good = site_points(
            self.reference, self.p, self.q, self.flat, np.repeat(site.nodes[:1], WIDTH, axis=0), share,
            share * site.var_per_watt, site.volt_var, power, workspace(self.network.size), volts, tangent,
        )  # fmt: skip
        whole, moved = (item[0::2, :count] + 1j * item[1::2, :count] for item in (volts, tangent))
        return whole, moved, good[:count]

    def largest_steps(self, site: Candidates, change_pu: float, cap_w: tuple[float, float]) -> FloatArray:
        """Return the largest step of power from nothing, (2, hours) watts, that changes no voltage at the site by more."""
        nodes = site.nodes[0][site.nodes[0] >= 0]
        volts, room = np.abs(self.volts[nodes]), change_pu * self.network.base_v[nodes][:, None]
        nothing = np.zeros((0, WIDTH))
        watched = Watched(
            nodes, (volts - room) ** 2, (volts + room) ** 2, np.zeros(1, dtype=np.int64), NO_INDEX, NO_VALUE, NO_VALUE,
            nothing, NO_VALUE, np.zeros(1, dtype=np.int64), NO_INDEX, NO_INDEX, nothing,
        )  # fmt: skip
        return self._find(watched, nothing, site, cap_w, False, TOLERANCE_W).watts

    def _find(
        self, watched: Watched, base_rows: FloatArray, site: Candidates, cap_w: tuple[float, float], probe: bool,
        tolerance_w: float,
    ) -> Limits:  # fmt: skip
        share = np.full(WIDTH, 1.0 / site.phases[0])
        caps = np.repeat(np.array(cap_w, dtype=np.float64)[:, None], WIDTH, axis=1)
        watts, code, rounds, odd = (np.zeros((2, WIDTH)) for _ in range(4))
        find_limits(
            self.reference, self.p, self.q, self.flat, base_rows, watched, np.repeat(site.nodes[:1], WIDTH, axis=0),
            share, share * site.var_per_watt, site.volt_var, caps, tolerance_w, probe, workspace(self.network.size),
            watts, code, rounds, odd,
        )  # fmt: skip
        count = len(self.hours)
        return Limits(watts[:, :count], code[:, :count].astype(np.int64), rounds[:, :count], odd[:, :count] > 0)
