"""From what a cycle showed to what each alarm's condition is. Pure; `None` means "not known": then nothing changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telemetry.control.alarm import beyond
from telemetry.control.alarm_table import BY_KIND, CERTIFICATE_DAYS

CYCLE_SEEN_S = 20.0
"""Two cycles of 10 s: the banner must stand 30 s after an engine's death at the latest."""
HEAD = "the feeder head"
"""How the engine's words begin when it is the head's measurement that is bad (telemetry_quality)."""
WARNED, LOCKED = "warned", "locked"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one alarm's raw condition. `feeder` is empty for what concerns the whole system."""

    kind: str
    subject: str
    holds: bool
    text: str
    feeder: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Return what names the alarm."""
        return self.kind, self.subject


Standing = Mapping[tuple[str, str], bool]
"""Which alarms' conditions hold now: dead-bands need it."""


def feeder_looks(
    feeder: str, board: Mapping[str, Any] | None, age_s: float | None, standing: Standing,
    permitted: Collection[str] | None = None,
) -> list[Look]:  # fmt: skip
    """Return the looks at one feeder's newest recorded cycle; `age_s` its age, None where none was ever recorded.

    `permitted`: the sites that may be operated. Another one has no wire, so its silence is no alarm.
    """
    gone = age_s is None or age_s > CYCLE_SEEN_S or board is None
    said = "no cycle was ever recorded" if age_s is None else f"the last cycle is {age_s:.0f} s old"
    looks = [Look("not_controlling", feeder, gone, said if gone else "cycles are recorded again", feeder)]
    if gone or board is None:
        return looks
    looks += _state(feeder, board, standing)
    for site in board.get("sites", ()):
        if permitted is None or site["site"] in permitted:
            looks += _site(feeder, site)
    return looks


def process_looks(states: Iterable[tuple[str, bool, str]]) -> list[Look]:
    """Return the looks at processes: (name, whether it makes progress, what is known of it)."""
    return [Look("process_dead", name, not alive, text) for name, alive, text in states]


def certificate_looks(expiries: Iterable[tuple[str, datetime]], now: datetime) -> list[Look]:
    """Return the looks at client certificates: (name, end of validity)."""
    looks = []
    for name, ends in expiries:
        days = (ends - now).total_seconds() / 86_400
        text = f"ends in {days:.0f} days, on {ends:%Y-%m-%d}" if days > 0 else f"ended on {ends:%Y-%m-%d}"
        for kind in (f"certificate_{step}_days" for step in CERTIFICATE_DAYS):
            looks.append(Look(kind, name, days < (BY_KIND[kind].limit or 0.0), text))
    return looks


def clock_look(offset_s: float, standing: Standing) -> Look:
    """Return the look at the machine's clock against its reference, seconds either way."""
    return _analogue("clock_offset", "clock", "", abs(offset_s), "off by {:.2f} s", standing)


def audit_look(problem: str) -> Look:
    """Return the look at the audit log; an empty problem is none."""
    return Look("audit_failing", "audit", bool(problem), problem or "the audit log is written and verifies")


def certificate_look(feeder: str, holds: bool | None, why: str) -> Look:
    """Return the look at a feeder's failsafe certificate; None: none was ever found for what is in force."""
    words = (
        "a certificate holds" if holds else why if holds is False else "none was found yet for this model, state and sites"
    )
    return Look("no_certificate", feeder, not holds, words, feeder)


def _state(feeder: str, board: Mapping[str, Any], standing: Standing) -> list[Look]:
    problem = board.get("problem") or ""
    head = problem.startswith(HEAD)
    dropped = int(board.get("dropped") or 0)
    looks = [
        Look("head_stale", feeder, bool(problem) and head, problem or "measured again", feeder),
        Look("state_unknown", feeder, bool(problem) and not head, problem or "solved again", feeder),
        Look("raises_withheld", feeder, bool(board.get("withheld")), ", ".join(board.get("withheld") or ("none",)), feeder),
        Look("records_lost", feeder, dropped > 0, f"{dropped} cycles not stored since its start", feeder),
    ]
    if (offset := board.get("clock_offset_s")) is not None:
        looks.append(_analogue("clock_offset", feeder, feeder, abs(offset), "control's clock is off by {:.1f} s", standing))
    element = board.get("element") or "an element"
    if (loading := board.get("loading_percent")) is not None:
        text = f"{element} at {{:.1f}} %"
        looks.append(_analogue("element_overloaded", feeder, feeder, loading, text, standing))
        looks.append(_analogue("element_above_margin", feeder, feeder, loading, text, standing))
    if (low := board.get("v_min_pu")) is not None:
        looks.append(_analogue("voltage_low", feeder, feeder, low, "lowest {:.4f} pu", standing, low=True))
    if (high := board.get("v_max_pu")) is not None:
        looks.append(_analogue("voltage_high", feeder, feeder, high, "highest {:.4f} pu", standing))
    return looks


def _site(feeder: str, site: Mapping[str, Any]) -> list[Look]:
    name, stage, heard = site["site"], site.get("stage"), bool(site.get("heard"))
    power, limits = site.get("power_kw"), f"{site.get('import_limit_kw')} / {site.get('export_limit_kw')} kW"
    above = f"{power} kW against {limits} in / out"
    silent = site.get("silent_s")
    quiet = "never heard" if silent is None else f"silent for {silent} s"
    looks = [
        Look("site_locked", name, stage == LOCKED, above if stage == LOCKED else "off the ladder", feeder),
        Look("site_above_limit", name, stage == WARNED, above if stage == WARNED else "inside its limits", feeder),
        Look("site_silent", name, not heard, "heard again" if heard else quiet, feeder),
    ]
    if outcome := site.get("last_outcome"):
        looks.append(Look("grant_refused", name, outcome == "refused", f"last grant {outcome}", feeder))
    return looks


def _analogue(
    kind: str, subject: str, feeder: str, value: float, text: str, standing: Standing, *, low: bool = False
) -> Look:
    entry = BY_KIND[kind]
    assert entry.limit is not None
    holds = beyond(value, entry.limit, entry.dead_band, standing.get((kind, subject), False), low=low)
    return Look(kind, subject, holds, text.format(value), feeder)
