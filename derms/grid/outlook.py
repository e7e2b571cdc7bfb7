"""What the sites may expect of the next hours, if the loads follow the study's shapes at their present level.

Information, never permission: a limit is only ever lent for a lease, from what is measured. The far end of every
schedule is the failsafe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from derms.errors import NotConverged
from derms.grid.live import live_envelope
from derms.grid.opendss import Circuit, Injection


def outlook(
    circuit: Circuit, arguments: Mapping[str, Any], report: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Return each site's expected limits at some hours of the study year.

    `question`: a live question, whose sites stand as they are now; `load_scale`: the present level of the loads; `hours`.
    Result: `hours` [{hour, sites: {name: [import W, export W, criterion, element]}}]; a site that is silent now, or an
    hour without a solution, is at the failsafe.
    """
    asked, found = dict(arguments["question"]), []
    sites = [dict(site) | {"p_w": 0.0, "q_var": 0.0} for site in asked["envelope"]["sites"]]
    scale = float(arguments["load_scale"])
    for count, hour in enumerate(arguments["hours"]):
        limits = {site["name"]: [*_limit(site["failsafe"]), "failsafe", ""] for site in sites}
        try:
            nothing = [Injection(site["bus"], tuple(site["phases"]), 0.0) for site in sites]
            head = circuit.settle(hour, load_scale=scale, injections=nothing).head_w
            envelope = asked["envelope"] | {"hour": hour, "head_w": head, "first_scale": scale, "sites": sites}
            answer = live_envelope(circuit, asked | {"envelope": envelope, "volts_pu": [None] * len(sites)})
            for name, item in answer["granted"].items():
                side = "import" if item["import_share"] <= item["export_share"] else "export"
                limit = item["limit"]
                limits[name] = [
                    limit["import_w"], limit["export_w"], item[f"{side}_criterion"] or "agreement", item[f"{side}_element"],
                ]  # fmt: skip
        except NotConverged:
            pass  # the failsafe stands for this hour
        found.append({"hour": hour, "sites": limits})
        if report is not None:
            report(count + 1, len(arguments["hours"]))
    return {"hours": found}


def _limit(raw: Mapping[str, int]) -> tuple[int, int]:
    return raw["import_w"], raw["export_w"]
