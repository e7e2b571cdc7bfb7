"""Units and the one sign rule.

Inside the program: watts, var, volts, per unit, seconds, UTC. Power at a site's point of common coupling is
**positive for import** (the site draws from the network) and negative for export. Codecs alone convert.
A limit is a whole, finite, non-negative number of watts; 0 means none allowed; nothing means "unlimited".
Rounding a limit always goes down.
"""

from __future__ import annotations

import math
from typing import Final

from derms.errors import InputError

SQRT3: Final = math.sqrt(3.0)
# Twice the largest single distribution connection anyone has asked for: a typing slip (W for kW) is beyond it.
LARGEST_WATTS: Final = 2_000_000_000


def watts(value: object, *, where: str, most: int = LARGEST_WATTS) -> int:
    """Return a limit's magnitude in whole watts, rounded down.

    `value`: an int or float in watts, finite, 0 ≤ value ≤ `most`. Text, booleans and NaN are refused: Django's
    own validators let NaN through and float("1_000") is 1000.
    Raises InputError with `where`.
    """
    number = finite(value, where=where)
    if number < 0:
        raise InputError(
            f"{number:g} W is negative",
            where=where,
            remedy="Give a magnitude: import and export are two fields.",
        )
    whole = math.floor(number)
    if whole > most:
        raise InputError(f"{whole} W is above {most} W", where=where, remedy="Check the unit: this field is watts.")
    return whole


def finite(value: object, *, where: str) -> float:
    """Return a finite float from an int or float; refuse booleans, text, NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{value!r} is not a number", where=where, remedy="Give a plain JSON number.")
    number = float(value)
    if not math.isfinite(number):
        raise InputError(f"{value!r} is not finite", where=where, remedy="Give a finite number.")
    return number


def kilowatts_to_watts(value: object, *, where: str) -> int:
    """Return whole watts, rounded down, from a magnitude in kilowatts."""
    # 0.1 kW steps are not exact in binary: a nano-watt of tolerance keeps 606.7 kW at 606,700 W.
    return watts(finite(value, where=where) * 1000.0 + 1e-6, where=where)


def floor_to_step(value_w: int, step_w: int) -> int:
    """Round a magnitude in watts down to a whole number of steps (a wire's resolution)."""
    if step_w <= 0:
        raise InputError(f"step {step_w} W is not positive", where="step_w")
    return value_w - value_w % step_w
