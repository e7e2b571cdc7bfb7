"""Identities, numbers and power of IEEE 2030.5 ↔ our words. Pure. A limit goes out rounded down, never looser."""

from __future__ import annotations

import hashlib

from derms.errors import InputError
from derms.limits import Limit

INT16 = 32_767


def lfdi_of(certificate: bytes) -> str:
    """Return the LFDI of a certificate in DER: SHA-256, first 160 bits, upper-case hexadecimal (2030.5 6.3.4)."""
    return hashlib.sha256(certificate).hexdigest()[:40].upper()


def sfdi_of(lfdi: str) -> int:
    """Return the SFDI: the first 36 bits in decimal and a digit that makes the digit sum 0 modulo 10 (6.3.3)."""
    number = int(lfdi[:9], 16)
    return number * 10 + -sum(map(int, str(number))) % 10


def checked_lfdi(text: str) -> str:
    """Return an LFDI in the form that is stored; raises InputError unless it is 40 hexadecimal digits."""
    if len(text) != 40 or any(letter not in "0123456789abcdefABCDEF" for letter in text):
        raise InputError("an LFDI is 40 hexadecimal digits", where="lFDI")
    return text.upper()


def pin_of(raw: int) -> int:
    """Return the registration PIN of five digits with its check digit, the digit sum modulo 10."""
    return raw * 10 + sum(map(int, str(raw))) % 10


def mrid_of(kind: str, number: int | str, pen: int) -> str:
    """Return a stable mRID: 24 hexadecimal digits of ours, then the PEN in eight decimal digits (CSIP-AUS)."""
    return hashlib.sha256(f"{kind}:{number}".encode()).hexdigest()[:24].upper() + f"{pen:08d}"


def active_power(value_w: int) -> dict[str, int]:
    """Return an ActivePower of whole watts in an int16 and a multiplier, its magnitude rounded down."""
    magnitude, multiplier = abs(value_w), 0
    while magnitude > INT16:
        magnitude, multiplier = magnitude // 10, multiplier + 1
    return {"multiplier": multiplier, "value": magnitude if value_w >= 0 else -magnitude}


def max_limit(limit_w: int, rating_w: float | None) -> int:
    """Return opModMaxLimW: hundredths of a percent of setMaxW, rounded down; 0 while the rating is not known."""
    if rating_w is None or rating_w <= 0:
        return 0
    return min(10_000, int(limit_w * 10_000 // rating_w))


def watts_of(power: dict[str, int]) -> float:
    """Return watts from an ActivePower."""
    return float(power["value"]) * 10.0 ** power["multiplier"]


def control_base(limit: Limit) -> dict[str, int]:
    """Return the modes of a limit in watts: import and export at the connection point."""
    return {"opModImpLimW": limit.import_w, "opModExpLimW": limit.export_w}


def limit_of(base: dict[str, dict[str, int]]) -> Limit:
    """Return the limit that a client reads from a DERControlBase, rounded down to watts."""
    return Limit.of(watts_of(base["opModImpLimW"]), watts_of(base["opModExpLimW"]))
