"""Roles × addresses × methods, walked from the URL resolver: what nobody declared is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from django.utils import timezone

from derms.access import AccessMiddleware, declared
from interconnection.accounts import services as accounts
from interconnection.api import webhook_services as webhooks
from interconnection.models import Agreement, Application, ClockRun, InformationRequest, Offer
from interconnection.roles import ADMINISTRATOR
from interconnection.services.applications import file_application
from tests.app.access_table import CALLERS, FOREIGN, ROLES, ROWS, Row, World, who
from tests.app.conftest import ask, person

METHODS = ("get", "post", "put", "patch", "delete")
PROTOCOL = {
    "site": "answers 404 where no such site has a trend",
    "api-agreement": "404 for all while there is none (test_api.py)",
    "oauth-token": "OAuth2's own answers (test_accounts.py)",
    "oauth-revoke": "OAuth2's own answers (test_accounts.py)",
}
"""Addresses that this walk cannot judge, with the reason; their own tests do."""


@pytest.fixture
def world(offered: Offer, people: dict[str, Any], settings: Any) -> World:
    settings.SANDBOX_FEEDER = "ieee13"
    settings.OPEN_REGISTRATION, settings.API_CALLS_A_MINUTE = True, 10**9
    made = World(people, offered.application, offered.study, offered)
    owner = people["applicant"]
    asked = InformationRequest.objects.create(
        application=offered.application, question="Which transformer?", asked_by=people["engineer"], asked=timezone.now()
    )
    made.more["question"] = asked.pk
    made.more["clock"] = ClockRun.objects.create(
        application=offered.application, clock="trial", title="Trial", days=5, started=timezone.now()
    ).pk
    made.more["token"], _ = accounts.make_token(owner, "script", ["feeders:read"], days=1, now=timezone.now())
    made.more["client"], _ = accounts.make_client(owner, "portal", ["feeders:read"])
    made.more["agreement"] = signed(owner, offered)
    made.more["webhook"], _ = webhooks.create(owner, "https://hooks.example.org/in", [])
    made.more["message"] = webhooks.enqueue(made.more["webhook"], "test", {}, timezone.now())
    return made


def signed(owner: Any, offered: Offer) -> Agreement:
    """Return an agreement of another application: the first one's offer stays open."""
    application = file_application(ask(name="Signed depot"), applicant=owner)
    Application.objects.filter(pk=application.pk).update(state="accepted")
    offer = Offer.objects.get(pk=offered.pk)
    offer.pk, offer.application, offer.status = None, application, Offer.ACCEPTED
    offer.save(force_insert=True)
    return Agreement.objects.create(
        offer=offer, site=offer.terms.site, document=offer.document, sha256=offer.sha256, accepted_by=owner
    )


def patterns(resolver: URLResolver, space: str = "") -> Iterator[tuple[str, URLPattern]]:
    for item in resolver.url_patterns:
        if isinstance(item, URLResolver):
            yield from patterns(item, f"{space}{item.namespace}:" if item.namespace else space)
        else:
            yield f"{space}{item.name or item.pattern}", item


def ours() -> dict[str, URLPattern]:
    found = dict(patterns(get_resolver()))
    return {name: item for name, item in found.items() if not name.startswith(tuple(FOREIGN))}


def client(world: World, caller: str) -> Client:
    found = Client(raise_request_exception=True)
    if caller != "anonymous":
        found.force_login(world.people[caller])
    return found


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    assert set(ours()) == set(ROWS), "add the missing rows to tests/app/access_table.py"


def test_every_view_declares_its_access() -> None:
    silent = [name for name, item in patterns(get_resolver()) if declared(item.callback, name) is None]
    assert silent == [], "put @access(...) of derms.access on them"


def test_the_declared_methods_are_those_of_the_table() -> None:
    for name, item in ours().items():
        rule = declared(item.callback, name)
        assert rule is not None
        table = {method.upper() for method in METHODS if getattr(ROWS[name], method)}
        assert table <= set(rule.methods), name
        assert name in PROTOCOL or set(rule.methods) == table, name


