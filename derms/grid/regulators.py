"""Three ways of holding regulators and capacitors while a site's power is tried, and the worst of them.

*Frozen*: as the hour settled without the site: a site faster than any tap. *Edge*: the taps as far down (import) or up
(export) as the regulators' band lets them rest: the worst that the site can meet. *Free*: OpenDSS settles the controls
anew at every power: a site slower than the taps. Frozen and edge are found on arrays, free in OpenDSS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from derms.errors import InputError, NotConverged
from derms.grid.capacity import RESOLUTION_W, participating_criteria
from derms.grid.criteria import Criteria
from derms.grid.devices import devices
from derms.grid.existing import cases, injections
from derms.grid.opendss import Circuit, Injection, Snapshot
from derms.grid.search import furthest
from derms.grid.site_year import SiteStudy, fast_engine
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import HourLimit, Slice

SIDES = (("import", 1.0), ("export", -1.0))
STEP_ROOM = 1.3
"""The narrowed band, in tap steps: wide enough that a tap position always lies inside it."""


@contextmanager
def band_edge(circuit: Circuit, side: str) -> Iterator[None]:
    """Hold every regulator at one edge of its band while inside: the lower for import, the upper for export.

    The band shrinks to little more than one tap step at that edge; settings are put back afterwards.
    """
    dss = circuit.engine
    controls, kept = dss.RegControls, []
    for name in [str(item) for item in controls.AllNames()] if controls.Count() else []:
        controls.Name(name)
        volts, band = float(controls.ForwardVreg()), float(controls.ForwardBand())
        dss.Transformers.Name(str(controls.Transformer()))
        dss.Transformers.Wdg(int(controls.Winding()))
        step = (float(dss.Transformers.MaxTap()) - float(dss.Transformers.MinTap())) / max(
            int(dss.Transformers.NumTaps()), 1
        )
        narrow = min(STEP_ROOM * step * volts, band)
        kept.append((name, volts, band))
        controls.ForwardVreg(volts - 0.5 * (band - narrow) if side == "import" else volts + 0.5 * (band - narrow))
        controls.ForwardBand(narrow)
    try:
        yield
    finally:
        for name, volts, band in kept:
            controls.Name(name)
            controls.ForwardVreg(volts)
            controls.ForwardBand(band)


def edge_limit(circuit: Circuit, request: StudyRequest, hour: int, side: str) -> HourLimit:
    """Return an hour's limits with the regulators resting at the edge of their band that is worst for `side`."""
    engine = fast_engine(circuit, request.existing)
    with band_edge(circuit, side):
        circuit.settle(hour, read=False)
    group = engine.present(hour)
    one = replace(request, export_w=0) if side == "import" else replace(request, import_w=0)
    found = SiteStudy(circuit, one)
    found.add(group)
    return found.found[0]


def free_limit(circuit: Circuit, request: StudyRequest, hour: int, side: str, criteria: Criteria) -> tuple[int, str, str]:
    """Return watts, criterion and element of an hour with the controls settling anew at every power.

    Voltage, thermal and reverse power at the head, at unity or fixed power factor; by OpenDSS itself. Raises InputError
    for a site with volt-var.
    """
    if request.inverter != "unity":
        raise InputError("free regulators are studied at a fixed power factor", where="inverter", remedy="Take unity.")
    asked, sign = getattr(request, f"{side}_w"), dict(SIDES)[side]
    others: list[Injection] = []
    reactive = asked * (1.0 / request.power_factor**2 - 1.0) ** 0.5

    def at(fraction: float) -> Snapshot:
        power = Injection(request.bus, request.phases, sign * asked * fraction, reactive * fraction)
        return circuit.settle(hour, injections=[power, *others])

    answers = []
    for case in cases(request.existing):
        others = injections(request.existing, case)
        base = circuit.settle(hour, injections=others)
        found = furthest(at, base, base, criteria, resolution=RESOLUTION_W / asked)
        answers.append((int(asked * found.fraction), found.criterion, found.element))
    return min(answers, key=lambda answer: answer[0])


def study_hours_by_mode(
    circuit: Circuit, request: StudyRequest, hours: Sequence[int], *,
    progress: Callable[[int, int], None] | None = None, cancelled: Callable[[], bool] | None = None,
) -> Slice:  # fmt: skip
    """Study some hours with regulators at the edge, free, or the worst of all three, hour by hour.

    Where a feeder has no regulator and no switched capacitor, all three are the same and one search serves.
    """
    from derms.grid.site_year import study_hours_on_arrays

    frozen = study_hours_on_arrays(circuit, replace(request, regulators="frozen"), hours, cancelled=cancelled)
    if not has_controls(circuit):
        return frozen
    criteria = participating_criteria(circuit, request)
    study, found = SiteStudy(circuit, request), []
    study.notes.take(frozen.notes)
    for count, known in enumerate(frozen.hours):
        if cancelled is not None and cancelled():
            break
        limits = {}
        for side, _ in SIDES:
            if getattr(request, f"{side}_w"):
                limits[side], mode = _by_mode(circuit, request, known, side, criteria)
                study.notes.mode(side, mode)
            else:
                limits[side] = (0, "", "")
        found.append(
            HourLimit(
                known.hour, limits["import"][0], limits["export"][0], *limits["import"][1:], *limits["export"][1:],
                known.head_w,
            )
        )  # fmt: skip
        if progress is not None:
            progress(count + 1, len(hours))
    return Slice(tuple(found), frozen.violations, frozen.steps, study.notes.to_dict())


def _by_mode(
    circuit: Circuit, request: StudyRequest, known: HourLimit, side: str, criteria: Criteria
) -> tuple[tuple[int, str, str], str]:
    """Return an hour's limit as the request holds the regulators, and which mode gave it."""
    wanted = ("edge",) if request.regulators == "edge" else ("free",) if request.regulators == "free" else (
        "frozen", "edge", "free",
    )  # fmt: skip
    found = modes(circuit, request, known, side, criteria, wanted)
    least = min(found.values(), key=lambda limit: limit[0])
    return least, least_of(found)


def least_of(found: Mapping[str, tuple[int, str, str]]) -> str:
    """Return the mode of the least limit; of those within the search's resolution the first of frozen, edge, free."""
    least = min(limit[0] for limit in found.values())
    return next(name for name, limit in found.items() if limit[0] <= least + 2 * RESOLUTION_W)


def modes(
    circuit: Circuit, request: StudyRequest, known: HourLimit, side: str, criteria: Criteria, wanted: Sequence[str]
) -> Mapping[str, tuple[int, str, str]]:
    """Return watts, criterion and element of one hour and side in each of the wanted modes; `known`: the frozen one."""
    found: dict[str, tuple[int, str, str]] = {}
    for name in wanted:
        try:
            if name == "frozen":
                found[name] = _of(known, side)
            elif name == "edge":
                found[name] = _of(edge_limit(circuit, request, known.hour, side), side)
            else:
                found[name] = free_limit(circuit, request, known.hour, side, criteria)
        except NotConverged:
            # Controls that hunt for ever give no state: what cannot be shown to hold is not given.
            found[name] = (0, "convergence", "controls")
    return found


def has_controls(circuit: Circuit) -> bool:
    """Say whether anything on the feeder moves with the voltage."""
    return bool(devices(circuit).regulators) or bool(circuit.engine.CapControls.Count())


def _of(limit: HourLimit, side: str) -> tuple[int, str, str]:
    return getattr(limit, f"{side}_w"), getattr(limit, f"{side}_criterion"), getattr(limit, f"{side}_element")
