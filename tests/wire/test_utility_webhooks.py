"""Notifications outlive failing webhooks and a killed listener: in order, none lost, none given up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from lxml import etree

from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import outbox, pki
from telemetry.utility_models import EndDevice, WireNotification, WireSubscription
from tests.conftest import ROOT
from tests.wire.test_utility_server import migrated

NOW = 1_790_000_000


@pytest.mark.django_db
def test_five_minutes_of_failing_webhooks_in_virtual_time_lose_nothing_and_keep_the_order(monkeypatch) -> None:
    services.enrol("A" * 40, now=NOW, role="aggregator", hosts=["hooks.example"])
    device = services.enrol("B" * 40, now=NOW, through="A" * 40, site="depot")
    program = services.program_of(device, 1)
    own, href = EndDevice.objects.get(own=True), f"/edev/{device.pk}/derp/{program.pk}/derc"
    for number in range(3):  # three subscriptions to the same list; the third's host takes everything all the time
        host = "other.example" if number == 2 else "hooks.example"
        WireSubscription.objects.create(owner=own, resource=href, uri=f"https://{host}/{number}", limit=99,
                                        profile="csip-aus 1.2")  # fmt: skip
    taken: list[tuple[str, int]] = []
    down = True

    def send(row: WireNotification, line: outbox.Line) -> str:
        if down and not row.subscription.uri.endswith("/2"):
            return "503" if row.pk % 2 else "TimeoutError"
        taken.append((row.subscription.uri, row.pk))
        return "204"

    monkeypatch.setattr(outbox, "send", send)
    for second in range(0, 300, 5):
        if second % 30 == 0:
            services.create_control(program, {"opModExpLimW": second}, start=NOW + second, duration=3600, now=NOW, pen=1)
            assert outbox.enqueue([href], NOW + second) == 3
        if second == 150:  # the sender dies between the claim and the answer: what it had claimed is due again
            assert outbox.due(NOW + second)
        outbox.deliver(NOW + second)
    assert WireNotification.objects.filter(done=False).count() == 20 and len(taken) == 10, "a failing one holds up nobody"
    down = False
    for second in range(300, 400, 5):
        outbox.deliver(NOW + second)
    assert not WireNotification.objects.filter(done=False).exists()
    for number in range(3):
        mine = [pk for uri, pk in taken if uri.endswith(f"/{number}")]
        assert len(mine) == 10 and mine == sorted(mine), "each once, in order"
    last = WireNotification.objects.order_by("pk").last()
    assert len(etree.fromstring(last.body.encode()).find("{*}Resource").findall("{*}DERControl")) == 10


@pytest.mark.django_db
def test_a_webhook_that_is_down_for_hours_is_tried_again_every_minute_for_a_day(monkeypatch) -> None:
    own = services.enrol("A" * 40, now=NOW, role="aggregator", hosts=["hooks.example"])
    WireSubscription.objects.create(
        owner=own, resource="/edev", uri="https://hooks.example/", limit=9, profile="csip-aus 1.2"
    )
    outbox.enqueue(["/edev"], NOW)
    monkeypatch.setattr(outbox, "send", lambda row, line: "503")
    for second in range(0, 4 * 3600, 30):
        outbox.deliver(NOW + second)
    row = WireNotification.objects.get()
    assert not row.done and row.attempts > 200 and row.due - NOW - 4 * 3600 <= 60
    outbox.deliver(NOW + 25 * 3600)
    assert WireNotification.objects.get().done, "after a day it is given up, and the log says so"


@pytest.mark.django_db
def test_a_host_where_nobody_is_costs_one_attempt_at_a_time_and_starves_no_other(monkeypatch) -> None:
    own = services.enrol("A" * 40, now=NOW, role="aggregator", hosts=["dead.example", "hooks.example"])
    rows = [WireSubscription(owner=own, resource=f"/edev/{number}/fsa", uri="https://dead.example/", profile="csip")
            for number in range(2500)]  # fmt: skip
    WireSubscription.objects.bulk_create(rows)
    mine = [
        WireSubscription.objects.create(owner=own, resource="/edev", uri=f"https://hooks.example/{number}", profile="csip")
        for number in range(3)
    ]
    for row in [*rows, *mine, *mine]:
        WireNotification.objects.create(subscription=row, body="", created=NOW, due=NOW)
    tried: list[str] = []

    def send(row: WireNotification, line: outbox.Line) -> str:
        tried.append(row.subscription.uri)
        return "TimeoutError" if "dead" in row.subscription.uri else "404" if row.subscription.uri.endswith("1") else "204"

    monkeypatch.setattr(outbox, "send", send)
    outbox.deliver(NOW)
    here = [uri[-1] for uri in tried if "hooks" in uri]
    assert here == ["0", "1", "2", "0", "2"], "in the order of writing; what is refused waits alone"
    assert len(tried) - len(here) == 1
    outbox.deliver(NOW + 1)
    assert len(tried) == 6, "the whole lane waits"
    outbox.deliver(NOW + 2)
    assert tried.count("https://dead.example/") == 2


@pytest.mark.django_db
def test_of_two_senders_one_wins_and_a_lane_in_flight_is_left_alone() -> None:
    own = services.enrol("A" * 40, now=NOW, role="aggregator", hosts=["hooks.example"])
    for resource in ("/edev", "/edev/1/fsa"):
        row = WireSubscription.objects.create(owner=own, resource=resource, uri="https://hooks.example/", profile="csip")
        for _ in range(2):
            WireNotification.objects.create(subscription=row, body="", created=NOW, due=NOW)
    (lane,) = outbox.due(NOW)
    assert [row.subscription.resource for row in lane] == ["/edev", "/edev/1/fsa"]
    outbox.settle(lane[0], "204", NOW)
    assert outbox.due(NOW) == [], "the second of /edev would overtake what is being sent"
    outbox.settle(lane[1], "204", NOW)
    assert [row.pk for row in outbox.due(NOW)[0]] == [lane[0].pk + 1, lane[1].pk + 1]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "uri", ["https://127.0.0.1:{port}/", "https://127.0.0.1:99999/", "https://[::1/", "https://127.0.0.1/\u00e9"]
)
def test_a_certificate_that_does_not_verify_and_an_address_that_is_none_are_failures(uri: str, tmp_path: Path) -> None:
    pki.make(tmp_path / "pki", hosts=["127.0.0.1"], devices=0, aggregators=0, pen=1, now=datetime.now(UTC))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "pki/server-chain.pem", tmp_path / "pki/server.key")
    taken: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                link, _ = server.accept()
                with made.wrap_socket(link, server_side=True) as inner:
                    taken.append(inner.recv(1))

        threading.Thread(target=serve, daemon=True).start()
        own = services.enrol("A" * 40, now=NOW, role="aggregator", hosts=["127.0.0.1"])
        place = uri.format(port=server.getsockname()[1])
        row = WireSubscription.objects.create(owner=own, resource="/edev", uri=place, profile="csip")
        outcome = outbox.send(WireNotification(subscription=row, body="x", created=NOW, due=NOW), outbox.Line())
    assert not outbox.answered(outcome) and taken in ([], [b""]), outcome
    if "{port}" in uri:
        assert outcome == "SSLCertVerificationError"


class Hook(BaseHTTPRequestHandler):
    """A webhook that refuses until it is told otherwise."""

    answer = 503
    bodies: list[bytes] = []
    refused = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if Hook.answer == 204:
            Hook.bodies.append(body)
        else:
            Hook.refused += 1
        self.send_response(Hook.answer)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def hook() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


class Kept(BaseHTTPRequestHandler):
    """A far end that keeps connections, counts them, and ends each after three messages without a word."""

    protocol_version = "HTTP/1.1"
    opened = 0
    taken: list[str] = []

    def setup(self) -> None:
        Kept.opened += 1
        super().setup()
        self.served = 0

    def do_POST(self) -> None:
        Kept.taken.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.served += 1
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = self.served >= 3

    def log_message(self, *args: object) -> None:
        """Stay quiet."""


@pytest.mark.django_db
def test_a_lane_keeps_its_connection_and_opens_another_where_the_far_end_ended_it() -> None:
    own = services.enrol("A" * 40, now=NOW, role="aggregator", hosts=["127.0.0.1"])
    with HTTPServer(("127.0.0.1", 0), Kept) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for number in range(10):
            uri = f"http://127.0.0.1:{server.server_address[1]}/{number}"
            row = WireSubscription.objects.create(owner=own, resource="/edev", uri=uri, profile="csip")
            WireNotification.objects.create(subscription=row, body=str(number), created=NOW, due=NOW)
        outbox.deliver(NOW)
        server.shutdown()
    assert Kept.taken == [str(number) for number in range(10)], "each once, in order"
    assert Kept.opened == 4 and not WireNotification.objects.filter(done=False).exists()


SETUP = """
import time
from telemetry import utility_services as s
from telemetry.utility_models import *
now = int(time.time())
own = EndDevice.objects.filter(own=True).first() or s.enrol("A" * 40, now=now, role="aggregator", hosts=["127.0.0.1"])
WireSubscription.objects.get_or_create(
    owner=own, resource="/edev", uri="http://127.0.0.1:{port}/x", profile="csip-aus 1.2", defaults=dict(limit=9))
