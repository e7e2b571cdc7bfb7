"""A study of one site on the fast engine: hours in the lanes, the same answer as the reference in a tenth of its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from derms.grid.devices import devices
from derms.grid.existing import ExistingSite, cases, places
from derms.grid.fast import FastEngine, HourGroup
from derms.grid.hosting import (
    EXPORT,
    IMPORT,
    TOLERANCE_W,
    Candidates,
    Limits,
    Watch,
    name_of,
    one_bus,
    row_currents,
    watch,
)  # fmt: skip
from derms.grid.judge import (
    CRITERIA,
    IN_THE_SEARCH,
    Layout,
    Point,
    Scene,
    in_use,
    layout,
    point_at,
)  # fmt: skip
from derms.grid.network import ComplexArray, FloatArray, Network
from derms.grid.notes import Notes
from derms.grid.opendss import Circuit
from derms.grid.protection import protection
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import HourLimit, Slice, note_violations
from derms.grid.tighten import Tightened, tighten


def fast_engine(circuit: Circuit, existing: Sequence[ExistingSite] = ()) -> FastEngine:
    """Return the circuit's fast engine, made on first use; one without sites and one for the last places that had some."""
    where = places(existing)
    key = "fast crowded" if where else "fast"
    engine: FastEngine | None = circuit.kept.get(key)
    if engine is None or engine.places != where:
        engine = circuit.kept[key] = FastEngine(circuit, where)
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
    engine = fast_engine(circuit, request.existing)
    site_study = SiteStudy(circuit, request, raised)
    for group in engine.year(hours, load_scale=request.load_scale):
        if cancelled is not None and cancelled():
            break
        site_study.add(group)
        if progress is not None:
            progress(len(site_study.found), len(hours))
    return site_study.slice()


