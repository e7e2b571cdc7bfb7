"""Fills the browser tests' database through the product's own services: `python -m tests.browser.seed people`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.utils import timezone  # noqa: E402

from derms.limits import Limit  # noqa: E402
from interconnection.accounts import services as accounts  # noqa: E402
from interconnection.api import webhook_services  # noqa: E402
from interconnection.models import Agreement, Application, Feeder  # noqa: E402
from interconnection.services import clocks  # noqa: E402
from interconnection.services.applications import file_application, submit  # noqa: E402
from interconnection.services.feeders import store_model  # noqa: E402
from interconnection.services.offers import accept_offer, draft_terms, issue_offer  # noqa: E402
from interconnection.services.screening import screen  # noqa: E402
from interconnection.services.studies import build_request, order_study, perform  # noqa: E402
from telemetry import services  # noqa: E402
from telemetry.queries import board  # noqa: E402
from tests.app.conftest import MODEL, ask, listed  # noqa: E402
from tests.browser.conftest import ROLES, password  # noqa: E402


def people() -> None:
    """One person per role, named as the role, a second operator, and one who will have a security key."""
    for name, role in [*((role, role) for role in ROLES), ("operator2", "operator"), ("keeper", "operator")]:
        user = get_user_model().objects.create_user(name, password=password(name))
        user.groups.add(Group.objects.get_or_create(name=role)[0])


def agreement() -> None:
    """A depot on the shipped IEEE 13 feeder, from application to agreement; its wire ends where nobody answers."""
    user = get_user_model().objects.get
    version = store_model(MODEL, "ieee13", actor="seed")
    listed()
    filed = submit(
        file_application(ask(import_w=400_000, export_w=300_000), applicant=user(username="applicant")), actor="x"
    )
    request = build_request(version, "671", (1, 2, 3), filed.import_w, filed.export_w, hours=24)
    study = perform(order_study(version, request, actor="engineer", application=filed).pk, workers=1)
    drawn = draft_terms(filed, study, starts=date(2026, 1, 1), ends=None)
    least = Limit(10_000, 0)  # whatever the hour, the certificate holds
    terms = replace(drawn, firm=least, failsafe=least)
    offer = issue_offer(filed, study, terms, engineer=user(username="engineer"), approver=user(username="approver"))
    accept_offer(offer, applicant=user(username="applicant"), typed_name="A. Applicant")
    services.place_site(terms.site, "sunspec", "127.0.0.1", 9)
    services.measure_head("ieee13", datetime.now(UTC), 2_500_000.0, 600_000.0)


def planning() -> None:
    """The IEEE 13 feeder, listed equipment, and one complete application that waits for the engineer; prints its number."""
    user = get_user_model().objects.get
    if not Feeder.objects.filter(name="ieee13").exists():
        store_model(MODEL, "ieee13", actor="seed")
        listed()
    filed = file_application(
        ask(name="Riverside bus depot", import_w=4_000_000, export_w=2_000_000), applicant=user(username="applicant")
    )
    print(submit(filed, actor="applicant").pk)


def offered() -> None:
    """Study the newest application and issue its offer, as engineer and approver would."""
    user, filed = get_user_model().objects.get, Application.objects.order_by("-pk")[0]
    version = filed.feeder.versions.first()
    assert version is not None
    request = build_request(version, filed.bus, (1, 2, 3), filed.import_w, filed.export_w, hours=24)
    study = perform(order_study(version, request, actor="engineer", application=filed).pk, workers=1)
    drawn = draft_terms(filed, study, starts=filed.wanted, ends=None)
    # Whatever is agreed beside it: a study looks at one site, and no offer is made that could not hold beside the others.
    terms = replace(drawn, firm=Limit(0, 0), failsafe=Limit(0, 0))
    issue_offer(filed, study, terms, engineer=user(username="engineer"), approver=user(username="approver"))


def signed() -> None:
    """File one more application, studied but without an offer: the editor's page needs one."""
    user = get_user_model().objects.get
    filed = submit(file_application(ask(name="North yard"), applicant=user(username="applicant")), actor="applicant")
    version = filed.feeder.versions.first()
    assert version is not None
    request = build_request(version, filed.bus, (1, 2, 3), filed.import_w, filed.export_w, hours=24)
    perform(order_study(version, request, actor="engineer", application=filed).pk, workers=1)


def furnished() -> None:
    """What pages show only when it is there: a webhook with a message, a token, a client, a question, a study in hand."""
    user = get_user_model().objects.get
    owner, engineer = user(username="applicant"), user(username="engineer")
    if not Agreement.objects.exists():
        agreement()
    hook, _ = webhook_services.create(owner, "https://hooks.example.org/in", [])
    webhook_services.enqueue(hook, "test", {}, timezone.now())
    accounts.make_token(owner, "script", ["feeders:read"], days=30, now=timezone.now())
    accounts.make_client(owner, "portal", ["feeders:read"])
    filed = submit(file_application(ask(name="South yard"), applicant=owner), actor="applicant")
    clocks.ask(filed, "Which transformer serves the site?", by=engineer, about=["transformer"])
    ready = submit(file_application(ask(name="West yard"), applicant=owner), actor="applicant")
    screen(ready, actor="engineer", hours=24)
    version = ready.feeder.versions.first()
    assert version is not None
    order_study(
        version, build_request(version, ready.bus, (1, 2, 3), ready.import_w, ready.export_w, hours=24), actor="engineer",
        application=ready,
    )  # fmt: skip


def controlled() -> None:
    """Wait until the control process of the feeder has run a cycle that knows the agreement's site."""
    deadline = time.monotonic() + 120
    while not (board("ieee13", datetime.now(UTC)) or {}).get("sites"):
        if time.monotonic() > deadline:
            raise SystemExit("no cycle in two minutes")
        time.sleep(0.5)


def newest() -> None:
    """Print the newest application's number."""
    print(Application.objects.order_by("-pk")[0].pk)


def queued() -> None:
    """Print the numbers of the studied applications without an offer, newest first."""
    rows = Application.objects.filter(state="study", name="North yard").order_by("-pk")
    print("queue:", *rows.values_list("pk", flat=True))


def engineer_approves_too() -> None:
    """Give the engineer the approver's role beside the own."""
    get_user_model().objects.get(username="engineer").groups.add(Group.objects.get(name="approver"))


def engineer_approves_no_more() -> None:
    """Take it away again."""
    get_user_model().objects.get(username="engineer").groups.remove(Group.objects.get(name="approver"))


WHAT = {
    made.__name__: made
    for made in (
        planning, offered, signed, people, agreement, furnished, controlled, newest, queued, engineer_approves_too,
        engineer_approves_no_more,
    )
}  # fmt: skip


if __name__ == "__main__":
    for word in sys.argv[1:]:
        WHAT[word]()
