"""What an operator may tune in the control law, with its defaults and their origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from derms.errors import InputError
from derms.units import finite


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Times in seconds, margins per unit of the rating or of nominal voltage.

    Defaults: cycle, staleness and polls before a raise from our time-to-safe budget for class R sites
    (30 + 10 + 60 + 5 + 30 = 135 s, see the manual's page on failing safe); margins by trial on the twin.
    `held_margin_factor`, `study_margin_factor`: what the margins are multiplied by where the estimate is worse;
    `least_margin_factor`: how narrow a better one (more meters) may make them.
    `most_head_w`: beyond it a value at the head is a fault of the meter. `step_share`, `step_floor_w`: the largest change
    of the loads between two samples, of the head's power and in watts. `scale_low`, `scale_high`: how far from the
    study's hour the loads may be before the state counts as not known.
    """

    cycle_s: float = 10.0
    stale_s: float = 30.0
    good_polls_before_raise: int = 3
    hold_down_s: float = 300.0
    relax_per_minute: float = 0.10
    dead_band: float = 0.01
    thermal_margin: float = 0.03
    voltage_margin_pu: float = 0.002
    renew_s: float = 20.0
    compliance_tolerance: float = 0.02
    frozen_s: float = 300.0
    study_s: float = 120.0
    forget_s: float = 900.0
    most_head_w: float = 100e6
    step_share: float = 0.25
    step_floor_w: float = 100e3
    accept_step_s: float = 300.0
    most_site_share: float = 3.0
    scale_low: float = 0.05
    scale_high: float = 2.5
    study_low: float = 0.7
    study_high: float = 1.3
    held_margin_factor: float = 2.0
    study_margin_factor: float = 3.0
    least_margin_factor: float = 0.5
    clock_alarm_s: float = 1.0
    clock_stop_s: float = 5.0

    def __post_init__(self) -> None:
        for name in (
            "cycle_s", "stale_s", "relax_per_minute", "renew_s", "frozen_s", "most_head_w", "most_site_share",
            "scale_high", "study_high", "clock_alarm_s", "clock_stop_s",
        ):  # fmt: skip
            if finite(getattr(self, name), where=name) <= 0:
                raise InputError(f"{name} must be positive", where=name)
        for name in (
            "hold_down_s",
            "dead_band",
            "thermal_margin",
            "voltage_margin_pu",
            "compliance_tolerance", "study_s", "forget_s", "accept_step_s", "step_share", "step_floor_w", "scale_low",
            "study_low",
        ):  # fmt: skip
            if finite(getattr(self, name), where=name) < 0:
                raise InputError(f"{name} must not be negative", where=name)
        if self.good_polls_before_raise < 1:
            raise InputError("at least one good poll comes before a raise", where="good_polls_before_raise")
        for name in ("held_margin_factor", "study_margin_factor"):
            if finite(getattr(self, name), where=name) < 1:
                raise InputError("a worse estimate needs no smaller margin", where=name)

    @classmethod
    def tuned(cls, cycle_s: float, changes: Mapping[str, object]) -> ControlSettings:
        """Return the defaults with `changes` by name; raises InputError for an unknown name or what is no number."""
        known = {item.name for item in fields(cls)}
        for name, value in changes.items():
            if name not in known:
                raise InputError(
                    f"there is no control setting {name!r}", where=name, remedy=f"One of {', '.join(sorted(known))}."
                )
            finite(value, where=name)
        return cls(**{"cycle_s": cycle_s, **changes})  # type: ignore[arg-type]

    def margin_factor(self, level: str) -> float:
        """Return what the margins are multiplied by at a level of estimation ("measured", "held", "study")."""
        return {"held": self.held_margin_factor, "study": self.study_margin_factor}.get(level, 1.0)
