"""What a study notices beside its limits: worst values of every criterion, holes in the feasible set, the full reversal.

Plain data that adds up: slices of one study are merged in any order to the same notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from derms.grid.judge import Judged, Point

NOISE = {"pu": 2e-5, "W": 50.0}
"""A margin this little below nothing is the search's own tolerance."""


class Notes:
    """The notes of some hours."""

    def __init__(self) -> None:
        self._data: dict[str, Any] = {"criteria": {}, "holes": {}, "reversal": None, "modes": {}}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return self._data

    def judged(self, side: str, cases: Sequence[tuple[Judged, Point]], used: bool) -> None:
        """Enter a criterion at the same hours' points, one for each case of the sites that are there already: its worst
        margin, where and when, and in how many hours it is broken."""
        if not cases[0][0].value.size:
            return
        found = [judged.worst() for judged, _ in cases]
        margins = np.stack([np.where(point.good, item[0], np.inf) for item, (_, point) in zip(found, cases, strict=True)])
        margin = margins.min(axis=0)
        lane = int(margin.argmin())
        if not np.isfinite(margin[lane]):
            return
        case = int(margins[:, lane].argmin())
        judged, point = cases[case]
        which, digits = (int(found[case][1][lane]), lane), 6 if judged.unit == "pu" else 0
        entry = {
            "unit": judged.unit, "value": round(float(judged.value[which]), digits),
            "limit": round(float(judged.limit[which]), digits), "margin": round(float(margin[lane]), digits),
            "element": judged.names[which[0]], "hour": point.hours[lane], "in_use": used,
            "broken_hours": int((margin < -NOISE[judged.unit]).sum()),
        }  # fmt: skip
        _add_criterion(self._data["criteria"], f"{side} {judged.criterion}", entry)

    def holes(self, hours: Sequence[int], odd: Any) -> None:
        """Enter the hours in which more power than the limit would hold again, (2, hours), import first."""
        for row, side in enumerate(("import", "export")):
            found = [hour for lane, hour in enumerate(hours) if odd[row, lane]]
            if found:
                _add_holes(self._data["holes"], side, {"hours": len(found), "first_hour": min(found)})

    def reversal(self, step_w: int, whole_w: int, hour: int, change_pu: float) -> None:
        """Enter an hour's swing between its limits: the largest step within the criterion, and the whole one."""
        entry = {"step_w": step_w, "whole_w": whole_w, "hour": hour, "pu": round(change_pu, 6)}
        self._data["reversal"] = _less_step(self._data["reversal"], entry)

    def take(self, other: Mapping[str, Any]) -> None:
        """Take over another study's notes of the same hours."""
        self._data = merged([other])

    def case(self, side: str, name: str) -> None:
        """Count an hour whose limit one case of the sites that are there already gave."""
        counts = self._data.setdefault("cases", {}).setdefault(side, {})
        counts[name] = counts.get(name, 0) + 1

    def mode(self, side: str, name: str) -> None:
        """Count an hour whose limit one way of holding the regulators gave."""
        counts = self._data["modes"].setdefault(side, {})
        counts[name] = counts.get(name, 0) + 1


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the notes of all parts together."""
    whole = Notes().to_dict()
    for part in parts:
        for key, entry in part.get("criteria", {}).items():
            _add_criterion(whole["criteria"], key, dict(entry))
        for side, entry in part.get("holes", {}).items():
            _add_holes(whole["holes"], side, dict(entry))
        if part.get("reversal"):
            whole["reversal"] = _less_step(whole["reversal"], part["reversal"])
        for kind in ("modes", "cases"):
            for side, counts in part.get(kind, {}).items():
                mine = whole.setdefault(kind, {}).setdefault(side, {})
                for name, count in counts.items():
                    mine[name] = mine.get(name, 0) + count
    return whole


def _add_criterion(into: dict[str, Any], key: str, entry: dict[str, Any]) -> None:
    known = into.get(key)
    if known is None:
        into[key] = entry
        return
    broken = known["broken_hours"] + entry["broken_hours"]
    if (entry["margin"], entry["hour"]) < (known["margin"], known["hour"]):
        into[key] = entry
    into[key]["broken_hours"] = broken


def _add_holes(into: dict[str, Any], side: str, entry: dict[str, Any]) -> None:
    known = into.get(side)
    if known is None:
        into[side] = entry
    else:
        known["hours"] += entry["hours"]
        known["first_hour"] = min(known["first_hour"], entry["first_hour"])


def _less_step(known: Mapping[str, Any] | None, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one whose step is the smaller part of its whole; of equals the earlier hour."""
    if known is None:
        return dict(entry)

    def rank(item: Mapping[str, Any]) -> tuple[float, int, int]:
        return (-item["pu"], item["step_w"], item["hour"])

    return dict(known if rank(known) <= rank(entry) else entry)
