"""The matrix role × address × method, as data. Add a row for each new address: the test names those without one.

A row says, for each method, who gets an answer other than "no": role names in one text, or a word of SETS. `own` is the
object's own applicant; another applicant finds nothing (404, as for a number that does not exist). What a row does not name
must be refused with 405. `args` makes the address from the test's `World`; `body` is what a POST, PUT or PATCH sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from telemetry.cycle_models import EvidenceRow
from telemetry.utility_models import EndDevice, WireSubscription

ROLES = ("applicant", "engineer", "approver", "operator", "auditor", "administrator")
CALLERS = (*ROLES, "nobody", "other", "anonymous")
"""`nobody` is signed in without a role, `other` is another applicant, `anonymous` is not signed in."""

SETS = {
    "everybody": frozenset(CALLERS),
    "signed-in": frozenset(CALLERS) - {"anonymous"},
    "utility": frozenset({"engineer", "approver", "operator", "auditor"}),
    "own": frozenset({"applicant"}),
    "applicants": frozenset({"applicant", "other"}),
}


def who(text: str) -> frozenset[str]:
    """Return the callers that a text names."""
    found: frozenset[str] = frozenset()
    for word in text.split():
        found |= SETS.get(word) or frozenset({word})
    assert found <= set(CALLERS), text
    return found


@dataclass
class World:
    """What stands in the database while the matrix is walked; add what your addresses need."""

    people: dict[str, Any]
    application: Any
    study: Any
    offer: Any
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One address."""

    get: str = ""
    post: str = ""
    put: str = ""
    patch: str = ""
    delete: str = ""
    args: Callable[[World], list[Any]] = lambda world: []
    body: Callable[[World], dict[str, Any]] = lambda world: {}
    status: int | None = None
    """What an allowed GET answers; None: anything that is not a refusal."""


def application(world: World) -> list[Any]:
    return [world.application.pk]


def nothing(world: World) -> list[Any]:
    """A number that nothing has: an order to it comes back with a message, and changes nothing."""
    return [987654]


def device(world: World) -> list[Any]:
    lfdi = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
    row, _ = EndDevice.objects.get_or_create(lfdi=lfdi, defaults={"sfdi": 167261211391, "registered": 0, "changed": 0})
    return [row.pk]


def notification(world: World) -> list[Any]:
    owner = EndDevice.objects.get(pk=device(world)[0])
    row, _ = WireSubscription.objects.get_or_create(
        owner=owner, resource="/edev", uri="https://hooks.example/", profile="csip"
    )
    return [(row.notifications.first() or row.notifications.create(body="", created=0, due=0)).pk]


def bundle(world: World) -> list[Any]:
    facts = {
        "feeder": "ieee13", "site": "depot", "stage": "warned", "snapshot": "1-1", "sha256": "0" * 64,
        "at": datetime(2026, 6, 1, tzinfo=UTC), "facts": '{"before":[],"lent":null,"after":[]}',
    }  # fmt: skip
    return [(EvidenceRow.objects.first() or EvidenceRow.objects.create(**facts)).pk]


def study(world: World) -> list[Any]:
    return [world.study.pk]


def site(world: World) -> list[Any]:
    return [world.more["agreement"].site]


