"""A feeder's picture at an hour, from a confined child; kept in the cache, since the same question has the same answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from django.core.cache import cache

from derms.errors import InputError
from derms.sandbox.warm_children import CHILDREN
from interconnection import one_line as one_lines
from interconnection.models import FeederVersion

KEPT_S = 3600
ANSWER_S = 60.0
Site = tuple[str, tuple[int, ...], int]
"""Bus, phases, watts (import positive)."""


def picture(version: FeederVersion, hour: int, sites: Sequence[Site] = ()) -> dict[str, Any]:
    """Return voltages and loadings of one hour without and with the sites (see `derms.grid.picture`).

    Raises InputError for an hour that the feeder's load shapes do not have, and what the child raises.
    """
    last = version.description["hours"] - 1
    if not 0 <= hour <= last:
        raise InputError(f"hour {hour} is not in 0..{last}", where="hour", remedy=f"Choose 0 to {last}.")
    arguments = {"hour": hour, "sites": [[bus, list(phases), watts, 0] for bus, phases, watts in sites]}
    text = json.dumps(arguments, sort_keys=True)
    key = f"picture-{version.sha256[:24]}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    found: dict[str, Any] | None = cache.get(key)
    if found is None:
        found = CHILDREN.call(version.sha256, version.text, "picture", arguments, timeout_s=ANSWER_S)
        cache.set(key, found, KEPT_S)
    return found


def geometry(version: FeederVersion) -> dict[str, Any]:
    """Return the feeder's wires in its own coordinates, or in one-line form: [place, x1, y1, x2, y2] each.

    `place`: among the elements; `one_line`: whether the places are the one-line form's (see there).
    `spots`: [place, x, y] of elements whose ends stand on one spot, or of which one end has none; `left_out`: how many have
    no spot at all.
    """
    places, one_line = one_lines.places(version.description)
    lines: list[list[float]] = []
    spots: list[list[float]] = []
    left_out = 0
    for place, element in enumerate(version.description["elements"]):
        one, two = places.get(element[4]), places.get(element[5])
        if one is None and two is None:
            left_out += 1
            continue
        if one is None or two is None or one == two:
            spot = one or two
            assert spot is not None
            spots.append([place, round(spot[0], 3), round(spot[1], 3)])
            continue
        lines.append([place, round(one[0], 3), round(one[1], 3), round(two[0], 3), round(two[1], 3)])
    return {
        "lines": lines,
        "spots": spots,
        "elements": [[element[0], element[4], element[5], round(element[2], 1), element[3]]
                     for element in version.description["elements"]],
        "buses": [[bus[0], *places.get(bus[0], (None, None))] for bus in version.description["buses"]],
        "one_line": one_line,
        "left_out": left_out,
    }  # fmt: skip
