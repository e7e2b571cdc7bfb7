"""Roles are Django groups. Everything is denied unless a role allows it."""

from __future__ import annotations

from typing import Any

from derms.access import role_names

APPLICANT, ENGINEER, APPROVER, OPERATOR, AUDITOR, ADMINISTRATOR = (
    "applicant", "engineer", "approver", "operator", "auditor", "administrator",
)  # fmt: skip
ROLES = (APPLICANT, ENGINEER, APPROVER, OPERATOR, AUDITOR, ADMINISTRATOR)
UTILITY = (ENGINEER, APPROVER, OPERATOR, AUDITOR)
"""The utility's people who may read every application. Not the administrator: running accounts is not reading cases."""


def roles(user: Any) -> frozenset[str]:
    """Return a user's roles; none for somebody who is not signed in."""
    return role_names(user) & frozenset(ROLES)


def has(user: Any, *wanted: str) -> bool:
    """Say whether the user has one of the roles."""
    return bool(roles(user) & frozenset(wanted))


def sees_all(user: Any) -> bool:
    """Say whether the user works for the utility and may read every application."""
    return has(user, *UTILITY)
