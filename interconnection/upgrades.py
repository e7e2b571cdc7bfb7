"""What the flexible connection avoids: the upgrade that would make the request firm, by a rule that anyone can check.

The unit costs are **illustrative and configurable**: they are no utility's and come from no source. Put your own here.
"""

from __future__ import annotations

from typing import Any

UNIT_COSTS: dict[str, dict[str, Any]] = {
    "reconductor": {"usd_per_kw": 350.0, "months": 12, "origin": "illustrative, replace with your own"},
    "transformer": {"usd_per_kw": 450.0, "months": 36, "origin": "illustrative, replace with your own"},
    "voltage_regulator": {"usd_per_kw": 120.0, "months": 9, "origin": "illustrative, replace with your own"},
}


def upgrade_avoided(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return, per side, which kind of upgrade the firm answer would need, how many kW, cost and time."""
    found = []
    for side in ("import", "export"):
        missing = answer[f"{side}_kw"] - answer[f"firm_{side}_kw"]
        if missing <= 0:
            continue
        binding = answer[f"binding_{side}"]
        kind = _kind(binding["criterion"], binding["element"])
        cost = UNIT_COSTS[kind]
        found.append(
            {
                "side": side,
                "upgrade": kind,
                "because_of": binding["element"],
                "kw": round(missing, 1),
                "usd": round(missing * cost["usd_per_kw"]),
                "months": cost["months"],
                "origin": cost["origin"],
            }
        )
    return found


def priced(ladder: dict[str, Any]) -> dict[str, Any]:
    """Return the ladder with each rung's cost: by the kW it frees, at the unit cost of its kind; settings cost nothing."""
    rungs = []
    for rung in ladder["rungs"]:
        if not rung["element"] or rung["change"].startswith("volt-var"):
            rungs.append(rung | {"usd": 0, "usd_per_kw": 0.0, "months": 0, "origin": "a setting"})
            continue
        cost = UNIT_COSTS[_kind("thermal", rung["element"])]
        usd = round(rung["gained_kw"] * cost["usd_per_kw"])
        rungs.append(
            rung | {"usd": usd, "usd_per_kw": cost["usd_per_kw"], "months": cost["months"], "origin": cost["origin"]}
        )
    return ladder | {"rungs": rungs}


def _kind(criterion: str, element: str) -> str:
    if criterion in ("undervoltage", "overvoltage"):
        return "voltage_regulator"
    return "transformer" if element.startswith("transformer.") or criterion == "reverse_power" else "reconductor"