def refused(answer: Any) -> bool:
    to_login = answer.status_code == 302 and "next=" in answer["Location"]
    return to_login or answer.status_code in (401, 403, 404)


def call(caller: Client, method: str, url: str, row: Row, world: World) -> Any:
    """Call and take back whatever it did."""
    with transaction.atomic():
        extra = {} if method in ("get", "delete") else {"data": row.body(world), "content_type": "application/json"}
        if not url.startswith("/api/") and extra:
            extra = {"data": row.body(world)} if method == "post" else {}
        answer = getattr(caller, method)(url, **extra)
        transaction.set_rollback(True)
    return answer


def test_roles_by_address_by_method(world: World) -> None:
    world.people["everything"] = person("everything", *ROLES)
    clients = {caller: client(world, caller) for caller in CALLERS}
    everything = client(world, "everything")
    wrong = []
    for name, row in ROWS.items():
        url = reverse(name, args=row.args(world))
        for method in METHODS:
            allowed = who(getattr(row, method))
            if allowed:
                wrong += walk(clients, method, url, name, row, world, allowed)
            elif name not in PROTOCOL and call(everything, method, url, row, world).status_code != 405:
                wrong.append(f"{name} {method}: not refused with 405")
    assert wrong == []


def walk(
    clients: dict[str, Client], method: str, url: str, name: str, row: Row, world: World, allowed: frozenset[str]
) -> list[str]:
    wrong = []
    for caller, signed_in in clients.items():
        # Signing out ends a session: another one for that.
        browser = client(world, caller) if name == "logout" else signed_in
        answer = call(browser, method, url, row, world)
        if refused(answer) is (caller in allowed):
            wrong.append(f"{name} {method} {caller}: {answer.status_code}, but in the table: {sorted(allowed)}")
        elif caller in allowed and method == "get" and row.status and answer.status_code != row.status:
            wrong.append(f"{name} {method} {caller}: {answer.status_code}, not {row.status}")
    return wrong


def test_anothers_object_answers_exactly_as_a_missing_one(world: World) -> None:
    other = client(world, "other")
    for name, row in ROWS.items():
        for method in METHODS:
            allowed = who(getattr(row, method))
            if "applicant" not in allowed or "other" in allowed:
                continue
            args = row.args(world)
            assert isinstance(args[0], int | str), name
            missing = [987654 if isinstance(args[0], int) else "no-such-thing", *args[1:]]
            theirs = call(other, method, reverse(name, args=args), row, world)
            nothing = call(other, method, reverse(name, args=missing), row, world)
            assert theirs.status_code == nothing.status_code == 404, (name, method)
            assert plain(theirs, args[0]) == plain(nothing, missing[0]), (name, method)


def plain(answer: HttpResponse, key: object) -> str:
    """Return a body without what differs by nature: the number asked for, and the page's one-time tokens."""
    text = re.sub(rf"\bno (\w+) {key}\b", r"no \1 N", answer.content.decode())
    return re.sub(r"[A-Za-z0-9_+/=-]{22,}", "once", text)


def test_the_administrator_runs_accounts_and_controls_nothing(world: World) -> None:
    """failsafe.md: the administrator has no control rights, and reads no case."""
    administrator = client(world, ADMINISTRATOR)
    for name in ("application", "start-study", "edit-offer", "accept-offer", "operations"):
        row = ROWS[name]
        for method in METHODS:
            if getattr(row, method):
                answer = call(administrator, method, reverse(name, args=row.args(world)), row, world)
                assert answer.status_code in (403, 404), name


def test_a_view_without_a_declaration_is_refused(people: dict[str, Any]) -> None:
    def bare(request: Any) -> HttpResponse:
        return HttpResponse("open")

    request = RequestFactory().get("/")
    request.user = people["engineer"]
    request.resolver_match = resolve("/docs/")
    request.resolver_match.view_name = "bare"
    with pytest.raises(PermissionDenied, match="declares no access"):
        AccessMiddleware(bare).process_view(request, bare, (), {})
