"""People, tokens, a client, a feeder and a listed charger for the API's worked example: prints them as JSON."""

from __future__ import annotations

import json

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.utils import timezone  # noqa: E402

from interconnection.accounts import services  # noqa: E402
from interconnection.accounts.scopes import SCOPES  # noqa: E402
from interconnection.services.feeders import store_model  # noqa: E402
from tests.app.conftest import MODEL, listed  # noqa: E402


def main() -> None:
    """Fill the database and print what the example needs."""
    found = {}
    for role in ("applicant", "engineer", "approver", "operator"):
        user = get_user_model().objects.create_user(role)
        user.groups.add(Group.objects.get_or_create(name=role)[0])
        _, found[role.upper()] = services.make_token(user, "example", list(SCOPES), days=1, now=timezone.now())
    applicant = get_user_model().objects.get(username="applicant")
    client, secret = services.make_client(applicant, "portal", ["applications:read", "feeders:read"])
    store_model(MODEL, "ieee13", actor="seed")
    listed()
    print(json.dumps(found | {"CLIENT": client.pk, "SECRET": secret}))


if __name__ == "__main__":
    main()
