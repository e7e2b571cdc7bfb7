"""Can this measurement carry a decision? A bad value lowers the level that decisions rest on; it never carries a raise.

    measured   the head's value is good: estimate from it
    held       this sample is bad, the last good one is younger than `stale_s`: estimate from that, wider margin, no raise
    study      none for up to `study_s`: the study's own loads with their whole band, widest margin, no raise
    none       nothing to go by, or the balance of the feeder changed and nobody confirmed it: failsafe

Nothing is clamped and then trusted. After a bad sample three clean ones come before a raise. A step of the head that
the sites' own meters do not explain (spike, ×1000, changed sign, another topology, a lying site) is not followed: the
feeder waits until the value comes back, until it has stayed for `accept_step_s`, or until two people confirm the new
state. What looks like a changed sign or a wrong factor waits for people however long it stays.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from derms.agreement import Terms
from telemetry.control.grant import Quality, Reading
from telemetry.control.settings import ControlSettings
from telemetry.control.state import HeadReading

MEASURED, HELD, STUDY, NONE = "measured", "held", "study", "none"
LEVELS = (MEASURED, HELD, STUDY, NONE)
KEPT = 3
"""How many good samples a new one is compared with."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a cycle may rest on: the head's value to use (None at levels study and none), and whether it may raise."""

    level: str
    head: HeadReading | None
    may_raise: bool
    problem: str = ""


@dataclass
class _Still:
    """Since when a meter has shown exactly the same."""

    shown: tuple[object, ...]
    since: float


@dataclass(frozen=True, slots=True)
class _Sample:
    """The head's value and what the sites did in the same cycle."""

    head: HeadReading
    sites_w: dict[str, float]


class HeadWatch:
    """Judges the feeder head's values one after the other. `now`: monotonic seconds."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._goods: deque[_Sample] = deque(maxlen=KEPT)
        self._stepped: _Sample | None = None
        self._stepped_at = 0.0
        self._still: _Still | None = None
        self._clean = 0

    def confirm(self) -> None:
        """Take the next good value as the new truth: two people confirmed the feeder's state."""
        self._goods.clear()
        self._stepped, self._clean = None, 0

    def judge(self, head: HeadReading | None, sites_w: Mapping[str, float], now: float) -> Verdict:
        """Judge one sample. `sites_w`: watts of each site that is heard, import positive."""
        fault = self._fault(head, now)
        if head is None or fault:
            self._clean = 0
            return self._fall(fault, now)
        sample = _Sample(head, dict(sites_w))
        fault = self._unexplained(sample)
        if fault:
            self._clean = 0
            return self._fall(fault, now)
        self._goods.append(sample)
        self._stepped = None
        self._clean += 1
        return Verdict(MEASURED, head, self._clean >= self._settings.good_polls_before_raise)

    def _fault(self, head: HeadReading | None, now: float) -> str:
        settings = self._settings
        if head is None:
            return "the feeder head is not measured"
        if not head.usable(now, settings.stale_s):
            return "the feeder head's measurement is missing, stale or bad"
        if max(abs(head.power_w), abs(head.reactive_var)) > settings.most_head_w:
            return f"the feeder head's {head.power_w / 1e3:.0f} kW is beyond what it can carry"
        return self._frozen(head)

    def _frozen(self, head: HeadReading) -> str:
        shown = (head.power_w, head.reactive_var, head.amps, head.voltage_pu)
        if self._still is None or self._still.shown != shown:
            self._still = _Still(shown, head.received)
            return ""
        lasts = head.received - self._still.since
        return f"the feeder head has shown the same for {lasts:.0f} s" if lasts >= self._settings.frozen_s else ""

    def _unexplained(self, sample: _Sample) -> str:
        """Compare the head's step with what the sites' meters say that they did."""
        settings = self._settings
        if not self._goods:
            return ""  # nothing to compare with: the model's own bounds judge the first value
        # While a step waits, time does not make it look like drift.
        until = sample.head.received if self._stepped is None else self._stepped_at
        good = self._goods[-1]
        elapsed = until - good.head.received
        if elapsed > settings.forget_s:
            return ""
        # Head and sites are not read in the same instant: while a site swings, one pair of them can be apart, and would
        # make every later one look like a step. What any of the last few explains is explained.
        left = min(self._left(known, sample, elapsed) for known in self._goods)
        if left <= 0.0:
            return ""
        before = self._stepped
        if before is None or self._left(before, sample, sample.head.received - before.head.received) > 0.0:
            self._stepped_at = sample.head.received
        self._stepped = sample
        stays = sample.head.received - self._stepped_at
        if stays >= settings.accept_step_s and not _looks_like_a_fault(good.head.power_w, sample.head.power_w):
            return ""
        return f"the feeder head moved by {left / 1e3:.0f} kW more than loads and sites explain"

    def _left(self, before: _Sample, after: _Sample, elapsed: float) -> float:
        """Return by how many watts a step is larger than loads (in `elapsed` s) and sites explain; below 0: they do."""
        settings = self._settings
        both = after.sites_w.keys() & before.sites_w.keys()
        known = sum(after.sites_w[name] - before.sites_w[name] for name in both)
        # A site that came or went between the samples may have done anything that it was last seen to do.
        other = sum(abs(w) for part in (after.sites_w, before.sites_w) for name, w in part.items() if name not in both)
        samples = max(1.0, elapsed / settings.cycle_s)
        allowed = max(settings.step_floor_w, settings.step_share * abs(before.head.power_w)) * math.sqrt(samples)
        return abs(after.head.power_w - before.head.power_w - known) - other - allowed

    def _fall(self, fault: str, now: float) -> Verdict:
        settings = self._settings
        age = now - self._goods[-1].head.received if self._goods else math.inf
        if 0.0 <= age <= settings.stale_s:
            return Verdict(HELD, self._goods[-1].head, False, fault)
        if self._stepped is None and 0.0 <= age <= settings.stale_s + settings.study_s:
            return Verdict(STUDY, None, False, fault)
        return Verdict(NONE, None, False, fault)


