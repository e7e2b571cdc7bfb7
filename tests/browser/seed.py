"""Fills the browser tests' database through the product's own services: `python -m tests.browser.seed people`."""

from __future__ import annotations

import sys

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402

from tests.browser.conftest import ROLES, password  # noqa: E402


def people() -> None:
    """One person per role, named as the role, and a second operator."""
    for name, role in [*((role, role) for role in ROLES), ("operator2", "operator")]:
        user = get_user_model().objects.create_user(name, password=password(name))
        user.groups.add(Group.objects.get_or_create(name=role)[0])


WHAT = {"people": people}

if __name__ == "__main__":
    for word in sys.argv[1:]:
        WHAT[word]()