ROWS: dict[str, Row] = {
    # Planning desk
    "queue": Row(get="signed-in", status=200),
    "new-application": Row(get="applicants engineer", post="applicants engineer", status=200),
    "application": Row(get="own utility", args=application, status=200),
    "start-study": Row(post="engineer", args=application),
    "queue-csv": Row(get="signed-in", status=200),
    "bulk-applications": Row(post="engineer", body=lambda world: {"what": "screen", "application": "987654"}),
    "search": Row(get="signed-in", status=200),
    "amend-application": Row(get="own engineer", post="own engineer", args=application, status=200),
    "submit-application": Row(post="own engineer", args=application),
    "deem-complete": Row(post="engineer", args=application),
    "act-on-application": Row(
        post="own engineer approver operator", args=application, body=lambda world: {"action": "withdraw"}
    ),
    "screen-application": Row(post="engineer", args=application),
    "pause-clock": Row(
        post="engineer", args=application, body=lambda world: {"clock": world.more["clock"], "cause": "waits for a drawing"}
    ),
    "ask-applicant": Row(post="engineer approver", args=application, body=lambda world: {"question": "Which transformer?"}),
    "answer-question": Row(
        post="own engineer",
        args=lambda world: [world.application.pk, world.more["question"]],
        body=lambda world: {"answer": "T-14"},
    ),
    "upload-feeder": Row(post="engineer"),
    "compare-models": Row(get="signed-in", args=lambda world: ["ieee13"], status=200),
    "feeder-wires": Row(get="utility", args=lambda world: ["ieee13"], status=200),
    "feeder-state": Row(get="utility", args=lambda world: ["ieee13"], status=200),
    "feeder-lines": Row(get="utility", args=lambda world: ["ieee13"], status=200),
    "edit-offer": Row(get="engineer", post="engineer", args=application, status=200),
    "check-offer": Row(post="engineer", args=application),
    "take-back-offer": Row(post="engineer approver", args=application),
    "decline-offer": Row(post="own", args=application),
    "offer-letter": Row(get="own utility", args=lambda world: [world.application.pk, world.offer.pk], status=200),
    "offer-terms": Row(get="own utility", args=lambda world: [world.application.pk, world.offer.pk], status=200),
    "approve-offer": Row(post="approver", args=application),
    "accept-offer": Row(post="own", args=application),
    "study-progress": Row(get="own utility", args=study, status=200),
    "my-sites": Row(get="signed-in", status=200),
    "my-site": Row(get="own utility", args=site, status=200),
    "reports": Row(get="utility", status=200),
    "reports-csv": Row(get="utility", status=200),
    "rule-packs": Row(get="signed-in", status=200),
    "curtailment-report": Row(get="utility", status=200),
    "baseline-ledger": Row(get="utility", status=200),
    "ledger-csv": Row(get="utility", args=lambda world: ["ieee13"], status=200),
    "studies": Row(get="signed-in", status=200),
    "studies-in-hand": Row(get="signed-in", status=200),
    "study": Row(get="own utility", args=study, status=200),
    "compare-studies": Row(get="signed-in", status=200),
    "cancel-study": Row(post="engineer", args=study),
    "resume-study": Row(post="engineer", args=study),
    "clone-study": Row(post="engineer", args=study),
    "order-ladder": Row(post="engineer", args=study, body=lambda world: {"side": "import"}),
    "study-ladder": Row(get="own utility", args=lambda world: [world.study.pk, "import"], status=200),
    "study-profile": Row(get="own utility", args=study, status=200),
    "study-what-if": Row(get="engineer approver", args=study, status=200),
    "study-state": Row(get="own utility", args=study, status=200),
    "study-geometry": Row(get="own utility", args=study, status=200),
    "study-hours": Row(get="own utility", args=study, status=200),
    "feeders": Row(get="signed-in", status=200),
    "engine-health": Row(get="signed-in", status=200),
    "feeder": Row(get="signed-in", args=lambda world: ["ieee13"], status=200),
    # Control room
    "operations": Row(get="utility", status=200),
    "alarms": Row(get="utility", status=200),
    "acknowledge-alarms": Row(post="operator", body=lambda world: {"alarm": "987654"}),
    "alarm-journal": Row(get="utility", status=200),
    "shelve-alarm": Row(post="operator", args=nothing, body=lambda world: {"minutes": "60", "reason": "radio is mended"}),
    "remove-alarm": Row(post="operator", args=nothing, body=lambda world: {"reason": "meter is exchanged"}),
    "bring-back-alarm": Row(post="operator", args=nothing),
    "orders": Row(get="utility", status=200),
    "approve-order": Row(post="operator approver", args=nothing),
    "reject-order": Row(post="operator approver", args=nothing),
    "release-order": Row(post="operator", args=nothing, body=lambda world: {"reason": "it is over"}),
    "give-order": Row(
        post="operator",
        args=lambda world: ["ieee13"],
        body=lambda world: {"kind": "hold", "minutes": "15", "reason": "switching"},
    ),
    "set-mode": Row(
        post="operator", args=lambda world: ["ieee13"], body=lambda world: {"mode": "manual", "reason": "switching"}
    ),
    "feeder-board": Row(get="utility", args=lambda world: ["ieee13"], status=200),
    "devices": Row(get="utility", post="engineer", body=lambda world: {"identity": "not one"}, status=200),
    "device": Row(get="utility", args=device, status=200),
    "allow-device": Row(post="engineer", args=device, body=lambda world: {"granted": "no"}),
    "subscriptions": Row(get="utility", status=200),
    "resend-notification": Row(post="operator engineer", args=nothing),
    "evidence-list": Row(get="utility", status=200),
    "evidence": Row(get="utility", args=bundle, status=200),
    "switching": Row(get="utility", args=lambda world: ["ieee13"], status=200),
    "declare-state": Row(post="operator", args=lambda world: ["ieee13"], body=lambda world: {"name": "", "reason": ""}),
    "sharing": Row(get="utility", args=lambda world: ["ieee13"], status=200),
    "propose-sharing": Row(
        post="operator", args=lambda world: ["ieee13"], body=lambda world: {"rule": "equal", "reason": "a trial"}
    ),
    "decide-sharing": Row(post="operator approver", args=lambda world: ["ieee13", 987654]),
    "audit": Row(get="utility", status=200),
    "site": Row(
        args=lambda world: ["ieee13", "no-such-site"]
    ),  # 404 for all: tests/app/test_control_room.py opens a real one
    # Application API
    "api-registrations": Row(post="everybody"),
    "api-me": Row(get="signed-in", status=200),
    "api-feeders": Row(get="signed-in", status=200),
    "api-feeder": Row(get="signed-in", args=lambda world: ["ieee13"], status=200),
    "api-feeder-model": Row(put="engineer", args=lambda world: ["ieee13"]),
    "api-indicative": Row(get="signed-in", post="signed-in"),
    "api-applications": Row(get="signed-in", post="applicants engineer", status=200),
    "api-bulk": Row(post="applicants engineer"),
    "api-application": Row(get="own utility", patch="own engineer", args=application, status=200),
    "api-submit": Row(post="own engineer", args=application),
    "api-gaps": Row(get="own utility", args=application, status=200),
    "api-complete": Row(post="engineer", args=application),
    "api-screens": Row(get="own utility", post="engineer", args=application, status=200),
    "api-questions": Row(
        get="own utility",
        post="engineer approver",
        args=application,
        body=lambda world: {"question": "Which transformer?"},
        status=200,
    ),
    "api-answer": Row(
        post="own engineer",
        args=lambda world: [world.application.pk, world.more["question"]],
        body=lambda world: {"answer": "T-14"},
    ),
    "api-queue": Row(get="own utility", args=application, status=200),
    "api-options": Row(get="utility", args=application, status=200),
    "api-commissioning": Row(get="own utility", args=application, status=200),
    "api-actions": Row(post="engineer approver operator", args=application, body=lambda world: {"action": "commission"}),
    "api-withdraw": Row(post="own engineer", args=application),
    "api-events": Row(get="own utility", args=application, status=200),
    "api-studies": Row(get="own utility", post="engineer", args=application, status=200),
    "api-offer": Row(get="own utility", post="engineer", args=application, status=200),
    "api-issue": Row(post="approver", args=application),
    "api-take-back": Row(post="engineer approver", args=application, body=lambda world: {"reason": "wrong bus"}),
    "api-accept": Row(post="own", args=application, body=lambda world: {"sha256": "0" * 64}),
    "api-decline": Row(post="own", args=application),
    "api-agreement": Row(args=application),
    "api-study-list": Row(get="signed-in", status=200),
    "api-study": Row(get="own utility", args=study, status=200),
    "api-study-cancel": Row(post="engineer", args=study),
    "api-study-resume": Row(post="engineer", args=study),
    "api-sites": Row(get="signed-in", status=200),
    "api-site": Row(get="own utility", args=site, status=200),
    "api-site-limits": Row(get="own utility", args=site, status=200),
    "api-site-curtailment": Row(get="own utility", args=site, status=200),
    "api-site-cap": Row(get="utility", post="operator", args=site, status=200),
    "api-devices": Row(get="utility", post="engineer", body=lambda world: {"identity": "not one"}, status=200),
    "api-device": Row(get="utility", args=device, status=200),
    "api-device-access": Row(post="engineer", args=device, body=lambda world: {"granted": True}),
    "api-notifications": Row(get="utility", status=200),
    "api-notification-resend": Row(post="operator engineer", args=notification),
    "api-webhooks": Row(get="signed-in", post="signed-in", status=200),
    "api-webhook": Row(get="own", patch="own", delete="own", args=lambda world: [world.more["webhook"].pk], status=200),
    "api-webhook-rotate": Row(post="own", args=lambda world: [world.more["webhook"].pk]),
    "api-webhook-test": Row(post="own", args=lambda world: [world.more["webhook"].pk]),
    "api-webhook-messages": Row(get="own", args=lambda world: [world.more["webhook"].pk], status=200),
    "api-webhook-resend": Row(post="own", args=lambda world: [world.more["webhook"].pk, world.more["message"].pk]),
    # Everybody
    "login": Row(get="everybody", post="everybody"),
    "logout": Row(get="everybody", post="everybody"),
    "oauth-token": Row(),
    "oauth-revoke": Row(),
    # Accounts
    "tokens": Row(get="signed-in", post="signed-in", status=200),
    "token-revoke": Row(post="own", args=lambda world: [world.more["token"].pk]),
    "client-make": Row(post="signed-in"),
    "client-change": Row(post="own", args=lambda world: [world.more["client"].pk, "rotate"]),
    "people": Row(get="administrator", post="administrator", status=200),
    "person": Row(get="administrator", post="administrator", args=lambda world: [world.people["nobody"].pk], status=200),
    "webhooks": Row(get="signed-in", post="signed-in", status=200),
    "webhook": Row(
        get="own administrator", post="own administrator", args=lambda world: [world.more["webhook"].pk], status=200
    ),
    "territories": Row(get="administrator", post="administrator", status=200),
    "manual": Row(get="everybody", status=200),
    "manual-page": Row(get="everybody", args=lambda world: ["words"], status=200),
    "schema": Row(get="everybody", status=200),
    "api-docs": Row(get="everybody", status=200),
}

FOREIGN = {
    "account_": "allauth's sign-in pages (test_accounts.py)",
    "mfa_": "allauth's second factors (test_accounts.py)",
    "socialaccount_": "allauth's OpenID Connect pages",
    "openid_connect_": "allauth's OpenID Connect pages",
    "usersessions_": "allauth's list of one's own sessions",
}
"""Addresses of libraries that no row describes, by the beginning of their names, with the reason."""