def _looks_like_a_fault(before_w: float, after_w: float) -> bool:
    """Say whether a step is what a swapped polarity or a wrong factor would make."""
    if abs(before_w) < 1.0 or abs(after_w) < 1.0:
        return abs(before_w) >= 1.0  # a meter that fell to nothing
    ratio = after_w / before_w
    return -1.4 < ratio < -0.7 or any(0.7 < abs(ratio) / factor < 1.4 for factor in (1000.0, 0.001))


class SiteWatch:
    """Judges each site's readings before they enter its book."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._still: dict[str, _Still] = {}

    def judge(self, reading: Reading | None, terms: Terms, now: float) -> Reading | None:
        """Return the reading with the quality that it deserves; a bad one counts as silence further on."""
        if reading is None or reading.quality is not Quality.GOOD:
            return reading
        if not self._plausible(reading, terms, now):
            return replace(reading, quality=Quality.BAD)
        if self._frozen(reading):
            return replace(reading, quality=Quality.SUSPECT)
        return reading

    def _plausible(self, reading: Reading, terms: Terms, now: float) -> bool:
        if not all(math.isfinite(value) for value in (reading.power_w, reading.reactive_var, reading.received)):
            return False
        optional = (
            reading.voltage_pu, reading.stamp, reading.available_import_w, reading.available_export_w,
            reading.state_of_charge_percent, reading.energy_wh,
        )  # fmt: skip
        if any(value is not None and not math.isfinite(value) for value in optional):
            return False
        if reading.received > now:
            return False
        most = self._settings.most_site_share * max(terms.flexible.import_w, terms.flexible.export_w, 1)
        return max(abs(reading.power_w), abs(reading.reactive_var)) <= most

    def _frozen(self, reading: Reading) -> bool:
        """A meter that shows power and never moves a digit is frozen; one that shows nothing may be at rest."""
        shown = (
            reading.power_w, reading.reactive_var, reading.voltage_pu, reading.energy_wh, reading.state_of_charge_percent,
        )  # fmt: skip
        still = self._still.get(reading.site)
        if still is None or still.shown != shown or reading.power_w == 0.0:
            self._still[reading.site] = _Still(shown, reading.received)
            return False
        return reading.received - still.since >= self._settings.frozen_s
