"""What an operator may tune in the control law, with its defaults and their origin."""

from __future__ import annotations

from dataclasses import dataclass

from derms.errors import InputError
from derms.units import finite


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Times in seconds, margins per unit of the rating or of nominal voltage.

    Defaults: cycle, staleness and polls before a raise from our time-to-safe budget for class R sites
    (30 + 10 + 60 + 5 + 30 = 135 s, see the manual's page on failing safe); margins by trial on the twin.
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

    def __post_init__(self) -> None:
        for name in ("cycle_s", "stale_s", "relax_per_minute", "renew_s"):
            if finite(getattr(self, name), where=name) <= 0:
                raise InputError(f"{name} must be positive", where=name)
        for name in (
            "hold_down_s",
            "dead_band",
            "thermal_margin",
            "voltage_margin_pu",
            "compliance_tolerance",
        ):
            if finite(getattr(self, name), where=name) < 0:
                raise InputError(f"{name} must not be negative", where=name)
        if self.good_polls_before_raise < 1:
            raise InputError("at least one good poll comes before a raise", where="good_polls_before_raise")
