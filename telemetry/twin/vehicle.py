"""Vehicles and chargers of one depot as arrays: battery, converter, ramp. Pure; powers in watts, import positive.

Converter loss P_r (0.0075 + 0.025 |p| + 0.020 p²) with p = P/P_r, and a battery at 0.985 each way, give a round trip of
0.873 at full and 0.860 at quarter power; measured chargers show 0.79 to 0.88 (Schram et al., Energies 2020, 13(5), 1240).
Charging tapers linearly to nothing from 80 % state of charge. A charger moves after some seconds and ramps (Zecchino et
al., World Electric Vehicle Journal 2019, 10(2), 21, saw 4 to 7 s and 3.3 kW/s at 10 kW); 6 kW/s for a 60 kW unit is our
assumption.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TAPER_FROM = 0.80
BATTERY_ONE_WAY = 0.985
STANDBY_W = 50.0


@dataclass(frozen=True, slots=True)
class ChargerType:
    """Rated watts each way, ramp in W/s, the least power it runs at, battery watt-hours behind it."""

    rated_w: float = 60_000.0
    ramp_w_per_s: float = 6_000.0
    least_w: float = 1_000.0
    battery_wh: float = 226_000.0


def converter_loss_w(power_w: FloatArray, rated_w: float) -> FloatArray:
    """Return the converter's loss; nothing at rest."""
    share = np.abs(power_w) / rated_w
    return np.where(share > 0, rated_w * (0.0075 + 0.025 * share + 0.020 * share**2), 0.0)


def into_battery_w(power_w: FloatArray, rated_w: float) -> FloatArray:
    """Return the power that reaches the cells from a power at the charger's mains side (charging positive)."""
    net = power_w - converter_loss_w(power_w, rated_w)
    return np.where(power_w > 0, np.maximum(net, 0.0) * BATTERY_ONE_WAY, net / BATTERY_ONE_WAY)


def most_charge_w(state: FloatArray, kind: ChargerType) -> FloatArray:
    """Return the largest charging power at a state of charge (0..1): full to 80 %, then linearly down to none."""
    taper = np.clip((1.0 - state) / (1.0 - TAPER_FROM), 0.0, 1.0)
    most = kind.rated_w * taper
    return np.where(most >= kind.least_w, most, 0.0)
