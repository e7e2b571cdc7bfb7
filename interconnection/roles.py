"""Roles are Django groups. Everything is denied unless a role allows it."""

from __future__ import annotations

from typing import Any

APPLICANT, ENGINEER, APPROVER, OPERATOR, AUDITOR, ADMINISTRATOR = (
    "applicant", "engineer", "approver", "operator", "auditor", "administrator",
)  # fmt: skip
ROLES = (APPLICANT, ENGINEER, APPROVER, OPERATOR, AUDITOR, ADMINISTRATOR)


def roles(user: Any) -> frozenset[str]:
    """Return a user's roles; none for somebody who is not signed in."""
    if not getattr(user, "is_authenticated", False):
        return frozenset()
    return frozenset(user.groups.values_list("name", flat=True)) & frozenset(ROLES)


def has(user: Any, *wanted: str) -> bool:
    """Say whether the user has one of the roles."""
    return bool(roles(user) & frozenset(wanted))


def sees_all(user: Any) -> bool:
    """Say whether the user works for the utility and may read every application."""
    return has(user, ENGINEER, APPROVER, OPERATOR, AUDITOR)
