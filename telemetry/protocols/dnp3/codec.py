"""DNP3 numbers ↔ our words. Signs and scales are settled here: the meter counts generation positive, we count import.

Pure. A limit goes out in per mille of the rating, rounded down: what the site decodes is never looser.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from derms.errors import RemoteError
from derms.limits import Limit
from telemetry.control.grant import Grant, Quality, Reading
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.dialect import OURS, Dialect

ONLINE = 0x01
BAD_FLAGS = 0x02 | 0x04 | 0x20  # restart, communication lost, over range (analog)
CENTISECONDS = 100


@dataclass(frozen=True, slots=True)
class Value:
    """A point as it came: raw value and its flag octet."""

    raw: float
    flags: int

    @property
    def good(self) -> bool:
        """Say whether the flags vouch for the value, and it is a number: a float variation can carry NaN and infinity."""
        return bool(self.flags & ONLINE) and not self.flags & BAD_FLAGS and math.isfinite(self.raw)


def limit_to_raw(limit: Limit, ratings: Limit) -> tuple[int, int]:
    """Return (AO87, AO88): per mille of the charge and generation ratings, rounded down, at most 1000."""
    return _per_mille(limit.import_w, ratings.import_w), _per_mille(limit.export_w, ratings.export_w)


def _per_mille(value_w: int, rating_w: int) -> int:
    return min(p.PER_MILLE, value_w * p.PER_MILLE // rating_w) if rating_w > 0 else 0


def limit_from_raw(import_raw: int, export_raw: int, ratings: Limit) -> Limit:
    """Return the limit that two raw outputs mean, rounded down to watts."""
    return Limit(import_raw * ratings.import_w // p.PER_MILLE, export_raw * ratings.export_w // p.PER_MILLE)


def limit_mirror(limit: Limit, ratings: Limit) -> tuple[int, int]:
    """Return (AI148, AI149): the limit in force as served, rounded **up**, so that a reader never sees it tighter
    than it is."""
    return (
        min(p.PER_MILLE, -(-limit.import_w * p.PER_MILLE // ratings.import_w)) if ratings.import_w else 0,
        min(p.PER_MILLE, -(-limit.export_w * p.PER_MILLE // ratings.export_w)) if ratings.export_w else 0,
    )


def stamp_to_raw(seconds: float) -> int:
    """Return a monotonic second as it goes over the wire."""
    return int(seconds * CENTISECONDS) % p.STAMP_MODULO


def stamp_from_raw(raw: int, now: float) -> float:
    """Return the youngest second not after `now` that a raw stamp can mean (the counter wraps every 248 days)."""
    now_raw = int(now * CENTISECONDS)
    age = (now_raw - raw) % p.STAMP_MODULO
    return (now_raw - age) / CENTISECONDS


def grant_outputs(grant: Grant, ratings: Limit, dialect: Dialect = OURS, *, waited_s: float = 0.0) -> dict[int, int]:
    """Return the analog outputs of a grant, index → raw, for one dialect.

    A device without lease points counts from the write: `waited_s`, the age of the grant, is taken off. Raises RemoteError
    for a leased site that gave no stamp, and for a device without reversion: nothing would end what it is lent.
    """
    import_raw, export_raw = limit_to_raw(grant.limit, ratings)
    limits = {dialect.import_output: import_raw, dialect.export_output: export_raw}
    if not dialect.leased:
        left_s = int(grant.ttl_s - waited_s)
        if left_s < 1:
            raise RemoteError("the grant is over before it could be written", where=grant.site)
        if not dialect.reversion:
            raise RemoteError(
                "the device has no reversion", where=grant.site, remedy="It can only hold its failsafe limit."
            )
        return {p.AO_REVERSION_S: left_s} | limits
    if grant.stamp is None:
        raise RemoteError("the site gives no stamp to answer", where=grant.site, remedy="Poll its lease points.")
    outputs = {p.AO_REVERSION_S: int(grant.ttl_s)} | limits
    outputs |= {p.AO_STAMP: int(grant.stamp), p.AO_EPOCH: grant.epoch, p.AO_SEQUENCE: grant.sequence}
    return outputs | {p.AO_CHECK: check_of(outputs)}


def check_of(outputs: Mapping[int, int]) -> int:
    """Return the check over a grant's analog outputs, index → raw: the CRC-32 of their values by index, 31 bits.

    Parameters are staged one by one; without it a latch could take one master's limit under another master's epoch.
    """
    values = [outputs[index] for index in sorted(outputs) if index != p.AO_CHECK]
    return zlib.crc32(struct.pack(f">{len(values)}q", *values)) & (p.STAMP_MODULO - 1)


def ratings(analogs: Mapping[int, Value]) -> Limit:
    """Return what the device's percentages count from: its settings AI33 and AI32 where served, else its ratings."""
    charge, generation = (
        setting if setting is not None and setting.good and setting.raw else _need(analogs, rating)
        for setting, rating in (
            (analogs.get(p.AI_CHARGE_MOST_W), p.AI_CHARGE_RATING_W),
            (analogs.get(p.AI_GENERATION_MOST_W), p.AI_GENERATION_RATING_W),
        )
    )
    return Limit.of(abs(charge.raw), abs(generation.raw))


