"""Screens: quick tests of an application, each with value, threshold, element, margin, hour, and what would pass.

Pure: a pack's screens and the facts about one application go in, results come out. The measures are in `screen_measures`.
"""

from __future__ import annotations

import math

from interconnection.screen_facts import Facts, Load, Measured, Outcome, Result, Screen, Silent
from interconnection.screen_measures import MEASURES

__all__ = ["MEASURES", "Facts", "Load", "Result", "Screen", "evaluate", "summary"]


def evaluate(screens: tuple[Screen, ...], facts: Facts) -> list[Result]:
    """Return each screen's result, in order; a side that is not asked for is not applicable."""
    return [_judge(screen, facts) for screen in screens]


def _judge(screen: Screen, facts: Facts) -> Result:
    asked = {"export": facts.request.export_w, "import": facts.request.import_w}
    if screen.side != "both" and asked[screen.side] == 0:
        outcome: Outcome = Silent("not_applicable", f"no {screen.side} is asked for")
    else:
        outcome = MEASURES[screen.measure].function(facts, screen)
    if isinstance(outcome, Silent):
        return _result(screen, outcome.status, None, None, Measured(0.0, basis=outcome.why), outcome.remedy)
    threshold = screen.threshold if screen.threshold is not None else 0.0
    margin = threshold - outcome.value if screen.compare == "at_most" else outcome.value - threshold
    passed = margin >= -1e-9
    return _result(
        screen, "pass" if passed else "fail", outcome.value, margin, outcome, "" if passed else _advice(screen, outcome)
    )


def _advice(screen: Screen, outcome: Measured) -> str:
    words = []
    if outcome.passes_kw is not None:
        kw = math.floor(outcome.passes_kw * 10) / 10
        side = "power" if screen.side == "both" else screen.side
        words.append(f"{kw:,.1f} kW of {side} would pass." if kw > 0 else f"No {side} would pass here.")
    if outcome.advice:
        words.append(outcome.advice)
    return " ".join(words)


def _result(
    screen: Screen, status: str, value: float | None, margin: float | None, seen: Measured, would_pass: str
) -> Result:
    kw = seen.passes_kw
    return Result(
        screen.id, screen.side, screen.stage, screen.title, status, None if value is None else round(value, 4),
        screen.threshold, screen.unit, None if margin is None else round(margin, 4), seen.element, seen.hour, would_pass,
        None if kw is None else max(0.0, math.floor(kw * 10) / 10), seen.basis, screen.citation, screen.verified,
    )  # fmt: skip


def summary(results: list[Result]) -> dict[str, int]:
    """Return how many screens ended how."""
    return {status: sum(1 for item in results if item.status == status)
            for status in ("pass", "fail", "unknown", "not_applicable")}  # fmt: skip
