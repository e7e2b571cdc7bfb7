"""DNP3 numbers ↔ our words. Signs and scales are settled here: the meter counts generation positive, we count import.

Pure. A limit goes out in per mille of the rating, rounded down: what the site decodes is never looser.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from derms.errors import RemoteError
from derms.limits import Limit
from telemetry.control.grant import Grant, Quality, Reading
from telemetry.protocols.dnp3 import points as p

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
        """Say whether the flags vouch for the value."""
        return bool(self.flags & ONLINE) and not self.flags & BAD_FLAGS


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


def grant_outputs(grant: Grant, ratings: Limit) -> dict[int, int]:
    """Return the analog outputs of a grant, index → raw. Raises RemoteError for a site that gave no stamp."""
    if grant.stamp is None:
        raise RemoteError("the site gives no stamp to answer", where=grant.site, remedy="Poll its lease points.")
    import_raw, export_raw = limit_to_raw(grant.limit, ratings)
    outputs = {
        p.AO_REVERSION_S: int(grant.ttl_s),
        p.AO_IMPORT_LIMIT: import_raw,
        p.AO_EXPORT_LIMIT: export_raw,
        p.AO_STAMP: int(grant.stamp),
        p.AO_EPOCH: grant.epoch,
        p.AO_SEQUENCE: grant.sequence,
    }
    return outputs | {p.AO_CHECK: check_of(outputs)}


def check_of(outputs: Mapping[int, int]) -> int:
    """Return the check over a grant's analog outputs, index → raw: the CRC-32 of their values by index, 31 bits.

    Parameters are staged one by one; without it a latch could take one master's limit under another master's epoch.
    """
    values = [outputs[index] for index in sorted(outputs) if index != p.AO_CHECK]
    return zlib.crc32(struct.pack(f">{len(values)}q", *values)) & (p.STAMP_MODULO - 1)


def ratings(analogs: Mapping[int, Value]) -> Limit:
    """Return the site's nameplate from AI5 (charge, negative) and AI4 (generation)."""
    return Limit.of(abs(_good(analogs, p.AI_CHARGE_RATING_W)), abs(_good(analogs, p.AI_GENERATION_RATING_W)))


def reading(site: str, analogs: Mapping[int, Value], binaries: Mapping[int, Value], received: float) -> Reading:
    """Return a Reading from one poll's points; raises RemoteError when a point is missing.

    The stamp stays in the wire's counts (centiseconds): only the site needs to understand it.
    """
    needed = (
        p.AI_POWER_W, p.AI_IMPORT_LIMIT_IN_FORCE, p.AI_EXPORT_LIMIT_IN_FORCE, p.AI_STAMP, p.AI_CHARGE_RATING_W,
        p.AI_GENERATION_RATING_W,
    )  # fmt: skip
    good = all(index in analogs and analogs[index].good for index in needed)
    nameplate = ratings(analogs)
    failsafe = binaries.get(p.BI_IN_FAILSAFE)
    epoch = int(_any(analogs, p.AI_EPOCH_IN_FORCE, -1.0))
    sequence = int(_any(analogs, p.AI_SEQUENCE_IN_FORCE, -1.0))
    return Reading(
        site=site,
        received=received,
        power_w=-_good(analogs, p.AI_POWER_W),
        reactive_var=-_any(analogs, p.AI_REACTIVE_VAR, 0.0),
        voltage_pu=_any(analogs, p.AI_VOLTAGE, 0.0) / 10_000.0 or None,
        limit_in_force=limit_from_raw(
            int(_good(analogs, p.AI_IMPORT_LIMIT_IN_FORCE)), int(_good(analogs, p.AI_EXPORT_LIMIT_IN_FORCE)), nameplate
        ),
        in_failsafe=bool(failsafe.raw) if failsafe is not None else None,
        state_of_charge_percent=_any(analogs, p.AI_STATE_OF_CHARGE, 0.0) / 10.0,
        available_import_w=-_any(analogs, p.AI_AVAILABLE_CHARGE_W, 0.0),
        available_export_w=_any(analogs, p.AI_AVAILABLE_GENERATION_W, 0.0),
        stamp=_good(analogs, p.AI_STAMP),
        epoch=epoch if epoch >= 0 else None,
        sequence=sequence if sequence >= 0 else None,
        quality=Quality.GOOD if good else Quality.BAD,
    )


def _good(analogs: Mapping[int, Value], index: int) -> float:
    value = analogs.get(index)
    if value is None:
        raise RemoteError(f"AI{index} did not come", where="DNP3", remedy="Check the site's point map.")
    return value.raw


def _any(analogs: Mapping[int, Value], index: int, default: float) -> float:
    value = analogs.get(index)
    return value.raw if value is not None and value.good else default
