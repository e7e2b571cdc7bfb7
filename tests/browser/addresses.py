"""Prints the addresses of every page by who looks at it, as JSON: `python -m tests.browser.addresses`.

A page is a row of tests/app/access_table.py that answers 200 to a GET and is no data file or part of a page, a page of
the manual, or one of allauth's. What is there to be shown, `tests.browser.seed` puts there (`furnished`).
"""

from __future__ import annotations

import json
from typing import Any

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.urls import reverse  # noqa: E402

from derms.manual import FOLDER  # noqa: E402
from interconnection.api.models import Webhook  # noqa: E402
from interconnection.models import Agreement, Application  # noqa: E402
from tests.app.access_table import ROWS, World, who  # noqa: E402

LOOKERS = ("engineer", "operator", "approver", "administrator", "applicant", "auditor")
NOT_PAGES = (
    "api-", "schema", "study-state", "study-geometry", "study-hours", "queue-csv", "reports-csv", "ledger-csv",
    "feeder-state", "feeder-wires", "offer-letter", "offer-terms", "study-progress", "study-profile", "study-what-if",
    "study-ladder", "studies-in-hand", "logout", "oauth",
)  # fmt: skip
ALLAUTH = ("mfa_index", "mfa_activate_totp", "account_change_password", "account_email", "usersessions_list")
NOBODY = "nobody"
"""Who is not signed in."""


def main() -> None:
    """Print `{"pages": {person: [path, …]}}`."""
    application = Application.objects.filter(offers__isnull=False, applicant__username="applicant").order_by("-pk")[0]
    user = get_user_model().objects.get
    people: dict[str, Any] = {name: user(username=name) for name in LOOKERS}
    people[NOBODY] = user(username="keeper")
    offer = application.offers.order_by("-pk")[0]
    agreed = Agreement.objects.order_by("pk")[0]
    world = World(
        people, application, offer.study, offer, {"agreement": agreed, "webhook": Webhook.objects.order_by("pk")[0]}
    )
    pages: dict[str, list[str]] = {name: [] for name in (*LOOKERS, NOBODY)}
    for name, row in ROWS.items():
        if row.status != 200 or (name.startswith(NOT_PAGES) and name != "api-docs"):
            continue
        allowed = who(row.get)
        looker = "applicant" if allowed == {"applicant", "administrator"} else next(
            person for person in LOOKERS if person in allowed
        )  # fmt: skip
        pages[looker].append(reverse(name, args=row.args(world)))
    pages["applicant"] += [reverse("application", args=[application.pk]), reverse("queue"), reverse("my-sites")]
    pages["applicant"] += [reverse("new-application"), reverse("tokens"), reverse("webhooks")]
    for waiting in Application.objects.order_by("-pk")[:2]:
        pages["engineer"].append(reverse("application", args=[waiting.pk]))
    pages["operator"].append(reverse("site", args=[agreed.terms.feeder, agreed.site]))
    pages["approver"] += [reverse(name) for name in ALLAUTH]
    manual = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.md"))
    pages[NOBODY] += [reverse("login"), *(reverse("manual-page", args=[name]) for name in manual)]
    print(json.dumps({"pages": {name: paths for name, paths in pages.items() if paths}}))


if __name__ == "__main__":
    main()
