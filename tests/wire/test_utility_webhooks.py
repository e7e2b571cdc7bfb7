"""Notifications outlive failing webhooks and a killed listener: in order, none lost, none given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from lxml import etree

from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import outbox
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
    for number in range(3):  # three subscribers of the same list; one of them takes everything all the time
        WireSubscription.objects.create(owner=own, resource=href, uri=f"https://hooks.example/{number}", limit=99,
                                        profile="csip-aus 1.2")  # fmt: skip
    taken: list[tuple[str, int]] = []
    down = True

    def send(row: WireNotification) -> str:
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
    monkeypatch.setattr(outbox, "send", lambda row: "503")
    for second in range(0, 4 * 3600, 30):
        outbox.deliver(NOW + second)
    row = WireNotification.objects.get()
    assert not row.done and row.attempts > 200 and row.due - NOW - 4 * 3600 <= 60
    outbox.deliver(NOW + 25 * 3600)
    assert WireNotification.objects.get().done, "after a day it is given up, and the log says so"


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


SETUP = """
import time
from telemetry import utility_services as s
from telemetry.protocols.ieee2030_5 import outbox
from telemetry.utility_models import *
now = int(time.time())
own = EndDevice.objects.filter(own=True).first() or s.enrol("A" * 40, now=now, role="aggregator", hosts=["127.0.0.1"])
WireSubscription.objects.get_or_create(
    owner=own, resource="/edev", uri="http://127.0.0.1:{port}/x", profile="csip-aus 1.2", defaults=dict(limit=9))
s.enrol("{lfdi}", now=now, through="A" * 40)
outbox.enqueue(["/edev"], now)
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
