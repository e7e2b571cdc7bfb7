"""What came of a chaos run: a table of detection and recovery against the goals, and whether it proves anything."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any

GOALS = {
    "kill -9 control": 10.0, "SIGSTOP control": 10.0, "kill -9 all controls": 30.0, "kill -9 watchdog": 30.0,
    "all links cut": 15.0, "link cut": 15.0, "one-way loss, out": 15.0, "one-way loss, back": 15.0, "SIGSTOP site": 15.0,
    "site power cycle": 15.0, "clock jump": 10.0, "head measurement": 5.0,
}  # fmt: skip
"""Seconds within which it must be known (failsafe.md)."""
LEAST_POWER = 0.5
"""Share of the injections that must find sites above their failsafe limits: else "0 unsafe" says nothing."""


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line a kind."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["kind"]].append(row)
    lines = []
    for kind, group in sorted(groups.items()):
        known = [row["known_s"] for row in group if row["known_s"] is not None]
        whole = [row["whole_s"] for row in group if row["whole_s"] is not None]
        lines.append({
            "kind": kind, "count": len(group), "raised": sum(1 for row in group if row["power"]),
            "known_median_s": median(known) if known else None, "known_longest_s": max(known, default=None),
            "goal_s": GOALS.get(kind), "not_known": sum(1 for row in group if row["expects"] and row["known_s"] is None),
            "whole_median_s": median(whole) if whole else None, "whole_longest_s": max(whole, default=None),
            "not_whole": sum(1 for row in group if row["whole_s"] is None),
        })  # fmt: skip
    return lines


def power(rows: list[dict[str, Any]]) -> float | None:
    """Return the share of injections made while some site was above its failsafe limit; None without injections."""
    return round(sum(1 for row in rows if row["power"]) / len(rows), 3) if rows else None


def passes(report: dict[str, Any]) -> bool:
    """Say whether nothing was unsafe, every goal was met, and all was done that was asked for."""
    return not failures(report)


def failures(report: dict[str, Any]) -> list[str]:
    """Return what the run failed by, each with its name: a goal missed on a busy machine is a failure that says so."""
    found = [f"{len(report[key])} {what}" for key, what in
             (("unsafe", "UNSAFE"), ("broken", "broken in the test itself"), ("ended_by_themselves", "ended by themselves"))
             if report[key]]  # fmt: skip
    if not report["raises"]:
        found.append("NO PROOF: no site was ever raised")
    if report["power"] is not None and report["power"] < LEAST_POWER:
        found.append(f"NO PROOF: sites were above their failsafe limits at less than {LEAST_POWER:.0%} of the injections")
    for line in report["table"]:
        kind, goal, longest = line["kind"], line["goal_s"], line["known_longest_s"]
        if line["not_known"]:
            found.append(f"{kind}: {line['not_known']} never known")
        if line["not_whole"]:
            found.append(f"{kind}: {line['not_whole']} never whole again")
        if goal is not None and longest is not None and longest > goal:
            found.append(f"{kind}: known after {longest} s, goal {goal} s")
    for fault, line in report["take_overs"].items():
        if line["not_taken_over"]:
            found.append(f"{fault}: {line['not_taken_over']} not taken over")
        if line["longest_s"] is not None and line["longest_s"] > line["goal_s"]:
            found.append(f"{fault}: taken over after {line['longest_s']} s, goal {line['goal_s']} s")
    if report["injections"] < report["asked"] and not report["time_over"]:
        found.append(f"only {report['injections']} of {report['asked']} faults, and the time was not over")
    if not report["injections"]:
        found.append("no fault at all")
    return found


def percentile(ordered: list[float], share: float) -> float | None:
    """Return the value below which `share` of the ordered values lie (the nearest rank)."""
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] if ordered else None


def show(report: dict[str, Any]) -> None:
    """Print it."""
    columns = ("kind", "count", "raised", "known_median_s", "known_longest_s", "goal_s", "not_known", "whole_median_s",
               "whole_longest_s", "not_whole")  # fmt: skip
    for row in [{name: name for name in columns}, *report["table"]] if report["table"] else []:
        print("  ".join(f"{row[name]!s:>22}" if name == "kind" else f"{row[name]!s:>15}" for name in columns))
    for fault, line in report["take_overs"].items():
        print(f"{fault:10} " + "  ".join(f"{name} {value}" for name, value in line.items()))
    for key in ("injections", "minutes", "power", "power_of_seconds", "raises", "judge_steps", "time_to_safe_s",
                "worst_loading_percent", "worst_if_all_used_their_limits_percent"):  # fmt: skip
        print(f"{key:40} {report[key]}")
    for line in failures(report):
        print(f"FAILED BY  {line}")
    print(f"{'unsafe':40} {len(report['unsafe'])}")
    print(f"{'ended by themselves':40} {len(report['ended_by_themselves'])}")
    for line in [*report["ended_by_themselves"], *report["unsafe"][:10], *report["broken"]]:
        print("  ", line)
