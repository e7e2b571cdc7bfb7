"""The failsafe certificate: with every site at its failsafe limit, no hour of the year breaks a criterion.

It is what makes silence safe. Without it for the present model and the present agreements nothing is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from derms.errors import NotConverged
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.opendss import Circuit, Injection


def certificate(
    circuit: Circuit, arguments: Mapping[str, Any], report: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Return whether all sites may be at their failsafe limits together, in every hour, importing and exporting.

    `sites`: [bus, phases, import W, export W] each; `elements`: the lines and transformers to watch; `criteria`;
    `hours`: only these, for a quick look: what holds in them is no certificate yet.
    Result: `holds`, and where it does not, the first `hour`, `side`, `criterion` and `element`.
    """
    criteria = Criteria(circuit, CriteriaSettings(**arguments.get("criteria", {}))).only(arguments["elements"])
    hours = [int(hour) for hour in arguments.get("hours") or range(circuit.hours)]
    for hour in hours:
        base = circuit.settle(hour)
        for side, sign, column in (("import", 1.0, 2), ("export", -1.0, 3)):
            sites = [Injection(site[0], tuple(site[1]), sign * site[column]) for site in arguments["sites"]]
            try:
                state = circuit.solve(sites)
            except NotConverged:
                return {"holds": False, "hour": hour, "side": side, "criterion": "convergence", "element": "power flow"}
            criterion, element, margin = criteria.worst(state, base)
            if margin < 0.0:
                return {"holds": False, "hour": hour, "side": side, "criterion": criterion, "element": element}
        if report is not None and hour % 100 == 0:
            report(hour, circuit.hours)
    return {"holds": True, "hours": len(hours)}
