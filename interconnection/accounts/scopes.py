"""What a token may do. A scope never gives more than its owner's roles: both must allow."""

from __future__ import annotations

from derms.errors import InputError

SCOPES: dict[str, str] = {
    "feeders:read": "feeders, their buses and findings; the sandbox",
    "applications:read": "applications, studies and offers",
    "applications:write": "file, change, submit and withdraw applications",
    "studies:write": "order and cancel studies",
    "offers:write": "issue and accept offers",
    "sites:read": "limits in force and the curtailment ledger",
    "limits:write": "operators: lower a site's limit for a while",
    "devices:read": "operators: IEEE 2030.5 devices, and what their subscribers were told",
    "devices:write": "engineers: register and revoke devices; operators: tell a subscriber again",
    "webhooks:write": "webhooks: set up, resend, rotate the secret",
}
"""Scope → what it opens."""


def checked(scopes: list[str]) -> list[str]:
    """Return known scopes in the table's order; raises InputError for an unknown one or none."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise InputError(f"unknown scope {unknown[0]!r}", where="scopes", remedy=f"Known: {', '.join(SCOPES)}.")
    if not scopes:
        raise InputError("a token without a scope opens nothing", where="scopes", remedy="Choose at least one.")
    return [name for name in SCOPES if name in scopes]
