"""What if: one site, one power each way, some hours, an inverter setting; answered while the reader waits.

For each direction: the largest power that every hour allows and what stops it, every criterion's worst margin at the
power asked for, the largest passing power, the nearest inverter setting that passes, and the voltages along the feeder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from derms.errors import NotConverged
from derms.grid.devices import devices
from derms.grid.electrical_distance import distance_of_nodes
from derms.grid.fast import FastEngine, HourGroup
from derms.grid.hosting import TOLERANCE_W, name_of, one_bus, watch
from derms.grid.judge import CRITERIA, Judged, Layout, Point, Scene, in_use, layout, point_at, rapid_change
from derms.grid.notes import NOISE
from derms.grid.opendss import Circuit
from derms.grid.protection import protection
from derms.grid.site_year import fast_engine
from derms.grid.study_request import INVERTERS, StudyRequest
from derms.grid.tighten import tighten

SIDES = (("import", 1.0), ("export", -1.0))
FURTHER = 2.0
"""The largest power is looked for up to this many times the one asked for: a slider finds its end without a new call."""
MOST_PROFILE_NODES = 4000
KEPT_HOUR_SETS = 4


def what_if(circuit: Circuit, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a site may do, how near each criterion is, and what would pass.

    `arguments["request"]`: a `StudyRequest.to_dict()`: bus, phases, `import_w` and `export_w` (watts, magnitudes at the
    point of common coupling), `hours` (0-based study hours), `criteria`, `power_factor`, `inverter` (see
    `study_request.INVERTERS`), `existing` (see `existing`). Raises InputError for a bus or phase that the feeder does not
    have, NotConverged where an hour has no solution even without the site.

    The answer, plain data, kilowatts rounded down to 0.1:

    - `import`, `export` (only what is asked for): `asked_kw`, `passes`; `largest_kw` (up to `searched_to_kw`) with `hour`,
      `criterion`, `element` of the binding constraint; `criteria`: one entry each with `criterion`, `unit`, `value`,
      `limit`, `margin` (negative is broken), `element`, `hour` of the worst hour at the asked power, `in_use`, `passes`;
      `hourly`: `hour`, `kw`; `profile`: the worst hour's voltages at the asked power by electrical distance: `hour` and
      `nodes`, each [node, path impedance in % on 1 MVA, km or None, pu without the site, pu with it];
      `non_monotone_hours`: hours in which more power than the limit would hold again.
    - `passing`: `kw` (the largest power that passes each way as the inverter is set) and `inverters`: the settings in order
      of closeness, each with `inverter`, `import_kw`, `export_kw`, `passes`; `nearest`: the first that passes, or None.
    - `protection`: fault-current rise, interrupting duty and loss of reach at the export asked for (see `protection`).
    - `rapid_change`: the worst step at the asked powers, nothing to import, nothing to export and full reversal, each with
      `pu`, `bus`, `hour`, and the largest step in kW that keeps the criterion, `ramp_kw_per_s` (None: none is needed).
    - `existing`: the sites that are there already and count, where there are any (see `existing`).
    """
    request = StudyRequest.from_dict(arguments["request"])
    circuit.bus(request.bus, request.phases)
    for there in request.existing:
        circuit.bus(there.bus, there.phases)
    engine = fast_engine(circuit, request.existing)
    alone = hour_groups(engine, request.hours)
    groups = [case for group in alone for case in engine.with_existing(group, request.existing)]
    asked = {"import": request.import_w, "export": request.export_w}
    wanted = [(side, sign) for side, sign in SIDES if asked[side]]
    found = _Answer(circuit, request, groups)
    answer: dict[str, Any] = {side: found.side(side, sign) for side, sign in wanted}
    answer["rapid_change"] = found.rapid_changes()
    first = groups[0]
    site = found.scene(first).site
    answer["protection"] = [
        item.to_dict()
        for item in protection(first.network, devices(circuit), request.criteria, site, float(request.export_w))
    ]
    answer["passing"] = _passing(found, answer, wanted)
    answer["hours"] = len(request.hours)
    answer["inverter"] = request.inverter
    if request.existing:
        answer["existing"] = [site.to_dict() for site in request.existing]
    return answer


def hour_groups(engine: FastEngine, hours: Sequence[int]) -> list[HourGroup]:
    """Return the base states of some hours, kept from the last questions: a slider asks for the same ones again."""
    kept: dict[Any, list[HourGroup]] = engine.circuit.kept.setdefault("what_if_hours", {})
    key = (engine.places, tuple(hours))
    if key not in kept:
        groups = list(engine.year(hours))
        if sum(len(group.hours) for group in groups) != len(hours):
            raise NotConverged("hours are missing from the base states", where="hours")
        while len(kept) >= KEPT_HOUR_SETS:
            kept.pop(next(iter(kept)))
        kept[key] = groups
    return kept[key]


