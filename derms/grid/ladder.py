"""The upgrade ladder: what binds, what mends it, how many kW that frees, and what binds then; searched, not asked for.

Each rung is a whole study with the rungs before it in place: first what costs a setting (the site's volt-var), then a
higher rating of the element that binds. The search ends when the request is firm, or what binds is not mended by a
known rung.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from derms.errors import InputError
from derms.grid.capacity import slices
from derms.grid.opendss import Circuit
from derms.grid.site_year import study_hours_on_arrays
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import StudyResult, merge

RAISE = 1.5
"""A new conductor or transformer carries this many times the old one; the next larger class is about that."""
MOST_RUNGS = 6


def ladder(circuit: Circuit, arguments: Mapping[str, Any], report: Callable[[int, int], None]) -> dict[str, Any]:
    """Return the rungs for one side: `request` (a study request), `side` "import" or "export".

    Result: `rungs`, each with `change`, `element`, `firm_kw` with all changes so far, `gained_kw`, and what binds then.
    """
    request, side = StudyRequest.from_dict(arguments["request"]), arguments["side"]
    if side not in ("import", "export") or not getattr(request, f"{side}_w"):
        raise InputError("the ladder climbs one side that is asked for", where="side", remedy="import or export")
    raised: dict[str, float] = {}
    before = _study(circuit, request, raised, _part(report, 0))
    rungs = [_rung("as it is", "", before, side, 0)]
    for number in range(1, MOST_RUNGS + 1):
        if getattr(before.firm, f"{side}_w") >= getattr(request, f"{side}_w"):
            break
        binding = before.binding(side)
        if binding["criterion"] == "thermal":
            change, element = f"rating × {RAISE:g}", str(binding["element"])
            raised[element] = raised.get(element, 1.0) * RAISE
        elif binding["criterion"] in ("overvoltage", "undervoltage") and request.inverter == "unity":
            change, element, request = (
                "volt-var, category B",
                "the site's inverters",
                replace(request, inverter="volt_var_b"),
            )
        else:
            break
        after = _study(circuit, request, raised, _part(report, number))
        gained = getattr(after.firm, f"{side}_w") - getattr(before.firm, f"{side}_w")
        rungs.append(_rung(change, element, after, side, gained))
        before = after
    return {"side": side, "asked_kw": getattr(request, f"{side}_w") / 1000.0, "rungs": rungs}


def _part(report: Callable[[int, int], None], number: int) -> Callable[[int, int], None]:
    return lambda done, total: report(number * total + done, total * (MOST_RUNGS + 1))


def _study(
    circuit: Circuit, request: StudyRequest, raised: Mapping[str, float], report: Callable[[int, int], None]
) -> StudyResult:
    parts, done = [], 0
    for hours in slices(request.hours):
        parts.append(study_hours_on_arrays(circuit, request, hours, raised=raised))
        done += len(hours)
        report(done, len(request.hours))
    return merge(request, parts)


def _rung(change: str, element: str, result: StudyResult, side: str, gained_w: int) -> dict[str, Any]:
    return {
        "change": change,
        "element": element,
        "firm_kw": getattr(result.firm, f"{side}_w") // 100 / 10,
        "gained_kw": gained_w // 100 / 10,
        "limited_hours": result.limited_hours(side),
        "binding": result.binding(side),
    }