class SiteStudy:
    """One site's limits, hour group after hour group, and what is noticed on the way."""

    def __init__(self, circuit: Circuit, request: StudyRequest, raised: Mapping[str, float] | None = None) -> None:
        self.circuit, self.request, self._raised = circuit, request, raised
        self._engine = fast_engine(circuit, request.existing)
        self.found: list[HourLimit] = []
        self.notes = Notes()
        self._violations: dict[str, dict[str, object]] = {}
        self._steps: dict[str, list[int]] = {}
        self._scenes: dict[int, Scene] = {}
        self._layout: Layout | None = None
        self._cap: tuple[float, float] = (float(request.import_w), float(request.export_w))
        self._capped_by = ("", "")

    def add(self, found_group: HourGroup) -> None:
        """Find the limits of a group's hours: the least over the cases of the sites that are there already."""
        groups = self._engine.with_existing(found_group, self.request.existing)
        if self._raised:
            rated = _with_ratings(found_group.network, self._raised)
            groups = [replace(group, network=rated) for group in groups]
        scene = self._scene(groups[0], id(found_group.network))
        heads = found_group.network.head_va(found_group.volts).real
        by_case, odd = [], np.zeros((2, len(found_group.hours)), dtype=bool)
        for group in groups:
            limits = group.limits(scene.watching, scene.site, self._cap, probe=True)
            inside = tighten(group, scene, limits, self._cap, TOLERANCE_W)
            odd |= limits.odd
            by_case.append([
                self._hour(group, scene, limits, inside, lane, hour, round(float(heads[lane])))
                for lane, hour in enumerate(group.hours)
            ])  # fmt: skip
        added = [self._least(rows) for rows in zip(*by_case, strict=True)]
        self.found += added
        for group in groups:
            self._note_steps(group, scene)
        self.notes.holes(found_group.hours, odd)
        self._judge(groups, scene, added)
        for hour, broken in _broken(groups, scene.watching):
            note_violations(self._violations, broken, hour)

    def _least(self, rows: Sequence[HourLimit]) -> HourLimit:
        """Return an hour's least limits over the cases, and count which case gave them."""
        if len(rows) == 1:
            return rows[0]
        least, names = {}, cases(self.request.existing)
        for side in ("import", "export"):
            which = min(range(len(rows)), key=lambda case: getattr(rows[case], f"{side}_w"))
            least[side] = rows[which]
            if getattr(rows[which], f"{side}_criterion"):
                self.notes.case(side, names[which])
        down, up = least["import"], least["export"]
        return HourLimit(
            rows[0].hour, down.import_w, up.export_w, down.import_criterion, down.import_element, up.export_criterion,
            up.export_element, rows[0].head_w,
        )  # fmt: skip

    def slice(self) -> Slice:
        """Return what was found, hours in order."""
        found = sorted(self.found, key=lambda item: item.hour)
        return Slice(tuple(found), self._violations, self._steps, self.notes.to_dict())

    def _scene(self, group: HourGroup, key: int) -> Scene:
        if key in self._scenes:
            return self._scenes[key]
        request, found = self.request, devices(self.circuit)
        bound = watch(group.network, request.criteria, head=found.head)
        site = one_bus(group.network, request.bus, request.phases, power_factor=request.power_factor)
        if request.volt_var():
            site = replace(site, volt_var=np.array(request.volt_var()))
        if self._layout is None:
            self._layout = layout(group.network, bound, found)
            self._protect(group.network, site)
        self._scenes[key] = Scene(
            group.network, bound, self._layout, site, float(request.export_w), request.volt_watt_curve()
        )
        return self._scenes[key]

    def _protect(self, network: Network, site: Candidates) -> None:
        """Cap the export at what protection in use allows: no hour changes that."""
        settings = self.request.criteria
        if self.request.export_w and (settings.fault_rise or settings.interrupting_share or settings.reach_loss):
            for item in protection(network, devices(self.circuit), settings, site, self._cap[1]):
                if item.in_use and item.limit_w < self._cap[1]:
                    self._cap = (self._cap[0], max(1.0, float(np.floor(item.limit_w))))
                    self._capped_by = (item.criterion, item.element)

    def _hour(
        self, group: HourGroup, scene: Scene, limits: Limits, inside: Tightened, lane: int, hour: int, head_w: int
    ) -> HourLimit:
        watts, names = [], []
        for side, asked in ((IMPORT, self.request.import_w), (EXPORT, self.request.export_w)):
            code, stopped = int(limits.code[side, lane]), inside.stopped[side][lane]
            cap = min(asked, int(self._cap[side]))
            if stopped[0]:
                watts.append(min(cap, int(inside.watts[side, lane])))
                names.append(stopped)
            elif code == -1:
                watts.append(cap)
                names.append(self._capped_by if cap < asked else ("", ""))
            else:
                watts.append(min(cap, int(limits.watts[side, lane])))
                names.append(name_of(group.network, scene.watching, code))
        return HourLimit(hour, watts[0], watts[1], *names[0], *names[1], head_w)

    def _note_steps(self, group: HourGroup, scene: Scene) -> None:
        """Keep the least of the largest steps: from nothing to import, to export, and from one to the other."""
        change = self.request.criteria.rapid_change_pu
        if not group.network.medium_voltage[scene.site.nodes[0, 0]]:
            change = self.request.criteria.rapid_change_lv_pu
        largest = group.largest_steps(scene.site, change, self._cap)
        note_steps(self._steps, group.hours, largest)

    def _judge(self, groups: Sequence[HourGroup], scene: Scene, added: Sequence[HourLimit]) -> None:
        """Judge the criteria that the search does not know at the limits found, and the swing from one to the other."""
        points: dict[str, list[Point]] = {}
        for side, sign in (("import", 1.0), ("export", -1.0)):
            watts = np.array([float(getattr(hour, f"{side}_w")) for hour in added])
            if not getattr(self.request, f"{side}_w"):
                continue
            points[side] = [point_at(group, scene.site, sign * watts) for group in groups]
            for name, used in in_use(scene).items():
                if name not in IN_THE_SEARCH and name != "rapid_change" and (name != "volt_watt" or used):
                    self.notes.judged(side, [(CRITERIA[name](scene, point), point) for point in points[side]], used)
        if len(points) == 2:
            for low, high in zip(points["import"], points["export"], strict=True):
                self._swing(scene, low.volts, high.volts, added)

    def _swing(self, scene: Scene, low: ComplexArray, high: ComplexArray, added: Sequence[HourLimit]) -> None:
        """Note the largest step of a full reversal that keeps the criterion at the site's own bus."""
        nodes = scene.site.nodes[0][scene.site.nodes[0] >= 0]
        nominal = scene.network.base_v[nodes][:, None]
        change = (np.abs(np.abs(high[nodes]) - np.abs(low[nodes])) / nominal).max(axis=0)
        settings = self.request.criteria
        most = settings.rapid_change_pu if scene.network.medium_voltage[nodes[0]] else settings.rapid_change_lv_pu
        for lane, hour in enumerate(added):
            whole = hour.import_w + hour.export_w
            step = int(whole * min(1.0, most / max(float(change[lane]), 1e-9)))
            if whole:
                self.notes.reversal(step, whole, hour.hour, float(change[lane]))


def _with_ratings(network: Network, raised: Mapping[str, float]) -> Network:
    factors = np.array([raised.get(name, 1.0) for name in network.rows.names])
    return replace(network, rows=replace(network.rows, amps=network.rows.amps * factors))


def note_steps(steps: dict[str, list[int]], hours: Sequence[int], watts: FloatArray) -> None:
    """Keep, each way, the least of the largest steps: [watts, hour]."""
    for row, side in enumerate(("import", "export")):
        for lane, hour in enumerate(hours):
            candidate = [int(watts[row, lane]), hour]
            steps[side] = min(steps.get(side, candidate), candidate)


def _broken(groups: Sequence[HourGroup], watching: Watch) -> Iterator[tuple[int, list[tuple[str, str, float]]]]:
    """Yield each hour with what its base state breaks in any of the cases: criterion, element, worst value (pu)."""
    worst: dict[int, dict[tuple[str, str], float]] = {}
    for group in groups:
        for hour, broken in _broken_in(group, watching):
            found = worst.setdefault(hour, {})
            for criterion, element, value in broken:
                pick = min if criterion == "undervoltage" else max
                found[criterion, element] = pick(found.get((criterion, element), value), value)
    for hour, entries in worst.items():
        yield hour, [(*key, value) for key, value in entries.items()]


def _broken_in(group: HourGroup, watching: Watch) -> Iterator[tuple[int, list[tuple[str, str, float]]]]:
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