s.enrol("{lfdi}", now=now, through="A" * 40)
"""


@pytest.mark.wire
def test_what_waits_survives_a_killed_listener(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, hook: int) -> None:
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o700)
    env = {**os.environ, "HEADROOM_STATE_DIR": str(tmp_path / "state"), "UTILITY_TEST_API": "1"}
    env.pop("DATABASE_URL", None)
    migrated(env, tmp_path_factory)
    manage = [sys.executable, "manage.py"]

    def tell(lfdi: str) -> None:
        script = SETUP.format(port=hook, lfdi=lfdi)
        subprocess.run([*manage, "shell", "--verbosity", "0", "-c", script], cwd=ROOT, env=env, check=True, timeout=60)

    def wait(what: str, done) -> None:
        for _ in range(600):
            if done():
                return
            time.sleep(0.1)
        raise AssertionError(what)

    def listener(number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*manage, "utility_server", "--socket", f"{inner}/{number}.sock"], cwd=ROOT, env=env)

    tell("B" * 40)
    first = listener(1)
    try:
        wait("the webhook is tried", lambda: Hook.refused >= 1)
        tell("C" * 40)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    Hook.answer = 204
    second = listener(2)
    try:
        wait("both arrive", lambda: len(Hook.bodies) >= 2)
    finally:
        second.terminate()
        second.wait(15)
    assert b"C" * 40 not in Hook.bodies[0] and b"C" * 40 in Hook.bodies[1] and len(Hook.bodies) == 2
