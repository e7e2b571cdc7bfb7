"""A study of one site on the fast engine: hours in the lanes, the same answer as the reference in a tenth of its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from derms.grid.capacity import HourLimit, Slice, StudyRequest, note_violations
from derms.grid.devices import head_element
from derms.grid.fast import FastEngine, HourGroup
from derms.grid.hosting import EXPORT, IMPORT, Limits, Watch, name_of, one_bus, row_currents, watch
from derms.grid.network import FloatArray, Network
from derms.grid.opendss import Circuit


def fast_engine(circuit: Circuit) -> FastEngine:
    """Return the circuit's fast engine, made on first use."""
    if "fast" not in circuit.kept:
        circuit.kept["fast"] = FastEngine(circuit)
    engine: FastEngine = circuit.kept["fast"]
    return engine


def study_hours_on_arrays(
    circuit: Circuit,
    request: StudyRequest,
    hours: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    raised: Mapping[str, float] | None = None,
) -> Slice:
    """Study some hours of a request (see `capacity.study_hours`); the answer depends on the hours, not on the worker.

    `raised`: factors on the ratings of elements, for the upgrade ladder.
    """
    engine = fast_engine(circuit)
    found: list[HourLimit] = []
    violations: dict[str, dict[str, object]] = {}
    watching: dict[int, Watch] = {}
    steps: dict[str, list[int]] = {}
    head = head_element(circuit)
    for found_group in engine.year(hours):
        group = found_group if not raised else replace(found_group, network=_with_ratings(found_group.network, raised))
        if cancelled is not None and cancelled():
            break
        bound = watching.setdefault(id(found_group.network), watch(group.network, request.criteria, head=head))
        site = one_bus(group.network, request.bus, request.phases, power_factor=request.power_factor)
        if request.volt_var():
            site = replace(site, volt_var=np.array(request.volt_var()))
        limits = group.limits(bound, site, (float(request.import_w), float(request.export_w)))
        change = request.criteria.rapid_change_pu
        if not group.network.medium_voltage[site.nodes[0, 0]]:
            change = request.criteria.rapid_change_lv_pu
        note_steps(
            steps, group.hours, group.largest_steps(site, change, (float(request.import_w), float(request.export_w)))
        )
        heads = group.network.head_va(group.volts).real
        for lane, hour in enumerate(group.hours):
            found.append(_hour(group, bound, request, limits, lane, hour, round(float(heads[lane]))))
        for hour, broken in _broken(group, bound):
            note_violations(violations, broken, hour)
        if progress is not None:
            progress(len(found), len(hours))
    found.sort(key=lambda item: item.hour)
    return Slice(tuple(found), violations, steps)


def _with_ratings(network: Network, raised: Mapping[str, float]) -> Network:
    factors = np.array([raised.get(name, 1.0) for name in network.rows.names])
    return replace(network, rows=replace(network.rows, amps=network.rows.amps * factors))


def note_steps(steps: dict[str, list[int]], hours: Sequence[int], watts: FloatArray) -> None:
    """Keep, each way, the least of the largest steps: [watts, hour]."""
    for row, side in enumerate(("import", "export")):
        for lane, hour in enumerate(hours):
            candidate = [int(watts[row, lane]), hour]
            steps[side] = min(steps.get(side, candidate), candidate)


def _hour(
    group: HourGroup, watching: Watch, request: StudyRequest, limits: Limits, lane: int, hour: int, head_w: int
) -> HourLimit:
    watts, names = [], []
    for side, asked in ((IMPORT, request.import_w), (EXPORT, request.export_w)):
        code = int(limits.code[side, lane])
        watts.append(asked if code == -1 else min(asked, int(limits.watts[side, lane])))
        names.append(name_of(group.network, watching, code))
    return HourLimit(hour, watts[0], watts[1], *names[0], *names[1], head_w)


def _broken(group: HourGroup, watching: Watch) -> Iterator[tuple[int, list[tuple[str, str, float]]]]:
    """Yield each hour with what its base state breaks: criterion, element, value (pu)."""
    settings, network = watching.settings, group.network
    nodes = watching.watched_nodes
    volts = np.abs(group.volts[nodes]) / network.base_v[nodes][:, None]
    loading = element_loading(group)
    low, high = volts < settings.v_low_pu, volts > settings.v_high_pu
    over = loading > settings.thermal_pu
    for lane, hour in enumerate(group.hours):
        broken = [("undervoltage", network.nodes[nodes[at]], float(volts[at, lane])) for at in np.flatnonzero(low[:, lane])]
        broken += [
            ("overvoltage", network.nodes[nodes[at]], float(volts[at, lane])) for at in np.flatnonzero(high[:, lane])
        ]
        names = network.rows.names
        broken += [("thermal", names[at], float(loading[at, lane])) for at in np.flatnonzero(over[:, lane])]
        if broken:
            yield hour, broken


def element_loading(group: HourGroup) -> FloatArray:
    """Return each element's loading in each lane, (elements, 16), per unit of its normal amps."""
    rows = group.network.rows
    amps = np.abs(row_currents(group.network, group.volts))
    most = np.maximum.reduceat(amps, np.flatnonzero(np.diff(rows.element, prepend=-1)), axis=0)
    loading: FloatArray = most / rows.amps[np.unique(rows.element)][:, None]
    return loading
