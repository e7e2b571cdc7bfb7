"""Hosting capacity hour by hour: the largest import and export of one site that keep every criterion.

For each hour: a base state with controls settled as OpenDSS settles them, then taps and capacitors held, and the
furthest power in each direction: by the fast engine on arrays (`site_year`), or by `search.furthest` in OpenDSS itself
(`engine="opendss"`), which is the reference. Firm is the least over all hours; flexible is the surface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.grid.criteria import Criteria
from derms.grid.curtailment import SCALES, curtailment
from derms.grid.existing import cases, injections
from derms.grid.opendss import Circuit, Injection, Snapshot
from derms.grid.search import Found, furthest
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import HourLimit, Slice, StudyResult, merge, note_violations

SLICE_HOURS = 288
RESOLUTION_W = 500.0
"""How finely the furthest power is found; the answer is rounded down to whole watts of a solved, good point."""
Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


def slices(hours: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the hours in the slices that a study is always done in: who does which changes nothing."""
    return [hours[start : start + SLICE_HOURS] for start in range(0, len(hours), SLICE_HOURS)]


def _further(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


def study(
    circuit: Circuit,
    request: StudyRequest,
    *,
    model_sha256: str = "",
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> StudyResult:
    """Study all hours of the request on one circuit; raises InputError or NotConverged."""
    parts, done = [], 0
    for hours in slices(request.hours):
        report = None if progress is None else _further(progress, done, len(request.hours))
        parts.append(study_hours(circuit, request, hours, progress=report, cancelled=cancelled))
        done += len(hours)
    whole = merge(request, parts, findings=electrical_findings(circuit), model_sha256=model_sha256)
    return close(circuit, whole)


def close(circuit: Circuit, result: StudyResult) -> StudyResult:
    """Return the result with what is looked at once (see `closing.closing`), and with curtailment of the need."""
    if not closes(result.request):
        return result
    from derms.grid.closing import closing

    closed = replace(result, closing=closing(circuit, result.request, result.worst_hours()))
    years = {}
    for request in scaled(result.request):
        parts = [study_hours(circuit, request, hours) for hours in slices(request.hours)]
        years[request.load_scale] = merge(request, parts)
    return with_curtailment(closed, years)


def closes(request: StudyRequest) -> bool:
    """Say whether a study is closed with a look at its binding hours."""
    return request.engine == "arrays" and request.load_scale == 1.0


def scaled(request: StudyRequest) -> list[StudyRequest]:
    """Return the same study at the other load scales that curtailment wants; none where no need is given."""
    if request.need is None:
        return []
    return [replace(request, load_scale=scale, need=None, regulators="frozen") for scale in SCALES if scale != 1.0]


def with_curtailment(result: StudyResult, years: Mapping[float, StudyResult]) -> StudyResult:
    """Return the result with the curtailment of its need; `years`: the results of `scaled` by load scale."""
    need = result.request.need
    if need is None:
        return result
    limits = {scale: _limits_of(year) for scale, year in {**years, 1.0: result}.items()}
    found = curtailment(need, limits, (result.request.import_w, result.request.export_w))
    return replace(result, closing={**result.closing, "curtailment": found})


def _limits_of(result: StudyResult) -> NDArray[np.float64]:
    return np.array([(hour.import_w, hour.export_w) for hour in result.hours], dtype=np.float64)


def study_hours(
    circuit: Circuit,
    request: StudyRequest,
    hours: Sequence[int],
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Slice:
    """Study some hours of a request; slices of one request may run on different circuits of the same model.

    An hour whose base state has no solution ends the study with NotConverged: it is no limit, and not zero either.
    """
    circuit.bus(request.bus, request.phases)
    for site in request.existing:
        circuit.bus(site.bus, site.phases)
    if request.engine == "arrays":
        # The kernels are loaded only where they are used.
        if request.regulators != "frozen":
            from derms.grid.regulators import study_hours_by_mode

            return study_hours_by_mode(circuit, request, hours, progress=progress, cancelled=cancelled)
        from derms.grid.site_year import study_hours_on_arrays

        return study_hours_on_arrays(circuit, request, hours, progress=progress, cancelled=cancelled)
    criteria = participating_criteria(circuit, request)
    found: list[HourLimit] = []
    violations: dict[str, dict[str, Any]] = {}
    for count, hour in enumerate(hours):
        if cancelled is not None and cancelled():
            break
        base = circuit.settle(hour)
        note_violations(violations, criteria.violations(base), hour)
        found.append(_one_hour(circuit, request, criteria, base, hour))
        if progress is not None:
            progress(count + 1, len(hours))
    return Slice(tuple(found), violations)


def participating_criteria(circuit: Circuit, request: StudyRequest) -> Criteria:
    """Return the request's criteria on the elements that carry its power; every slice finds the same ones."""
    criteria = Criteria(circuit, request.criteria)
    base = circuit.settle(request.hours[0])
    trial_w = 0.1 * max(request.import_w, request.export_w)
    trials = [(circuit.solve([Injection(request.bus, request.phases, sign * trial_w)]), trial_w) for sign in (1.0, -1.0)]
    criteria.participate(base, trials)
    return criteria


def _one_hour(circuit: Circuit, request: StudyRequest, criteria: Criteria, base: Snapshot, hour: int) -> HourLimit:
    limits: dict[str, tuple[int, str, str]] = {}
    for side, asked, sign in (("import", request.import_w, 1.0), ("export", request.export_w, -1.0)):
        if asked == 0:
            limits[side] = (0, "", "")
            continue
        whole = sign * asked
        full = Injection(request.bus, request.phases, whole, whole * float(np.tan(np.arccos(request.power_factor))))
        answers = [_furthest_in(circuit, request, criteria, base, full, case) for case in cases(request.existing)]
        answer = min(answers, key=lambda item: item.fraction)
        # The nano-fraction keeps a whole request whole; below it the product rounds down.
        limits[side] = (int(asked * answer.fraction), answer.criterion, answer.element)
    return HourLimit(
        hour,
        limits["import"][0],
        limits["export"][0],
        limits["import"][1],
        limits["import"][2],
        limits["export"][1],
        limits["export"][2],
        round(base.head_w),
    )


def _furthest_in(
    circuit: Circuit, request: StudyRequest, criteria: Criteria, settled: Snapshot, full: Injection, case: str
) -> Found:
    """Return how far towards `full` the site gets in a case of the sites that are there already."""
    others = injections(request.existing, case)
    base = circuit.solve(others) if others else settled

    def at(fraction: float) -> Snapshot:
        return circuit.solve([replace(full, p_w=full.p_w * fraction, q_var=full.q_var * fraction), *others])

    return furthest(at, base, base, criteria, resolution=RESOLUTION_W / abs(full.p_w))


def electrical_findings(circuit: Circuit) -> tuple[str, ...]:
    """Return what a reader of the answer must know about the model itself."""
    findings = []
    defaults = [element for element in circuit.elements if element.rating_origin == "default"]
    if defaults:
        findings.append(
            f"{len(defaults)} lines state no rating: OpenDSS's default counts "
            f"({defaults[0].normal_amps:g} A, first {defaults[0].name})"
        )
    if circuit.widened:
        low, high = circuit.load_bands
        findings.append(
            f"{circuit.widened} loads keep their law from {low:g} to {high:g} pu: their own band ends at the voltage "
            "limits of the study, where a load jumps and two answers are valid"
        )
    if circuit.islands:
        findings.append(f"{len(circuit.islands)} nodes are not energised (first {circuit.islands[0]})")
    if circuit.hours == 1:
        findings.append("the loads have no yearly shape: there is only one hour to study")
    return tuple(findings)