class _Answer:
    """One inverter setting's answer over all groups."""

    def __init__(
        self, circuit: Circuit, request: StudyRequest, groups: Sequence[HourGroup], like: _Answer | None = None
    ) -> None:
        self.circuit, self.request, self.groups = circuit, request, groups
        self._found = devices(circuit)
        self._layout: Layout | None = None if like is None else like._layout
        self._scenes: dict[int, Scene] = {}
        self._points: dict[tuple[str, int], Point] = {}
        further = FURTHER if request.inverter == "unity" else 1.0
        self.cap = (further * request.import_w, further * request.export_w)
        self._limits: list[tuple[np.ndarray, list[list[tuple[str, str]]], np.ndarray]] | None = None

    def scene(self, group: HourGroup) -> Scene:
        """Return the site and criteria bound to a group's network."""
        key = id(group.network)
        if key not in self._scenes:
            request = self.request
            site = one_bus(group.network, request.bus, request.phases, power_factor=request.power_factor)
            if request.volt_var():
                site = replace(site, volt_var=np.array(request.volt_var()))
            bound = watch(group.network, request.criteria, head=self._found.head)
            if self._layout is None:
                self._layout = layout(group.network, bound, self._found)
            self._scenes[key] = Scene(
                group.network, bound, self._layout, site, float(request.export_w), request.volt_watt_curve()
            )
        return self._scenes[key]

    def limits(self) -> list[tuple[np.ndarray, list[list[tuple[str, str]]], np.ndarray]]:
        """Return for each group watts (2, hours), what stops each, and where more would hold again."""
        if self._limits is None:
            self._limits = [self._group_limits(group) for group in self.groups]
        return self._limits

    def _group_limits(self, group: HourGroup) -> tuple[np.ndarray, list[list[tuple[str, str]]], np.ndarray]:
        scene = self.scene(group)
        limits = group.limits(scene.watching, scene.site, self.cap, probe=True)
        inside = tighten(group, scene, limits, self.cap, TOLERANCE_W)
        names = [
            [
                inside.stopped[side][lane]
                if inside.stopped[side][lane][0]
                else name_of(group.network, scene.watching, int(limits.code[side, lane]))
                for lane in range(len(group.hours))
            ]
            for side in (0, 1)
        ]
        return inside.watts, names, limits.odd

    def point(self, side: str, sign: float, place: int) -> Point:
        """Return a group's point at the power asked for."""
        if (side, place) not in self._points:
            group = self.groups[place]
            watts = np.full(len(group.hours), sign * getattr(self.request, f"{side}_w"))
            self._points[side, place] = point_at(group, self.scene(group).site, watts)
        return self._points[side, place]

    def side(self, side: str, sign: float) -> dict[str, Any]:
        """Return one direction's answer."""
        row = 0 if sign > 0 else 1
        asked = getattr(self.request, f"{side}_w")
        least: dict[int, tuple[float, tuple[str, str], int]] = {}
        holes: set[int] = set()
        for place, (group, (watts, names, odd)) in enumerate(zip(self.groups, self.limits(), strict=True)):
            for lane, hour in enumerate(group.hours):
                if hour not in least or watts[row, lane] < least[hour][0]:
                    least[hour] = (float(watts[row, lane]), names[row][lane], place)
                if odd[row, lane]:
                    holes.add(hour)
        hour = min(least, key=lambda item: (least[item][0], item))
        watts_least, (criterion, element), where = least[hour]
        table = self._criteria(side, sign)
        return {
            "asked_kw": asked / 1000,
            "passes": watts_least >= asked,
            "largest_kw": int(watts_least) // 100 / 10,
            "searched_to_kw": self.cap[row] / 1000,
            "hour": hour,
            "criterion": criterion,
            "element": element,
            "criteria": table,
            "hourly": {"hour": sorted(least), "kw": [int(least[item][0]) // 100 / 10 for item in sorted(least)]},
            "non_monotone_hours": sorted(holes),
            "profile": self._profile(side, sign, hour, where),
        }

    def _criteria(self, side: str, sign: float) -> list[dict[str, Any]]:
        """Return every criterion's worst hour at the power asked for."""
        worst: dict[str, tuple[float, dict[str, Any]]] = {}
        solved = True
        for place, group in enumerate(self.groups):
            point, scene = self.point(side, sign, place), self.scene(group)
            solved = solved and bool(point.good.all())
            for name, used in in_use(scene).items():
                if name == "volt_watt" and (sign > 0 or not used):
                    continue
                judged = CRITERIA[name](scene, point)
                if not judged.value.size:
                    continue
                entry = _worst_entry(judged, point, used)
                if entry is not None and (name not in worst or entry[0] < worst[name][0]):
                    worst[name] = entry
        found = [entry for _, entry in worst.values()]
        if not solved:
            found.insert(0, {
                "criterion": "convergence", "unit": "", "value": None, "limit": None, "margin": None,
                "element": "power flow", "hour": None, "in_use": True, "passes": False,
            })  # fmt: skip
        return found

    def _profile(self, side: str, sign: float, hour: int, place: int) -> dict[str, Any]:
        """Return the voltages along the feeder at the power asked for in a group's hour, without and with the site."""
        group, point = self.groups[place], self.point(side, sign, place)
        lane, network, watching = group.hours.index(hour), group.network, self.scene(group).watching
        distance, nodes = distance_of_nodes(self._found.distance, network), watching.watched_nodes
        if len(nodes) > MOST_PROFILE_NODES:
            nodes = nodes[:: -(-len(nodes) // MOST_PROFILE_NODES)]
        order = nodes[np.argsort(distance[nodes], kind="stable")]
        km = {name: bus.distance_km for name, bus in self.circuit.buses.items()}
        metered = any(km.values())
        before = np.abs(point.base[order, lane]) / network.base_v[order]
        after = np.abs(point.volts[order, lane]) / network.base_v[order]
        return {
            "hour": hour,
            "unit": "% on 1 MVA",
            "nodes": [
                [network.nodes[node], round(float(distance[node]), 4),
                 round(km[network.nodes[node].rsplit(".", 1)[0]], 3) if metered else None,
                 round(float(before[at]), 5), round(float(after[at]), 5)]
                for at, node in enumerate(order) if np.isfinite(distance[node])
            ],
        }  # fmt: skip

    def rapid_changes(self) -> dict[str, Any]:
        """Return the worst voltage step from nothing to each power, and from one to the other."""
        steps: dict[str, dict[str, Any]] = {}
        asked = {"import": float(self.request.import_w), "export": float(self.request.export_w)}
        for place, group in enumerate(self.groups):
            scene = self.scene(group)
            points = {side: self.point(side, sign, place) for side, sign in SIDES if asked[side]}
            cases: dict[str, tuple[Point, Any, float]] = {
                f"nothing_to_{side}": (point, None, asked[side]) for side, point in points.items()
            }
            if len(points) == 2:
                cases["reversal"] = (points["export"], points["import"].volts, asked["import"] + asked["export"])
            for name, (point, other, power) in cases.items():
                judged = rapid_change(scene, point, other)
                part = judged.value / judged.limit
                at = np.unravel_index(int(part.argmax()), part.shape)
                if name not in steps or part[at] > steps[name]["part"]:
                    most = power / float(part[at]) if part[at] > 0.0 else np.inf
                    steps[name] = {
                        "part": float(part[at]), "pu": round(float(judged.value[at]), 5),
                        "limit_pu": float(judged.limit[at]), "node": judged.names[int(at[0])],
                        "hour": point.hours[int(at[1])], "step_kw": power / 1000,
                        "largest_step_kw": int(most) // 100 / 10 if np.isfinite(most) else None,
                        "passes": bool(part[at] <= 1.0),
                    }  # fmt: skip
        needed = [item["largest_step_kw"] for item in steps.values() if not item["passes"]]
        for item in steps.values():
            item.pop("part")
        return {**steps, "ramp_kw_per_s": min(needed) if needed else None}


def _worst_entry(judged: Judged, point: Point, used: bool) -> tuple[float, dict[str, Any]] | None:
    margin, place = judged.worst()
    margin = np.where(point.good, margin, np.inf)
    lane = int(margin.argmin())
    if not np.isfinite(margin[lane]):
        return None
    digits = 6 if judged.unit == "pu" else 0
    which = (int(place[lane]), lane)
    return float(margin[lane]), {
        "criterion": judged.criterion, "unit": judged.unit, "value": round(float(judged.value[which]), digits),
        "limit": round(float(judged.limit[which]), digits), "margin": round(float(margin[lane]), digits),
        "element": judged.names[which[0]], "hour": point.hours[lane], "in_use": used,
        "passes": bool(margin[lane] >= -NOISE[judged.unit]),
    }  # fmt: skip


def _passing(found: _Answer, answer: Mapping[str, Any], wanted: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return the largest passing power as the inverter is set, and what each setting would let through."""
    circuit, request, groups = found.circuit, found.request, found.groups
    rest = [name for name in INVERTERS if name != request.inverter] if request.power_factor == 1.0 else []
    inverters = []
    for name in [request.inverter, *rest]:
        if name == request.inverter:
            limits = {side: answer[side]["largest_kw"] for side, _ in wanted}
            passes = all(answer[side]["passes"] for side, _ in wanted)
        else:
            other = _Answer(circuit, replace(request, inverter=name), groups, found)
            other.cap = (float(request.import_w), float(request.export_w))
            least = np.min([watts.min(axis=1) for watts, _, _ in other.limits()], axis=0)
            row = {"import": 0, "export": 1}
            limits = {side: int(least[row[side]]) // 100 / 10 for side, _ in wanted}
            passes = all(least[row[side]] >= getattr(request, f"{side}_w") for side, _ in wanted)
        inverters.append({"inverter": name, **{f"{side}_kw": kw for side, kw in limits.items()}, "passes": passes})
    nearest = next((item["inverter"] for item in inverters if item["passes"]), None)
    kw = {side: min(answer[side]["largest_kw"], answer[side]["asked_kw"]) for side, _ in wanted}
    return {"kw": kw, "inverters": inverters, "nearest": nearest}
