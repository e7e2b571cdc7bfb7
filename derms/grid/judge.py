"""The criteria on arrays, one function each: what a site's power does to the network, against what it may do.

Each takes a `Point` (sixteen hours solved with and without the site) and gives a `Judged`: a value and its limit for
every node, element or device that the criterion looks at. `no_worse` lifts a limit to what the hour has without the
site. `extras` are the criteria that the compiled search does not know; `tighten` brings its limits inside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derms.grid.criteria import CriteriaSettings
from derms.grid.devices import Devices, Regulator
from derms.grid.fast import HourGroup
from derms.grid.hosting import Candidates, Watch, row_currents
from derms.grid.network import ComplexArray, FloatArray, Network

BoolArray = NDArray[np.bool_]

DEFAULT_UNBALANCE_PU = 0.03
DEFAULT_BAND_SHARE = 0.5


class Names:
    """Names by place, without making a tuple of thousands each time."""

    def __init__(self, names: tuple[str, ...], nodes: NDArray[np.int64]) -> None:
        self._names, self._nodes = names, nodes

    def __getitem__(self, place: int) -> str:
        return self._names[self._nodes[place]]

    def __len__(self) -> int:
        return len(self._nodes)


@dataclass(frozen=True)
class Judged:
    """One criterion at one point: `value` and `limit` (k, hours) in `unit`; `names` (k,) of what it looks at.

    `at_least`: the value may not fall below the limit, else not rise above it. `counts` (k, hours): what is looked at.
    """

    criterion: str
    unit: str
    value: FloatArray
    limit: FloatArray
    names: tuple[str, ...] | Names
    at_least: bool = False
    counts: BoolArray | None = None

    def margin(self) -> FloatArray:
        """Return what is left before the limit (k, hours): negative is broken; infinite where it does not count."""
        left = self.value - self.limit if self.at_least else self.limit - self.value
        return left if self.counts is None else np.where(self.counts, left, np.inf)

    def worst(self) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return the least margin of each hour, and whose it is; infinite and 0 where the criterion looks at nothing."""
        margin = self.margin()
        if not margin.size:
            hours = self.value.shape[1]
            return np.full(hours, np.inf), np.zeros(hours, dtype=np.int64)
        place = margin.argmin(axis=0)
        return margin[place, np.arange(margin.shape[1])], place


@dataclass(frozen=True)
class Point:
    """Some hours solved with the site at `watts` (hours,), import positive, beside the same hours without it.

    `base`, `volts` (n, hours); `tangent` (n, hours) volts a watt at the base; `good` (hours,): solved.
    """

    hours: tuple[int, ...]
    watts: FloatArray
    base: ComplexArray
    volts: ComplexArray
    tangent: ComplexArray
    good: BoolArray


@dataclass(frozen=True)
class Layout:
    """Where the criteria look in any network of one circuit and one set of criteria: found once, by places.

    `three_phase` (k, 3) nodes of every watched three-phase bus; `row_first`: the first monitored row of each element.
    """

    watched: Names
    three_phase: NDArray[np.int64]
    three_phase_names: tuple[str, ...]
    phase_nodes: NDArray[np.int64]
    phase_names: Names
    rapid_most: FloatArray
    regulators: tuple[Regulator, ...]
    regulated: NDArray[np.int64]
    row_first: NDArray[np.int64]
    row_names: tuple[str, ...]
    reverse: tuple[tuple[str, NDArray[np.int64], float], ...]


def layout(network: Network, watching: Watch, found: Devices) -> Layout:
    """Return where the criteria look; every network of the same circuit has the same places."""
    settings, rows, index = watching.settings, network.rows, network.index()
    triples, names = _three_phase_buses(network, watching)
    phase_nodes = np.flatnonzero(network.phase_node)
    known = tuple(item for item in found.regulators if item.node in index and item.band_pu > 0.0)
    first = np.flatnonzero(np.diff(rows.element, prepend=-1))
    reverse = []
    head = found.bank or found.head
    if head is not None:
        label = f"bank {head}" if found.bank else "feeder head"
        reverse.append(
            (label, np.flatnonzero(rows.element == rows.names.index(head)), float(settings.reverse_power_w or 0))
        )
    cannot = {item.element: item for item in found.regulators if not item.reversible and item.element in rows.names}
    for element, item in sorted(cannot.items()):
        mine = np.flatnonzero(rows.element == rows.names.index(element))
        reverse.append((item.name, mine, float(settings.reverse_regulator_w or 0)))
    return Layout(
        Names(network.nodes, watching.watched_nodes), triples, names, phase_nodes, Names(network.nodes, phase_nodes),
        np.where(network.medium_voltage[phase_nodes], settings.rapid_change_pu, settings.rapid_change_lv_pu)[:, None],
        known, np.array([index[item.node] for item in known], dtype=np.int64), first,
        tuple(rows.names[item] for item in rows.element[first]), tuple(reverse),
    )  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A site and the criteria bound to one network."""

    network: Network
    watching: Watch
    layout: Layout
    site: Candidates
    export_w: float = 0.0
    volt_watt: tuple[tuple[float, float], ...] = ()

    @property
    def settings(self) -> CriteriaSettings:
        """Return the criteria."""
        return self.watching.settings

    def no_worse(self, limit: FloatArray, base: FloatArray, slack: float, *, at_least: bool = False) -> FloatArray:
        """Return the limit as the rule has it, given the base state's own value."""
        if self.settings.rule == "strict":
            return np.broadcast_to(limit, base.shape)
        return np.minimum(limit, base - slack) if at_least else np.maximum(limit, base + slack)


