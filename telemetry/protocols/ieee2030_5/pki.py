"""A throw-away PKI for tests and demonstrations: root, issuer, server, devices, aggregators; ECDSA P-256 throughout."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from telemetry.protocols.ieee2030_5.codec import lfdi_of, sfdi_of

FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # 2030.5 8.11.6: device certificates do not expire
POLICY = "1.3.6.1.4.1.40732."
DEVICE, TEST, SERVICE_PROVIDER = POLICY + "1.1", POLICY + "2.1", POLICY + "2.3"
HARDWARE_MODULE_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.4")
ANY_POLICY = ObjectIdentifier("2.5.29.32.0")
Key = ec.EllipticCurvePrivateKey


def make(
    out: Path, *, hosts: Sequence[str], devices: int, aggregators: int, pen: int, now: datetime
) -> dict[str, dict[str, str]]:
    """Write the PKI into a new folder; return each client's and the server's LFDI and SFDI."""
    out.mkdir(parents=True, exist_ok=False, mode=0o700)
    root_key, root = _authority("Test SERCA", None, None, now)
    issuer_key, issuer = _authority("Test MICA", root_key, root, now)
    (out / "ca-bundle.pem").write_bytes(_pem(issuer) + _pem(root))
    (out / "serca.pem").write_bytes(_pem(root))
    (out / "mica.pem").write_bytes(_pem(issuer))
    index: dict[str, dict[str, str]] = {}

    def put(name: str, key: Key, certificate: x509.Certificate) -> None:
        (out / f"{name}.key").touch(mode=0o600)
        (out / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (out / f"{name}.pem").write_bytes(_pem(certificate))
        (out / f"{name}-chain.pem").write_bytes(_pem(certificate) + _pem(issuer))
        lfdi = lfdi_of(certificate.public_bytes(serialization.Encoding.DER))
        index[name] = {"lfdi": lfdi, "sfdi": str(sfdi_of(lfdi))}

    put("server", *_leaf(issuer_key, issuer, hosts[0], [_host(host) for host in hosts], (SERVICE_PROVIDER, TEST), now))
    for kind, count, policy in (("device", devices, DEVICE), ("aggregator", aggregators, SERVICE_PROVIDER)):
        for number in range(1, count + 1):
            name = f"{kind}{number}"
            put(name, *_leaf(issuer_key, issuer, "", [_hardware(pen, name)], (policy, TEST), now))
    other_key, other = _authority("Another root", None, None, now)
    put("stranger", *_leaf(other_key, other, "", [_hardware(pen, "stranger")], (DEVICE, TEST), now))
    (out / "index.json").write_text(json.dumps(index, indent=1))
    return index


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, now: datetime) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return (
        made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(FOREVER)
    )


def _authority(
    name: str, signer: Key | None, above: x509.Certificate | None, now: datetime
) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = _builder(subject, above.subject if above else subject, key, now)
    made = made.add_extension(x509.BasicConstraints(True, 0 if above else None), critical=True)
    made = made.add_extension(_usage(authority=True), critical=True).add_extension(_policies(ANY_POLICY), critical=True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    parent = (signer or key).public_key()
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(parent), critical=False)
    return key, made.sign(signer or key, hashes.SHA256())


def _leaf(
    signer: Key,
    issuer: x509.Certificate,
    subject: str,
    names: Sequence[x509.GeneralName],
    policies: Sequence[str],
    now: datetime,
) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    made = _builder(title, issuer.subject, key, now).add_extension(_usage(authority=False), critical=True)
    made = made.add_extension(_policies(*map(ObjectIdentifier, policies)), critical=True)
    # Strict clients want the subjectAltName critical, the server's too.
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=True)
    parent = signer.public_key()
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(parent), critical=False)
    return key, made.sign(signer, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, key_agreement=not authority, key_cert_sign=authority, crl_sign=authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _policies(*names: ObjectIdentifier) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(name, None) for name in names])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _hardware(pen: int, serial: str) -> x509.OtherName:
    """HardwareModuleName (RFC 4108): the maker's number and a serial."""
    arcs = bytearray(b"\x2b\x06\x01\x04\x01")  # 1.3.6.1.4.1
    for arc in (pen, 1):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append((arc & 0x7F) | 0x80)
        arcs += bytes(reversed(septets))
    body = _short(0x06, bytes(arcs)) + _short(0x04, serial.encode())
    return x509.OtherName(HARDWARE_MODULE_NAME, _short(0x30, body))


def _short(tag: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([tag, len(body)]) + body


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
