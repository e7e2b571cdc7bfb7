"""What a client certificate says of itself, for people and for alarms; trust is the TLS context's business. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from derms.errors import InputError
from telemetry.protocols.ieee2030_5.codec import checked_lfdi, lfdi_of

FOREVER = 9999
"""The year of notAfter 99991231235959Z: device certificates do not expire (2030.5 8.11.6)."""
WARN_DAYS = (90, 30, 7, 1)
HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4"


def facts(der: bytes) -> dict[str, Any]:
    """Return issuer, serial number, hardware name, policies and dates (ISO 8601) of a certificate in DER.

    Raises InputError when it is no certificate.
    """
    try:
        held = x509.load_der_x509_certificate(der)
        return {
            "subject": held.subject.rfc4514_string(),
            "issuer": held.issuer.rfc4514_string(),
            "serial": f"{held.serial_number:X}",
            "hardware": _hardware(held),
            "policies": _policies(held),
            "not_before": held.not_valid_before_utc.isoformat(),
            "not_after": held.not_valid_after_utc.isoformat(),
        }
    except ValueError as error:
        raise InputError("this is not a certificate", where="certificate") from error


def expiry(found: dict[str, Any]) -> datetime | None:
    """Return when a certificate of these facts ends; None when it never does or nothing is known."""
    if not found.get("not_after"):
        return None
    moment = datetime.fromisoformat(found["not_after"])
    return None if moment.year >= FOREVER else moment


def read_identity(text: str) -> tuple[str, dict[str, Any]]:
    """Return (LFDI, facts) of a PEM certificate, or (LFDI, {}) of an LFDI; raises InputError for anything else."""
    if "BEGIN CERTIFICATE" not in text:
        return checked_lfdi(text.strip().replace(" ", "").replace("-", "")), {}
    try:
        der = x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)
    except ValueError as error:
        raise InputError("this PEM holds no certificate", where="certificate") from error
    return lfdi_of(der), facts(der)


def warning(expires: datetime, now: datetime) -> int | None:
    """Return the alarm step that an expiry has reached: 90, 30, 7 or 1 days ahead, 0 when it is over; None before."""
    if expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    left = (expires - now).total_seconds() / 86_400
    if left <= 0:
        return 0
    return next((days for days in sorted(WARN_DAYS) if left <= days), None)


def _hardware(held: x509.Certificate) -> str:
    """Return the serial octets of a HardwareModuleName (RFC 4108) as text or hexadecimal; empty where there is none."""
    try:
        names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    for name in names:
        if isinstance(name, x509.OtherName) and name.type_id.dotted_string == HARDWARE_MODULE_NAME:
            return _last_octets(name.value)
    return ""


def _last_octets(der: bytes) -> str:
    """Return the OCTET STRING that ends SEQUENCE { hwType OID, hwSerialNum }; short lengths only."""
    if len(der) < 4 or der[0] != 0x30 or der[2] != 0x06:
        return der.hex().upper()
    raw = der[2 + 2 + der[3] + 2 :]
    return raw.decode("ascii") if raw.isascii() and raw.decode("ascii").isprintable() else raw.hex().upper()


def _policies(held: x509.Certificate) -> list[str]:
    try:
        found = held.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return []
    return [item.policy_identifier.dotted_string for item in found]