def point_at(group: HourGroup, site: Candidates, watts: FloatArray) -> Point:
    """Return the group's hours with the site at `watts` (hours,), import positive."""
    volts, tangent, good = group.at(site, watts)
    count = len(group.hours)
    return Point(group.hours, watts, group.volts[:, :count], volts, tangent, good)


# -- the criteria, one function each ------------------------------------------------------------------------------------


def undervoltage(scene: Scene, point: Point) -> Judged:
    """Voltage of every watched node above the lower limit, per unit."""
    base, now = _watched(scene, point)
    limit = scene.no_worse(np.array(scene.settings.v_low_pu), base, scene.settings.slack_pu, at_least=True)
    return Judged("undervoltage", "pu", now, limit, scene.layout.watched, at_least=True)


def overvoltage(scene: Scene, point: Point) -> Judged:
    """Voltage of every watched node below the upper limit, per unit."""
    base, now = _watched(scene, point)
    limit = scene.no_worse(np.array(scene.settings.v_high_pu), base, scene.settings.slack_pu)
    return Judged("overvoltage", "pu", now, limit, scene.layout.watched)


def thermal(scene: Scene, point: Point) -> Judged:
    """Terminal-1 current of every element that carries the site's power, per unit of its normal amps."""
    rows, first = scene.network.rows, scene.layout.row_first
    amps = rows.amps[rows.element[first]][:, None]
    base, now, move = (
        np.maximum.reduceat(np.abs(row_currents(scene.network, item)), first, axis=0)
        for item in (point.base, point.volts, point.tangent)
    )
    share2 = scene.watching.share2[first][:, None]
    counts = np.broadcast_to(move**2 * share2 > 1.0, now.shape) if (share2 > 0.0).any() else None
    limit = scene.no_worse(np.array(scene.settings.thermal_pu), base / amps, scene.settings.slack_pu)
    return Judged("thermal", "pu", now / amps, limit, scene.layout.row_names, counts=counts)


def reverse_power(scene: Scene, point: Point) -> Judged:
    """Power back through the bank (or head), and through each regulator whose control does not know reverse flow, W."""
    entries, shape = scene.layout.reverse, (len(scene.layout.reverse), len(point.hours))
    back, base = (
        -np.array([rows_watts(scene.network, rows, volts) for _, rows, _ in entries]).reshape(shape)
        for volts in (point.volts, point.base)
    )
    limit = scene.no_worse(np.array([entry[2] for entry in entries]).reshape(-1, 1), base, 1.0)
    return Judged("reverse_power", "W", back, limit, tuple(item[0] for item in entries))


def upstream(scene: Scene, point: Point) -> Judged:
    """Power into the feeder at its head inside what the network above allows in that hour, W."""
    settings, head = scene.settings, scene.network.head_va
    now, base = head(point.volts).real, head(point.base).real
    value, limit, names = [], [], []
    for name, series, sign in (("import", settings.upstream_import_w, 1.0), ("export", settings.upstream_export_w, -1.0)):
        if series:
            value.append(sign * now)
            most = np.array([float(series[hour % len(series)]) for hour in point.hours])
            limit.append(scene.no_worse(most, sign * base, 1.0))
            names.append(f"upstream {name}")
    shape = (len(names), len(point.hours))
    return Judged("upstream", "W", np.array(value).reshape(shape), np.array(limit).reshape(shape), tuple(names))


def unbalance(scene: Scene, point: Point) -> Judged:
    """Largest deviation of a line-to-line voltage from the mean of the three, per unit of the mean, at every watched
    three-phase bus (the definition of NEMA MG 1)."""
    triples = scene.layout.three_phase
    base, now = _unbalance(point.base, triples), _unbalance(point.volts, triples)
    limit = scene.no_worse(np.array(scene.settings.unbalance_pu or DEFAULT_UNBALANCE_PU), base, scene.settings.slack_pu)
    return Judged("unbalance", "pu", now, limit, scene.layout.three_phase_names)


