"""What the test saw, second by second, and what may be concluded from it. Pure.

A trace is the witness: its hash goes into the result, and anybody can judge it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from derms.limits import Limit

SAME_S = 0.01
"""Two looks at one reading give its moment twice, but for rounding."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the test began, watts (import positive), the limit that the site says it obeys.

    `measured`: when the reading was taken, on the same clock: a site that posts once a minute is looked at more often.
    """

    at: float
    power_w: float
    limit: Limit | None
    in_failsafe: bool | None
    step: int
    measured: float


@dataclass
class Trace:
    """Samples and notes in order. `silences`: spans in which the test kept silent on purpose."""

    samples: list[Sample] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the trace as it is stored: columns, so that it stays small."""
        return {
            "columns": ["at_s", "power_w", "import_w", "export_w", "in_failsafe", "step", "measured_s"],
            "rows": [
                [round(item.at, 2), round(item.power_w), item.limit.import_w if item.limit else None,
                 item.limit.export_w if item.limit else None, item.in_failsafe, item.step, round(item.measured, 2)]
                for item in self.samples
            ],
            "notes": [[round(at, 2), text] for at, text in self.notes],
            "silences": [[round(start, 2), round(end, 2)] for start, end in self.silences],
        }  # fmt: skip

    def sha256(self) -> str:
        """Return the hash of the trace, hexadecimal."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def longest_gap_s(self) -> float:
        """Return the longest time between two samples that was not meant to be silent."""
        longest = 0.0
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            meant = any(start <= after.at and before.at <= end for start, end in self.silences)
            if not meant:
                longest = max(longest, after.at - before.at)
        return longest


def settled_after(samples: Sequence[Sample], limit: Limit, tolerance_w: float) -> float | None:
    """Return when the power came inside the limit for good (seconds, the first sample's time is 0); None: it never did."""
    inside_since: float | None = None
    for sample in samples:
        if limit.excess_w(sample.power_w) > tolerance_w:
            inside_since = None
        elif inside_since is None:
            inside_since = sample.at
    return None if inside_since is None else inside_since - samples[0].at


def steepest_w_per_s(samples: Sequence[Sample], least_s: float) -> float:
    """Return the steepest change of power between readings at least `least_s` seconds apart, a magnitude."""
    steepest, fresh = 0.0, readings(samples)
    for place, first in enumerate(fresh):
        for last in fresh[place + 1 :]:
            seconds = last.measured - first.measured
            if seconds >= least_s:
                steepest = max(steepest, abs(last.power_w - first.power_w) / seconds)
                break
    return steepest


def readings(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that showed a reading for the first time."""
    return [
        item for place, item in enumerate(samples) if place == 0 or item.measured > samples[place - 1].measured + SAME_S
    ]


def longest_interval_s(samples: Sequence[Sample]) -> float:
    """Return the longest time between two readings; 0 where there are fewer than two."""
    fresh = readings(samples)
    return max((other.measured - one.measured for one, other in pairwise(fresh)), default=0.0)


def extremes(samples: Iterable[Sample]) -> tuple[float, float]:
    """Return the least and the greatest power, watts; (0, 0) without samples."""
    powers = [sample.power_w for sample in samples]
    return (min(powers), max(powers)) if powers else (0.0, 0.0)
