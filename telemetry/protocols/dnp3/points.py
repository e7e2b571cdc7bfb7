"""The points that Headroom uses at a site, by name. Numbers up to 600 are those of DNP3 AN2018-001 / IEEE 1815.2.

The block from 50000 is the vendor block of IEEE 1815.2; ours carries what neither edition has: a lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Analog inputs
AI_EDITION: Final = 0
AI_GENERATION_RATING_W: Final = 4
AI_CHARGE_RATING_W: Final = 5  # stated negative
AI_USABLE_WH: Final = 18  # of what is plugged in; with the state of charge it gives the energy held
AI_AVAILABLE_GENERATION_W: Final = 43
AI_AVAILABLE_CHARGE_W: Final = 44  # stated negative
AI_GENERATION_MOST_W: Final = 32  # the setting that percentages count from, where it is served
AI_CHARGE_MOST_W: Final = 33  # likewise, stated negative
AI_STATE_OF_CHARGE: Final = 47  # 0.1 %
AI_IMPORT_LIMIT_IN_FORCE: Final = 148  # per mille of the charge rating
AI_EXPORT_LIMIT_IN_FORCE: Final = 149  # per mille of the generation rating
AI_POWER_W: Final = 537  # generation positive
AI_REACTIVE_VAR: Final = 541
AI_VOLTAGE: Final = 547  # 0.0001 pu here: the twin's sites state per unit
AI_STAMP: Final = 50000  # the site's monotonic clock, centiseconds modulo 2**31
AI_EPOCH_IN_FORCE: Final = 50001
AI_SEQUENCE_IN_FORCE: Final = 50002
# Binary inputs
BI_LIMIT_ENABLED: Final = 69
BI_IN_FAILSAFE: Final = 50000
# Analog outputs
AO_PRIORITY: Final = 82
AO_WINDOW_S: Final = 83
AO_RAMP_S: Final = 84
AO_REVERSION_S: Final = 85
AO_IMPORT_LIMIT: Final = 87
AO_EXPORT_LIMIT: Final = 88
AO_STAMP: Final = 50000
AO_EPOCH: Final = 50001
AO_SEQUENCE: Final = 50002
AO_CHECK: Final = 50003  # over all the others: parameters of two masters' grants never pass as one
# Binary outputs
BO_LIMIT_ENABLE: Final = 17

EDITION: Final = 110  # IEEE 1815.2 profile 1.10
PER_MILLE: Final = 1000
STAMP_MODULO: Final = 2**31
SELECT_TIMEOUT_S: Final = 5.0
OUTSTATION_ADDRESS: Final = 1024
MASTER_ADDRESS: Final = 1

# What one poll asks for: (group, variation, first index, last index). Variation 1 of g30 is 32 bits with flag.
POLL: Final = (
    (30, 1, AI_GENERATION_RATING_W, AI_CHARGE_RATING_W),
    (30, 1, AI_USABLE_WH, AI_USABLE_WH),
    (30, 1, AI_AVAILABLE_GENERATION_W, AI_AVAILABLE_CHARGE_W),
    (30, 1, AI_STATE_OF_CHARGE, AI_STATE_OF_CHARGE),
    (30, 1, AI_IMPORT_LIMIT_IN_FORCE, AI_EXPORT_LIMIT_IN_FORCE),
    (30, 1, AI_POWER_W, AI_POWER_W),
    (30, 1, AI_REACTIVE_VAR, AI_REACTIVE_VAR),
    (30, 1, AI_VOLTAGE, AI_VOLTAGE),
    (30, 1, AI_STAMP, AI_SEQUENCE_IN_FORCE),
    (1, 2, BI_IN_FAILSAFE, BI_IN_FAILSAFE),
)
# What an integrity poll tells of who answers.
IDENTITY: Final = (AI_EDITION, AI_GENERATION_RATING_W, AI_CHARGE_RATING_W)
# Of a device without lease points: its edition and its own limit's state instead.
POLL_STANDARD: Final = (
    (30, 1, AI_EDITION, AI_EDITION),
    (30, 1, AI_GENERATION_RATING_W, AI_CHARGE_RATING_W),
    (30, 1, AI_IMPORT_LIMIT_IN_FORCE, AI_EXPORT_LIMIT_IN_FORCE),
    (30, 1, AI_POWER_W, AI_POWER_W),
    (1, 2, BI_LIMIT_ENABLED, BI_LIMIT_ENABLED),
)


@dataclass(frozen=True, slots=True)
class InputPoint:
    """One served input: kind "AI" or "BI", index, name, event class, unit and what a count is worth."""

    kind: str
    index: int
    name: str
    event_class: int
    units: str
    scale: float
    deadband: int = 0


INPUTS: Final = (
    InputPoint("AI", AI_EDITION, "Profile edition", 3, "", 0.01),
    InputPoint("AI", AI_GENERATION_RATING_W, "Generation rating", 3, "W", 1),
    InputPoint("AI", AI_CHARGE_RATING_W, "Charge rating (negative)", 3, "W", 1),
    InputPoint("AI", AI_USABLE_WH, "Usable energy of what is plugged in", 3, "Wh", 1, 10_000),
    InputPoint("AI", AI_AVAILABLE_GENERATION_W, "Available generation", 2, "W", 1, 10_000),
    InputPoint("AI", AI_AVAILABLE_CHARGE_W, "Available charge (negative)", 2, "W", 1, 10_000),
    InputPoint("AI", AI_STATE_OF_CHARGE, "State of charge", 2, "%", 0.1, 10),
    InputPoint("AI", AI_IMPORT_LIMIT_IN_FORCE, "Import limit in force", 1, "% of charge rating", 0.1),
    InputPoint("AI", AI_EXPORT_LIMIT_IN_FORCE, "Export limit in force", 1, "% of generation rating", 0.1),
    InputPoint("AI", AI_POWER_W, "PCC power, generation positive", 2, "W", 1, 5_000),
    InputPoint("AI", AI_REACTIVE_VAR, "PCC reactive power", 2, "var", 1, 5_000),
    InputPoint("AI", AI_VOLTAGE, "PCC voltage", 2, "pu", 0.0001, 50),
    InputPoint("AI", AI_STAMP, "Site monotonic clock", 3, "cs", 1, STAMP_MODULO - 1),
    InputPoint("AI", AI_EPOCH_IN_FORCE, "Epoch of the lease in force (-1 none)", 1, "", 1),
    InputPoint("AI", AI_SEQUENCE_IN_FORCE, "Sequence of the lease in force (-1 none)", 2, "", 1, 1_000_000),
    InputPoint("BI", BI_LIMIT_ENABLED, "Limit by lease enabled", 1, "", 1),
    InputPoint("BI", BI_IN_FAILSAFE, "Site at its failsafe limit", 1, "", 1),
)


@dataclass(frozen=True, slots=True)
class OutputPoint:
    """One analog output: index, name, lawful raw range, unit and what a count is worth."""

    index: int
    name: str
    least: int
    most: int
    units: str
    scale: float


OUTPUTS: Final = (
    OutputPoint(AO_REVERSION_S, "Limit reversion time-out (lease)", 1, 3600, "s", 1),
    OutputPoint(AO_IMPORT_LIMIT, "Import limit", 0, PER_MILLE, "% of charge rating", 0.1),
    OutputPoint(AO_EXPORT_LIMIT, "Export limit", 0, PER_MILLE, "% of generation rating", 0.1),
    OutputPoint(AO_STAMP, "Stamp that the grant answers", 0, STAMP_MODULO - 1, "cs", 1),
    OutputPoint(AO_EPOCH, "Epoch", 0, STAMP_MODULO - 1, "", 1),
    OutputPoint(AO_SEQUENCE, "Sequence", 0, STAMP_MODULO - 1, "", 1),
    OutputPoint(AO_CHECK, "Check over the other parameters (CRC-32, 31 bits)", 0, STAMP_MODULO - 1, "", 1),
)
