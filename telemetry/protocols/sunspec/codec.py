"""SunSpec registers ↔ our words. 701 `W` counts generation positive, we count import; scale factors are points.

Pure. Model layouts come from pysunspec2; nothing else of it is used. A limit goes out rounded down to the scale factor.

How a limit is said (decision 0008): `WMaxLimPct` caps **injection** only. No SunSpec point limits charging with a
reversion timer, so the import limit is a charging set-point, `WSet` = −limit: the device draws at most that, and less
when its vehicles want less. Both carry the lease as their reversion time and the failsafe as their reversion value;
`WChaRteMax` is the static ceiling beneath.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import sunspec2.device as sunspec

from derms.errors import RemoteError
from derms.limits import Limit
from derms.units import floor_to_step
from telemetry.control.grant import Quality, Reading

BASES = (40000, 0, 50000)
"""Where the marker may stand, in the order in which devices are asked."""
BASE = BASES[0]
MARKER = (0x5375, 0x6E53)
END = 0xFFFF
MODELS = (1, 701, 702, 704, 705, 713)
NEEDED = (701, 702, 704)  # a charger without storage of its own has no 713
# What one poll reads: (model, first register, count); the scale factors were read with the scan.
POLL = ((701, 2, 17), (704, 14, 21), (713, 2, 4))
WATTS_MODE = 1  # WSetMod: the set-point is in watts


def words(data: bytes) -> list[int]:
    """Return registers from bytes."""
    return list(struct.unpack(f">{len(data) // 2}H", data))


def octets(registers: list[int]) -> bytes:
    """Return bytes from registers."""
    return struct.pack(f">{len(registers)}H", *registers)


@dataclass
class Image:
    """The last known registers of one device: model number → address and bytes (ID and length included)."""

    addresses: dict[int, int] = field(default_factory=dict)
    models: dict[int, bytearray] = field(default_factory=dict)
    _decoded: dict[int, tuple[bytes, Any]] = field(default_factory=dict)

    def patch(self, model: int, first: int, registers: list[int]) -> None:
        """Take registers that were read, `first` counted from the model's ID."""
        self.models[model][first * 2 : (first + len(registers)) * 2] = octets(registers)

    def points(self, model: int) -> Any:
        """Return the model with its values decoded, to be read only: it is decoded anew when its registers changed."""
        data = bytes(self.models[model])
        known = self._decoded.get(model)
        if known is None or known[0] != data:
            known = self._decoded[model] = (data, self.copy(model))
        return known[1]

    def copy(self, model: int) -> Any:
        """Return the model decoded for the caller alone, to be changed and encoded."""
        decoded = sunspec.Model(model)
        decoded.set_mb(bytes(self.models[model]), dirty=False)
        return decoded


def ratings(image: Image) -> Limit:
    """Return the nameplate from 702: charge and discharge rate ratings."""
    capacity = image.points(702)
    charge, discharge = capacity.WChaRteMaxRtg.cvalue, capacity.WDisChaRteMaxRtg.cvalue
    if charge is None or discharge is None:
        raise RemoteError("702 states no charge or discharge rating", where="SunSpec 702")
    return Limit.of(charge, discharge)


def reading(site: str, image: Image, received: float) -> Reading:
    """Return a Reading; a point that the device does not implement (its NaN value) makes it BAD."""
    measured, control = image.points(701), image.points(704)
    power = measured.W.cvalue
    nameplate = ratings(image)
    limit = limit_in_force(image, nameplate)
    state = image.points(713).SoC.cvalue if 713 in image.models else None
    return Reading(
        site=site,
        received=received,
        power_w=-float(power) if power is not None else 0.0,
        reactive_var=-float(measured.Var.cvalue or 0.0),
        voltage_pu=None,
        limit_in_force=limit,
        in_failsafe=not (control.WSetRvrtRem.value or 0),
        state_of_charge_percent=float(state) if state is not None else None,
        quality=Quality.GOOD if power is not None and limit is not None else Quality.BAD,
    )


def limit_in_force(image: Image, nameplate: Limit) -> Limit | None:
    """Return what the device's registers say it obeys; None when they do not say."""
    control, capacity = image.points(704), image.points(702)
    percent, set_point = control.WMaxLimPct.cvalue, control.WSet.cvalue
    most_w, charge_w = capacity.WMax.cvalue, capacity.WChaRteMax.cvalue
    if None in (percent, set_point, most_w, charge_w):
        return None
    export_w = float(percent) / 100.0 * float(most_w) if control.WMaxLimPctEna.value else float(most_w)
    import_w = max(0.0, -float(set_point)) if control.WSetEna.value else float(charge_w)
    return Limit.of(min(import_w, float(charge_w)), export_w).meet(nameplate)


@dataclass(frozen=True, slots=True)
class Writes:
    """Register writes of one grant, (first register from the model's ID, values): parameters, then the enables."""

    parameters: tuple[tuple[int, list[int]], ...]
    enables: tuple[tuple[int, list[int]], ...]


def grant_writes(image: Image, limit: Limit, failsafe: Limit, ttl_s: int) -> Writes:
    """Return the writes to model 704 for a limit that reverts to the failsafe after `ttl_s` seconds."""
    control, capacity = image.copy(704), image.points(702)
    most_w = float(capacity.WMax.cvalue)
    control.WMaxLimPct.value = _percent(limit.export_w, most_w, control.WMaxLimPct_SF.value)
    control.WMaxLimPctRvrt.value = _percent(failsafe.export_w, most_w, control.WMaxLimPct_SF.value)
    control.WMaxLimPctEnaRvrt.value = 1
    control.WMaxLimPctRvrtTms.value = ttl_s
    control.WSetMod.value = WATTS_MODE
    control.WSet.value = _set_point(limit.import_w, control.WSet_SF.value)
    control.WSetRvrt.value = _set_point(failsafe.import_w, control.WSet_SF.value)
    control.WSetEnaRvrt.value = 1
    control.WSetRvrtTms.value = ttl_s
    registers = words(control.get_mb())
    # Gaps between writable registers split the writes; the enables stand at the lowest addresses and must come last.
    return Writes(((15, registers[15:20]), (23, registers[23:28]), (30, registers[30:33])), ((14, [1]), (22, [1])))


def _percent(value_w: int, most_w: float, scale: int | None) -> int:
    """Return raw per cent of WMax, rounded down, at most 100 %."""
    unit = 10.0 ** (scale or 0)
    share = min(1.0, value_w / most_w) if most_w > 0 else 0.0
    return int(share * 100.0 / unit + 1e-9)


def _set_point(value_w: int, scale: int | None) -> int:
    """Return a raw charging set-point, negative, its magnitude rounded down to the scale factor."""
    unit = 10 ** (scale or 0)
    return -int(value_w / unit) if unit < 1 else -(floor_to_step(value_w, int(unit)) // int(unit))
