"""Who speaks for a site over IEEE 2030.5, and what it says it can do: for the commissioning test. Reads only."""

from __future__ import annotations

from typing import Any

from telemetry.protocols.ieee2030_5 import codec
from telemetry.utility_models import EndDevice, Posted, WireIdentity

RATES = (("export_w", "MaxW"), ("export_w", "MaxDischargeRateW"), ("import_w", "MaxChargeRateW"))
VOLT_VAR = 23
"""The bit of opModVoltVar in modesEnabled (2030.5 DERControlType)."""


def site_identity(site: str) -> dict[str, str]:
    """Return who speaks for a site and what it says it can do, in words; empty where no device is registered.

    `import_w`, `export_w`: the rates of its newest DERSettings (else DERCapability), where it has reported any.
    """
    devices = list(EndDevice.objects.filter(site=site, own=False).select_related("aggregator").order_by("id"))
    if not devices:
        return {}
    known = {row.lfdi: row for row in WireIdentity.objects.filter(lfdi__in=[row.lfdi for row in devices])}
    facts = {"lfdi": ", ".join(row.lfdi for row in devices)}
    for device in devices:
        who = device.aggregator or known.get(device.lfdi)
        if who is not None and who.certificate:
            facts["certificate"] = str(who.certificate.get("hardware") or who.certificate.get("serial") or "")
        if who is not None and who.seen is not None:
            facts["last seen"] = f"{who.seen:%Y-%m-%d %H:%M:%S}"
    rows = Posted.objects.filter(device__in=devices, kind__in=("DERCapability", "DERSettings")).order_by("kind", "id")
    for row in rows:  # the settings come after the capability and count
        facts |= _rates(row.content)
        if enabled := row.content.get("modesEnabled"):
            facts["volt-var"] = "on" if int(enabled, 16) >> VOLT_VAR & 1 else "off"
    return facts


def _rates(content: dict[str, Any]) -> dict[str, str]:
    """Return the rates of discharge and charge in a DERCapability or DERSettings, those that are there."""
    rated = [(side, content.get(f"set{name}") or content.get(f"rtg{name}")) for side, name in RATES]
    return {side: str(max(0, int(codec.watts_of(power)))) for side, power in rated if power}
