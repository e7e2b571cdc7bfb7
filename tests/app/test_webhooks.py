"""Webhooks: signed, durable, tried again, sent again; never to where they must not go (SSRF)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from derms.errors import InputError, LocalError
from interconnection.api import webhook_address as address
from interconnection.api import webhook_delivery as delivery
from interconnection.api import webhook_services as services
from interconnection.api.models import Webhook, WebhookMessage
from interconnection.models import Application
from interconnection.services.applications import act, file_application
from tests.app.conftest import ask
from tests.app.test_pages_and_api import client

HOOKS = "/api/v1/webhooks/"


class Receiver:
    """A real HTTP server on loopback that keeps what it gets and answers what it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = outer.answers.pop(0) if outer.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    made = Receiver()
    settings.WEBHOOK_ALLOW_HTTP = True
    settings.WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    settings.WEBHOOK_HOSTS = [f"127.0.0.1:{made.port}"]
    yield made
    made.server.shutdown()
    made.server.server_close()


def hook(people: dict[str, Any], receiver: Receiver, owner: str = "applicant", types: tuple[str, ...] = ()) -> Any:
    return services.create(people[owner], f"http://127.0.0.1:{receiver.port}/in?a=1", list(types))


def test_an_event_arrives_signed(people: dict[str, Any], version: Any, receiver: Receiver) -> None:
    webhook, secret = hook(people, receiver)
    assert secret not in webhook.secret, "sealed at rest"
    application = file_application(ask(), applicant=people["applicant"])
    assert delivery.deliver_one(timezone.now())
    assert not delivery.deliver_one(timezone.now())
    path, head, body = receiver.got[0]
    assert path == "/in?a=1"
    told = Verifier(secret).verify(body, head)
    assert told["type"] == "application.file"
    assert told["data"]["link"] == f"/api/v1/applications/{application.pk}/"
    assert told["data"]["state"] == "draft"
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace("draft", "permitted"), head)
    assert "cookie" not in head
    assert "authorization" not in head


def test_only_ones_own_applications_and_chosen_types_are_told(
    people: dict[str, Any], version: Any, receiver: Receiver
) -> None:
    hook(people, receiver, "other")
    hook(people, receiver, "engineer", ("application.withdraw",))
    application = file_application(ask(), applicant=people["applicant"])
    assert WebhookMessage.objects.count() == 0
    act(application, "withdraw", by=people["applicant"])
    assert [row.webhook.owner.username for row in WebhookMessage.objects.all()] == ["engineer"]


def test_message_and_event_are_one_transaction(people: dict[str, Any], version: Any, receiver: Receiver) -> None:
    from django.db import transaction

    hook(people, receiver)
    with transaction.atomic():
        file_application(ask(), applicant=people["applicant"])
        transaction.set_rollback(True)
    assert (Application.objects.count(), WebhookMessage.objects.count()) == (0, 0)


def test_tried_again_with_longer_pauses_then_given_up(people: dict[str, Any], receiver: Receiver) -> None:
    webhook, _ = hook(people, receiver)
    now = timezone.now()
    row = services.enqueue(webhook, "test", {}, now)
    receiver.answers = [(500, {})] * 20
    pauses = []
    for _ in range(len(delivery.PAUSES_S) + 1):
        assert delivery.deliver_one(now)
        row.refresh_from_db()
        if row.due is not None:
            assert not delivery.deliver_one(row.due - timedelta(seconds=1)), "not before it is due"
            pauses.append((row.due - now).total_seconds())
            now = row.due
    assert pauses == list(delivery.PAUSES_S)
    assert row.state == WebhookMessage.GIVEN_UP
    assert len({head["webhook-id"] for _, head, _ in receiver.got}) == 1, "one identifier for all tries"
    assert row.tries.count() == len(receiver.got) == len(delivery.PAUSES_S) + 1
    services.send_again(people["applicant"], webhook, row.pk, now)
    receiver.answers = []
    delivery.deliver_one(now)
    row.refresh_from_db()
    assert row.state == WebhookMessage.DELIVERED


