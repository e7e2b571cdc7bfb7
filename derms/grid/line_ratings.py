"""Which line ratings are facts of the model, and which are OpenDSS's default of 400 A: part of the door to OpenDSS."""

from __future__ import annotations

import json
from typing import Any


def stated_line_ratings(dss: Any) -> set[str]:
    """Return the lines whose normal amps are stated somewhere: by themselves, a line code, a geometry or a wire.

    `dss`: the circuit's OpenDSS context. OpenDSS's ToJSON gives only what was set.
    """
    wires = {item["Name"].lower() for item in _class_json(dss, "wiredata", "cndata", "tsdata") if _states(item)}
    codes = {item["Name"].lower() for item in _class_json(dss, "linecode") if _states(item)}
    geometries = set()
    for item in _class_json(dss, "linegeometry"):
        used = {str(name).lower().split(".")[-1] for name in item.get("Conductors", item.get("Wires", []))}
        if _states(item) or used & wires:
            geometries.add(item["Name"].lower())
    stated = set()
    for item in _class_json(dss, "line"):
        name = item["Name"].lower()
        if item.get("NormAmps", 0) and not (item.get("Geometry") or item.get("LineCode")):
            stated.add(name)
        elif item.get("LineCode", "").lower() in codes or item.get("Geometry", "").lower() in geometries:
            stated.add(name)
        elif item.get("NormAmps", 400.0) != 400.0:
            stated.add(name)
    return stated


def _states(item: dict[str, Any]) -> bool:
    return bool(item.get("NormAmps"))


def _class_json(dss: Any, *classes: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in classes:
        dss.Circuit.SetActiveClass(name)
        if dss.ActiveClass.Count():
            found += json.loads(dss.ActiveClass.ToJSON())
    return found