def reading(
    site: str, analogs: Mapping[int, Value], binaries: Mapping[int, Value], received: float, dialect: Dialect = OURS
) -> Reading:
    """Return a Reading from one poll's points; raises RemoteError when a point is missing.

    The stamp stays in the wire's counts (centiseconds): only the site needs to understand it. A device without lease
    points is at its failsafe when its limit is not enabled (BI69): what that is worth, commissioning has shown.
    """
    needed = [
        p.AI_POWER_W, p.AI_IMPORT_LIMIT_IN_FORCE, p.AI_EXPORT_LIMIT_IN_FORCE, p.AI_CHARGE_RATING_W,
        p.AI_GENERATION_RATING_W,
    ]  # fmt: skip
    if dialect.leased:
        needed.append(p.AI_STAMP)
    good = all(index in analogs and analogs[index].good for index in needed)
    nameplate = ratings(analogs)
    epoch = int(_any(analogs, p.AI_EPOCH_IN_FORCE, -1.0))
    sequence = int(_any(analogs, p.AI_SEQUENCE_IN_FORCE, -1.0))
    return Reading(
        site=site,
        received=received,
        power_w=-_good(analogs, p.AI_POWER_W),
        reactive_var=-_any(analogs, p.AI_REACTIVE_VAR, 0.0),
        voltage_pu=_any(analogs, p.AI_VOLTAGE, 0.0) / 10_000.0 or None,
        limit_in_force=limit_from_raw(
            int(_good(analogs, dialect.import_mirror)), int(_good(analogs, dialect.export_mirror)), nameplate
        ),
        in_failsafe=_in_failsafe(binaries, dialect),
        state_of_charge_percent=_percent(analogs.get(p.AI_STATE_OF_CHARGE)),
        energy_wh=_energy(analogs.get(p.AI_USABLE_WH), analogs.get(p.AI_STATE_OF_CHARGE)),
        available_import_w=_negative(analogs.get(p.AI_AVAILABLE_CHARGE_W)),
        available_export_w=_any(analogs, p.AI_AVAILABLE_GENERATION_W, 0.0),
        stamp=_good(analogs, p.AI_STAMP) if dialect.leased else None,
        epoch=epoch if epoch >= 0 else None,
        sequence=sequence if sequence >= 0 else None,
        quality=Quality.GOOD if good else Quality.BAD,
    )


def _in_failsafe(binaries: Mapping[int, Value], dialect: Dialect) -> bool | None:
    value = binaries.get(p.BI_IN_FAILSAFE if dialect.leased else p.BI_LIMIT_ENABLED)
    if value is None:
        return None
    return bool(value.raw) is dialect.leased


def _percent(value: Value | None) -> float | None:
    return value.raw / 10.0 if value is not None and value.good else None


def _energy(usable: Value | None, charge: Value | None) -> float | None:
    """Return the energy held, watt-hours: usable energy times state of charge; None when either does not say."""
    if usable is None or charge is None or not (usable.good and charge.good) or usable.raw <= 0:
        return None
    return usable.raw * charge.raw / 1000.0


def _negative(value: Value | None) -> float | None:
    return -value.raw if value is not None and value.good else None


def _need(analogs: Mapping[int, Value], index: int) -> Value:
    value = analogs.get(index)
    if value is None:
        raise RemoteError(f"AI{index} did not come", where="DNP3", remedy="Check the site's point map.")
    if not math.isfinite(value.raw):
        raise RemoteError(f"AI{index} is not a number", where="DNP3")
    return value


def _good(analogs: Mapping[int, Value], index: int) -> float:
    return _need(analogs, index).raw


def _any(analogs: Mapping[int, Value], index: int, default: float) -> float:
    value = analogs.get(index)
    return value.raw if value is not None and value.good else default