def test_a_message_is_leased_to_one_sender_and_survives_its_death(people: dict[str, Any], receiver: Receiver) -> None:
    webhook, _ = hook(people, receiver)
    now = timezone.now()
    row = services.enqueue(webhook, "test", {}, now)

    def dies(*_: Any) -> delivery.Outcome:
        assert not delivery.deliver_one(now), "a second sender finds nothing to take"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        delivery.deliver_one(now, dies)
    assert not delivery.deliver_one(now + delivery.LEASE - timedelta(seconds=1))
    assert delivery.deliver_one(now + delivery.LEASE)
    row.refresh_from_db()
    assert (row.state, row.attempts) == (WebhookMessage.DELIVERED, 2)


def test_gone_means_gone(people: dict[str, Any], receiver: Receiver) -> None:
    webhook, _ = hook(people, receiver)
    services.enqueue(webhook, "test", {}, timezone.now())
    receiver.answers = [(410, {})]
    delivery.deliver_one(timezone.now())
    webhook.refresh_from_db()
    assert webhook.state == Webhook.STOPPED


def test_a_redirect_is_not_followed(people: dict[str, Any], receiver: Receiver) -> None:
    webhook, _ = hook(people, receiver)
    row = services.enqueue(webhook, "test", {}, timezone.now())
    receiver.answers = [(302, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})]
    delivery.deliver_one(timezone.now())
    assert [path for path, _, _ in receiver.got] == ["/in?a=1"]
    assert row.tries.get().outcome == "HTTP 302"


def test_both_secrets_sign_for_a_day_after_a_rotation(people: dict[str, Any], receiver: Receiver) -> None:
    webhook, old = hook(people, receiver)
    now = timezone.now()
    new = services.rotate(people["applicant"], webhook, now)
    webhook.refresh_from_db()
    for at, secrets in ((now, [old, new]), (now + services.OLD_SECRET_LIVES, [new])):
        services.enqueue(webhook, "test", {}, now)
        delivery.deliver_one(at)
        _, head, body = receiver.got[-1]
        assert len(head["webhook-signature"].split()) == len(secrets)
        if at == now:  # the verifier refuses a time that is a day ahead
            for secret in secrets:
                Verifier(secret).verify(body, head)


def test_a_secret_sealed_under_another_key_says_so(people: dict[str, Any], receiver: Receiver, settings: Any) -> None:
    webhook, secret = hook(people, receiver)
    before = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 10, [before]
    assert services.opened(webhook.secret) == secret
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(LocalError, match="another SECRET_KEY"):
        services.opened(webhook.secret)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/", "ftp://hooks.example.org/", "file:///etc/passwd", "gopher://x/", "javascript:1", "",
        "//x",
        "https://user@hooks.example.org/", "https://good.example@evil.example/", "https://hooks.example.org#@evil.example/",
        "https://hooks.example.org\\@evil.example/", "https://hooks.example.org/ x", "https://hooks.example.org/\r\nX: 1",
        "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://hooks.example.org:99999/",
        "https://①②⑦.0.0.1/", "https://[::1", "https://a..b/", "https:///", "https://" + "a" * 600,
    ],
)  # fmt: skip
def test_addresses_with_a_trick_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        address.parse(url, allow_http=False)


@pytest.mark.parametrize(
    "found",
    [
        "127.0.0.1", "10.0.0.5", "172.16.9.9", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "2002:7f00:1::", "2001:0:7f00:1::", "64:ff9b::7f00:1", "198.18.0.1", "192.0.2.1",
    ],
)  # fmt: skip
def test_no_private_address_is_connected_to(found: str) -> None:
    target = address.parse("https://hooks.example.org/", allow_http=False)
    with pytest.raises(InputError, match="not public"):
        address.pick(target, [], lambda host, port: [found])
    with pytest.raises(InputError, match="not public"):
        address.pick(target, [], lambda host, port: ["93.184.215.14", found])


def test_a_private_network_must_be_named() -> None:
    target = address.parse("https://hooks.example.org/", allow_http=False)
    assert address.pick(target, ["10.1.0.0/16"], lambda host, port: ["10.1.2.3"]) == "10.1.2.3"
    with pytest.raises(InputError):
        address.pick(target, ["10.1.0.0/16"], lambda host, port: ["10.2.0.1"])


