"""The baseline ledger: what a feeder breaks before anybody new connects, and which ratings are only defaults. Reads only.

A study that starts from a feeder that is already out of its limits says so: strict, and nobody may connect; "no worse",
and the new site must not add to it. Either way the violation is the utility's, and it stands here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from interconnection.csv_table import table
from interconnection.models import Feeder, FeederVersion, Study

COLUMNS = ("feeder", "kind", "criterion", "element", "worst_pu", "amps", "hours", "of_hours", "worst_hour", "note")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger; `kind`: violation, default_rating or finding; values per unit."""

    feeder: str
    kind: str
    criterion: str
    element: str
    worst_pu: float | None
    amps: float | None
    hours: int | None
    of_hours: int | None
    worst_hour: int | None
    note: str


def ledger(feeder: Feeder) -> list[Entry]:
    """Return the ledger of a feeder's newest model: from its widest finished study, or from the import's first hour."""
    version = feeder.versions.first()
    if version is None:
        return []
    study = Study.objects.filter(version=version, status=Study.DONE).order_by("-total_hours", "-finished", "-pk").first()
    found = violations(feeder.name, json.loads(study.result), study.total_hours) if study is not None else []
    return [*found, *_findings(feeder.name, version, with_baseline=study is None), *default_ratings(feeder.name, version)]


def violations(feeder: str, answer: Mapping[str, Any], hours: int) -> list[Entry]:
    """Return what a study found broken without the site: worst first."""
    found = []
    for key, item in answer.get("violations", {}).items():
        criterion, _, element = key.partition(" ")
        found.append(
            Entry(
                feeder, "violation", criterion, element, float(item["worst_pu"]), None, int(item["hours"]), hours,
                int(item["worst_hour"]), "without any new site",
            )
        )  # fmt: skip
    return sorted(found, key=lambda item: (item.criterion, -(item.hours or 0), item.element))


def default_ratings(feeder: str, version: FeederVersion) -> list[Entry]:
    """Return the elements whose rating nobody gave: the engine's default stands in for it."""
    return [
        Entry(feeder, "default_rating", "thermal", element[0], None, round(element[2], 1), None, None, None,
              f"{element[2]:,.0f} A is the engine's default: give the rating")
        for element in version.description["elements"] if element[3] == "default"
    ]  # fmt: skip


def _findings(feeder: str, version: FeederVersion, *, with_baseline: bool) -> list[Entry]:
    return [
        Entry(feeder, "violation" if item["code"] == "baseline" else "finding", item["code"], item["where"], None, None,
              None, None, None, item["message"])
        for item in version.findings if with_baseline or item["code"] != "baseline"
    ]  # fmt: skip


def as_csv(entries: Sequence[Entry]) -> str:
    """Return the ledger as CSV."""
    return table(COLUMNS, [tuple(asdict(entry).values()) for entry in entries])