def regulator_band(scene: Scene, point: Point) -> Judged:
    """How far the site moves each regulated voltage with the taps at rest, per unit, against a share of the bandwidth."""
    known, nodes = scene.layout.regulators, scene.layout.regulated
    nominal = scene.network.base_v[nodes][:, None]
    moved = np.abs(np.abs(point.volts[nodes]) - np.abs(point.base[nodes])) / nominal
    share = scene.settings.regulator_band_share or DEFAULT_BAND_SHARE
    limit = np.broadcast_to(np.array([item.band_pu * share for item in known]).reshape(-1, 1), moved.shape)
    return Judged("regulator_band", "pu", moved, limit, tuple(item.name for item in known))


def rapid_change(scene: Scene, point: Point, other: ComplexArray | None = None) -> Judged:
    """Voltage change of a step from nothing (or from `other` voltages) to this point, taps at rest: 3 % of nominal on
    medium and 5 % on low voltage."""
    nodes, before = scene.layout.phase_nodes, point.base if other is None else other
    change = np.abs(np.abs(point.volts[nodes]) - np.abs(before[nodes])) / scene.network.base_v[nodes][:, None]
    most = np.broadcast_to(scene.layout.rapid_most, change.shape)
    return Judged("rapid_change", "pu", change, most, scene.layout.phase_names)


def volt_watt(scene: Scene, point: Point) -> Judged:
    """Exported power inside what the site's volt-watt curve leaves it at its own voltage, W: beyond is curtailed."""
    nodes = scene.site.nodes[0][scene.site.nodes[0] >= 0]
    volts = (np.abs(point.volts[nodes]) / scene.network.base_v[nodes][:, None]).max(axis=0)
    curve = np.array(scene.volt_watt)
    left = scene.export_w * np.interp(volts, curve[:, 0], curve[:, 1])
    return Judged("volt_watt", "W", np.maximum(-point.watts, 0.0)[None, :], left[None, :], ("the site's inverters",))


Criterion = Callable[[Scene, Point], Judged]
CRITERIA: dict[str, Criterion] = {
    "undervoltage": undervoltage, "overvoltage": overvoltage, "thermal": thermal, "reverse_power": reverse_power,
    "upstream": upstream, "unbalance": unbalance, "regulator_band": regulator_band, "rapid_change": rapid_change,
    "volt_watt": volt_watt,
}  # fmt: skip
IN_THE_SEARCH = ("undervoltage", "overvoltage", "thermal")


def in_use(scene: Scene) -> dict[str, bool]:
    """Return each criterion, and whether it limits the site (the others are judged and shown)."""
    settings = scene.settings
    return {
        "undervoltage": True,
        "overvoltage": True,
        "thermal": True,
        "reverse_power": settings.reverse_power_w is not None or settings.reverse_regulator_w is not None,
        "upstream": bool(settings.upstream_import_w or settings.upstream_export_w),
        "unbalance": settings.unbalance_pu is not None,
        "regulator_band": settings.regulator_band_share is not None,
        "rapid_change": False,  # it asks for a ramp limit, never for less power
        "volt_watt": bool(scene.volt_watt),
    }


def extras(scene: Scene) -> tuple[str, ...]:
    """Return the criteria that limit the site and that the compiled search does not know."""
    return tuple(name for name, used in in_use(scene).items() if used and name not in IN_THE_SEARCH)


# -- inside -------------------------------------------------------------------------------------------------------------


def _watched(scene: Scene, point: Point) -> tuple[FloatArray, FloatArray]:
    nodes = scene.watching.watched_nodes
    base_v = scene.network.base_v[nodes][:, None]
    return np.abs(point.base[nodes]) / base_v, np.abs(point.volts[nodes]) / base_v


def rows_watts(network: Network, mine: NDArray[np.int64], volts: ComplexArray) -> FloatArray:
    """Return the power into an element's first terminal, W, given its monitored rows, for `volts` (n, hours)."""
    rows, into = network.rows, np.zeros(volts.shape[1], dtype=complex)
    for row in mine:
        some = slice(rows.start[row], rows.start[row + 1])
        current = rows.coefficient[some] @ volts[rows.node[some]]
        into += volts[rows.own[row]] * current.conj()
    return into.real


def _three_phase_buses(network: Network, watching: Watch) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the nodes (k, 3) of every watched bus with three phases, and the buses' names."""
    by_bus: dict[str, dict[str, int]] = {}
    for place in watching.watched_nodes:
        bus, phase = network.nodes[place].rsplit(".", 1)
        by_bus.setdefault(bus, {})[phase] = int(place)
    whole = {bus: phases for bus, phases in by_bus.items() if {"1", "2", "3"} <= set(phases)}
    triples = np.array([[phases[k] for k in "123"] for phases in whole.values()], dtype=np.int64).reshape(-1, 3)
    return triples, tuple(whole)


def _unbalance(volts: ComplexArray, triples: NDArray[np.int64]) -> FloatArray:
    a, b, c = (volts[triples[:, phase]] for phase in range(3))
    lines = np.abs(np.stack([a - b, b - c, c - a]))
    mean = lines.mean(axis=0)
    deviation: FloatArray = np.abs(lines - mean).max(axis=0) / mean
    return deviation