def test_a_name_is_resolved_once_and_the_connection_goes_there(
    people: dict[str, Any], receiver: Receiver, settings: Any, monkeypatch: Any
) -> None:
    """DNS rebinding: the second answer of a name changes nothing, since nobody asks a second time."""
    settings.WEBHOOK_HOSTS = [f"hooks.example.org:{receiver.port}"]
    webhook, _ = services.create(people["applicant"], f"http://hooks.example.org:{receiver.port}/in", [])
    asked: list[str] = []

    def resolve(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1" if len(asked) == 1 else "10.9.9.9", receiver.port))]

    real = address.socket.getaddrinfo
    monkeypatch.setattr(
        address.socket, "getaddrinfo", lambda host, *a, **k: resolve(host) if "example" in host else real(host, *a, **k)
    )
    services.enqueue(webhook, "test", {}, timezone.now())
    delivery.deliver_one(timezone.now())
    assert asked == ["hooks.example.org"]
    assert receiver.got[0][1]["host"] == f"hooks.example.org:{receiver.port}"


def test_a_host_that_is_not_listed_waits_for_the_administrator(people: dict[str, Any], receiver: Receiver) -> None:
    made = client(people["applicant"]).post(HOOKS, {"url": "http://127.0.0.1:1/"}, "application/json").json()
    assert made["state"] == "waiting"
    webhook = Webhook.objects.get(pk=made["id"])
    services.enqueue(webhook, "test", {}, timezone.now())
    assert not delivery.deliver_one(timezone.now())
    services.approve(people["administrator"], webhook, True)
    assert delivery.deliver_one(timezone.now())
    assert webhook.messages.get().tries.get().outcome == "NewConnectionError"
    for name in ("[::1]:443", "127.0.0.1.evil.example", "xhooks.example.org", "hooks.example.org.evil.example"):
        target = address.Target("https", name, 443, "/")
        assert not address.allowed_by_list(target, ["hooks.example.org", "127.0.0.1"])
    assert address.allowed_by_list(address.Target("https", "hooks.example.org", 443, "/"), ["Hooks.Example.org"])
    assert not address.allowed_by_list(address.Target("https", "hooks.example.org", 8443, "/"), ["hooks.example.org"])


def test_by_api_from_setting_up_to_the_log(people: dict[str, Any], receiver: Receiver) -> None:
    caller = client(people["applicant"])
    url = f"http://127.0.0.1:{receiver.port}/x"
    made = caller.post(HOOKS, {"url": url, "types": ["test"]}, "application/json")
    assert (made.status_code, made.json()["state"]) == (201, "active")
    at, secret = made["Location"], made.json()["secret"]
    assert "secret" not in caller.get(at).json()
    assert caller.post(HOOKS, {"url": url}, "application/json").status_code == 409
    assert caller.post(HOOKS, {"url": url + "2", "types": ["no"]}, "application/json").status_code == 422
    assert caller.post(at + "test/").status_code == 202
    delivery.deliver_one(timezone.now())
    Verifier(secret).verify(receiver.got[0][2], receiver.got[0][1])
    log = caller.get(at + "messages/").json()["results"]
    assert (log[0]["state"], log[0]["tries"][0]["status"]) == ("delivered", 204)
    assert caller.post(f"{at}messages/{log[0]['id']}/resend/").status_code == 202
    delivery.deliver_one(timezone.now())
    assert json.loads(receiver.got[1][2]) == json.loads(receiver.got[0][2])
    assert caller.post(at + "rotate/").json()["secret"] != secret
    assert caller.patch(at, {"types": []}, "application/json").json()["types"] == []
    assert caller.delete(at).status_code == 204
    assert caller.get(at).status_code == 404


def test_the_administrator_sees_all_and_approves(people: dict[str, Any], receiver: Receiver) -> None:
    webhook, _ = services.create(people["applicant"], "http://127.0.0.1:1/", [])
    services.enqueue(webhook, "test", {}, timezone.now())
    boss = client(people["administrator"])
    page = boss.get("/webhooks/").content.decode()
    assert "http://127.0.0.1:1/" in page
    boss.post(f"/webhooks/{webhook.pk}/", {"action": "approve"})
    webhook.refresh_from_db()
    assert webhook.state == Webhook.ACTIVE
    assert "pending" in boss.get(f"/webhooks/{webhook.pk}/").content.decode()
    assert Client().get("/webhooks/").status_code == 302
    assert client(people["other"]).get(f"/webhooks/{webhook.pk}/").status_code == 404
