"""The outstation towards SCADA as a process, on a database, against masters that share no code with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from socket import create_server

import pytest

from telemetry.protocols.ieee2030_5 import pki
from tests.conftest import shared_path
from tests.wire.raw_dnp3 import (
    DIRECT,
    LATCH_OFF,
    LATCH_ON,
    OPERATE,
    PULSE_ON,
    READ,
    SELECT,
    Master,
    analog,
    crob,
    wait_for,
)  # fmt: skip

pytestmark = pytest.mark.wire
ROOT = Path(__file__).resolve().parents[2]
SUCCESS, NO_SELECT, NOT_SUPPORTED, NOT_AUTHORIZED, OUT_OF_RANGE, BLOCKED_OTHER = 0, 2, 4, 9, 12, 17
CURTAIL_ALL, HEALTHY, HEARTBEAT = 0, 0, 0
# Slots go by name: ieee123 has 0, ieee13 has 1; depot-1, depot-2, mall-3 have 0, 1, 2.
IEEE13, IEEE123, DEPOT_1, DEPOT_2 = 132, 100, 10_000, 10_016
P, SCADA_IMPORT, LEFT, DURATION = 0, 13, 15, 16


def free_port() -> int:
    with closing(create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


@dataclass
class Served:
    """A running outstation with two control centres and one over TLS, and the process that plays the engine."""

    folder: Path
    env: dict[str, str]
    ports: dict[str, int]
    scada: subprocess.Popen[bytes]
    engine: subprocess.Popen[bytes]

    def shell(self, code: str) -> str:
        command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
        return subprocess.run(command, cwd=ROOT, env=self.env, check=True, capture_output=True, timeout=60).stdout.decode()


CONFIG = """
[tls]
certificate = "pki/server-chain.pem"
key = "pki/server.key"
authority = "pki/ca-bundle.pem"
[[centre]]
name = "main"
port = {main}
[[centre]]
name = "second"
port = {second}
master = 2
[[centre]]
name = "viewer"
port = {viewer}
master = 3
commands = false
[[centre]]
name = "secure"
port = {secure}
master = 4
allow = ["sha256:{fingerprint}"]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from datetime import UTC, datetime

    folder = tmp_path_factory.mktemp("scada")
    pki.make(folder / "pki", hosts=["localhost"], devices=2, aggregators=0, pen=1, now=datetime.now(UTC))
    certificate = (folder / "pki" / "device1-chain.pem").read_text()
    import hashlib
    import ssl

    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.partition("-----END CERTIFICATE-----")[0]
                                 + "-----END CERTIFICATE-----\n")).hexdigest()  # fmt: skip
    ports = {name: free_port() for name in ("main", "second", "viewer", "secure")}
    (folder / "scada.toml").write_text(CONFIG.format(fingerprint=fingerprint, **ports))
    env = {**os.environ, "HEADROOM_STATE_DIR": str(folder), "PYTHONPATH": str(ROOT),
           "DJANGO_SETTINGS_MODULE": "derms.settings"}  # fmt: skip
    env.pop("DATABASE_URL", None)
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True, timeout=120)
    play = [sys.executable, "-m", "tests.app.scada_seed"]
    subprocess.run([*play, "seed"], cwd=ROOT, env=env, check=True, timeout=60)
    engine = subprocess.Popen([*play, "600"], cwd=ROOT, env=env)
    scada = subprocess.Popen([*manage, "scada", "--config", str(folder / "scada.toml")], cwd=ROOT, env=env)
    one = Served(folder, env, ports, scada, engine)

    def answers() -> bool:
        try:
            with closing(Master(ports["main"])) as master:
                return master.integrity()[(1, HEALTHY)].value == 1
        except (OSError, KeyError):
            return False

    try:
        assert wait_for(answers, 40.0)
        yield one
    finally:
        for process in (scada, engine):
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(15)


@pytest.fixture
def main(served: Served) -> Iterator[Master]:
    with closing(Master(served.ports["main"])) as master:
        master.events()
        yield master


def test_an_integrity_poll_shows_the_house(main: Master) -> None:
    found = main.integrity()
    assert found[(1, HEALTHY)].value == 1
    assert found[(30, IEEE13 + P)].value == 23_456
    assert found[(30, IEEE13 + P)].good
    assert found[(30, DEPOT_1)].value == 2_000
    assert found[(30, IEEE13 + SCADA_IMPORT)].value == 20_000, "no limit in force: the most"
    first = found[(30, HEARTBEAT)].value
    assert wait_for(lambda: main.read(30, HEARTBEAT).value != first, 5.0)


def test_select_before_operate_is_mandatory_and_outputs_are_latches(main: Master) -> None:
    """IEEE 1815 4.4.3: OPERATE only after its own SELECT; DIRECT OPERATE is switched off."""
    order = crob(CURTAIL_ALL, LATCH_ON)
    assert main.control(OPERATE, order) == NO_SELECT
    assert main.control(DIRECT, order) == 255
    assert main.control(SELECT, crob(CURTAIL_ALL, PULSE_ON)) == NOT_SUPPORTED
    assert main.control(SELECT, crob(CURTAIL_ALL, 0x41)) == NOT_SUPPORTED, "close"
    assert main.control(SELECT, crob(CURTAIL_ALL, LATCH_ON, 2)) == NOT_SUPPORTED
    assert main.control(SELECT, order) == SUCCESS
    main.request(READ, bytes([60, 1, 6]))
    assert main.control(OPERATE, order) == NO_SELECT, "a READ between the two ends the selection"
    assert main.control(SELECT, analog(IEEE13, 20_001)) == OUT_OF_RANGE
    assert main.control(SELECT, analog(IEEE13, -1)) == OUT_OF_RANGE
    assert main.control(SELECT, analog(IEEE13 + 3, 0)) == NOT_SUPPORTED, "a gap in the block"
    assert main.read(1, 1).value == 0


def test_a_feeders_limit_is_shared_among_its_sites_and_mirrored(main: Master, served: Served) -> None:
    assert main.sbo(analog(IEEE13 + 2, 10)) == ("operate", SUCCESS)
    assert main.sbo(analog(IEEE13, 4_005)) == ("operate", SUCCESS)
    assert main.read(30, IEEE13 + SCADA_IMPORT).value == 4_005
    assert 1 <= main.read(30, IEEE13 + LEFT).value <= 10
    events = [item for item in main.events() if (item.group, item.index) == (32, IEEE13 + SCADA_IMPORT)]
    assert [item.value for item in events] == [4_005]
    assert events[0].at_ms is not None
    assert abs(events[0].at_ms / 1000 - time.time()) < 5
    caps = served.shell(
        "from telemetry.order_models import OperatorOrder as O\n"
        "print(sorted((o.site, o.import_w, o.export_w, o.source) for o in O.objects.filter(kind='cap', state='active')))"
    )
    assert caps.strip() == "[('depot-1', 300375, 1500000, 'scada'), ('depot-2', 100125, 250000, 'scada')]"
    assert main.read(1, IEEE13 + 5).value == 1
    assert main.sbo(analog(IEEE13 + 2, 3_600)) == ("operate", SUCCESS)


def test_two_control_centres_have_their_own_events_and_the_lower_limit_holds(main: Master, served: Served) -> None:
    with closing(Master(served.ports["second"], address=2)) as second:
        second.events()
        assert main.sbo(analog(DEPOT_1, 9_000)) == ("operate", SUCCESS)
        assert second.sbo(analog(DEPOT_1, 7_000)) == ("operate", SUCCESS)
        time.sleep(1.0)
        for master in (main, second):
            assert master.read(30, DEPOT_1 + 5).value == 7_000
            assert any((item.group, item.index) == (32, DEPOT_1 + 5) for item in master.events()), "each its own events"
        assert second.sbo(analog(DEPOT_1, 15_000)) == ("operate", SUCCESS)
        assert main.read(30, DEPOT_1 + 5).value == 9_000, "the other centre's limit stands"
        assert main.sbo(analog(DEPOT_1, 15_000)) == ("operate", SUCCESS)


def test_a_centre_cannot_end_what_another_ordered(main: Master, served: Served) -> None:
    with closing(Master(served.ports["second"], address=2)) as second:
        assert main.sbo(crob(CURTAIL_ALL, LATCH_ON)) == ("operate", SUCCESS)
        assert main.read(1, 1).value == 1
        time.sleep(1.0)
        assert second.control(SELECT, crob(CURTAIL_ALL, LATCH_OFF)) == BLOCKED_OTHER
        assert main.sbo(crob(CURTAIL_ALL, LATCH_OFF)) == ("operate", SUCCESS)
        assert main.read(1, 1).value == 0


def test_a_viewer_may_not_command(served: Served) -> None:
    with closing(Master(served.ports["viewer"], address=3)) as viewer:
        assert viewer.integrity()[(1, 2)].value == 0
        assert viewer.control(SELECT, crob(CURTAIL_ALL, LATCH_ON)) == NOT_AUTHORIZED


def test_a_head_measurement_arrives_by_scada(main: Master, served: Served) -> None:
    served.engine.send_signal(signal.SIGSTOP)
    try:
        assert main.sbo(analog(IEEE13 + 5, -1_234)) == ("operate", SUCCESS)
        assert main.sbo(analog(IEEE13 + 4, 31_415)) == ("operate", SUCCESS)
        row = served.shell("from telemetry.queries import head\nh = head('ieee13')\nprint(h.power_w, h.reactive_var)")
        assert row.split() == ["3141500.0", "-123400.0"]
        assert main.read(30, IEEE13 + 20).value == 31_415
    finally:
        served.engine.send_signal(signal.SIGCONT)


def test_tls_admits_only_whom_the_allow_list_names(served: Served) -> None:
    import ssl

    def context(who: str) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(served.folder / "pki" / "serca.pem"))
        if who:
            made.load_cert_chain(served.folder / "pki" / f"{who}-chain.pem", served.folder / "pki" / f"{who}.key")
        return made

    with closing(Master(served.ports["secure"], address=4, tls=context("device1"))) as master:
        assert master.integrity()[(1, HEALTHY)].value == 1
    for stranger in ("device2", ""):
        with (
            pytest.raises((OSError, ConnectionError)),
            closing(Master(served.ports["secure"], address=4, tls=context(stranger))) as master,
        ):
            master.integrity()
    with pytest.raises((OSError, ConnectionError)), closing(Master(served.ports["secure"], address=4)) as master:
        master.integrity()


def test_plain_tcp_beyond_loopback_is_refused(served: Served, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[[centre]]\nname = "x"\nhost = "192.0.2.1"\nport = 20000\n')
    command = [sys.executable, "manage.py", "scada", "--config", str(tmp_path / "bad.toml")]
    answer = subprocess.run(command, cwd=ROOT, env=served.env, capture_output=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert b"plain TCP on 192.0.2.1 is refused" in answer.stderr


def test_a_limit_ends_by_itself_after_its_duration(main: Master) -> None:
    """The limit of ten seconds that an earlier test gave; the tests between were the waiting."""
    assert wait_for(lambda: main.read(30, IEEE13 + SCADA_IMPORT).value == 20_000, 15.0)
    assert main.read(1, IEEE13 + 5).value == 0
    assert main.read(30, IEEE13 + LEFT).value == 0


def test_every_check_of_the_kit_passes_with_every_engine(served: Served, tmp_path: Path) -> None:
    kit, points = shared_path("kits/dnp3"), tmp_path / "points.json"
    command = [sys.executable, "manage.py", "scada", "--points", str(points)]
    subprocess.run(command, cwd=ROOT, env=served.env, check=True, timeout=60)
    document = json.loads(points.read_text())
    assert sum("test" in row for row in document["points"]) > 12
    # dnp3py 0.6 writes a one-octet count before two-octet indexes: it can command nothing above index 255.
    for engine, below in (("raw,py1815", 65_536), ("dnp3py", 256)):
        for row in document["points"]:
            if row["index"] >= below:
                row.pop("test", None)
        points.write_text(json.dumps(document))
        target = f"127.0.0.1:{served.ports['main']}"
        command = [sys.executable, str(kit / "check_outstation.py"), target, str(points), "--engine", engine]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        wrong = [line for line in answer.stdout.splitlines() if line.startswith("FAIL") or "not installed" in line]
        assert (answer.returncode, wrong) == (0, []), answer.stdout[-2000:]


def test_a_dead_engine_is_stale_not_frozen_and_the_heartbeat_stops(main: Master, served: Served) -> None:
    served.engine.send_signal(signal.SIGSTOP)
    assert wait_for(lambda: main.read(1, HEALTHY).value == 0, 20.0), "the watchdog's word is old"
    beat = main.read(30, HEARTBEAT).value
    served.shell(
        "from datetime import UTC, datetime, timedelta\n"
        "from telemetry import services\nfrom tests.app.scada_seed import board\n"
        "services.record_cycle('ieee13', datetime.now(UTC) - timedelta(seconds=26), 'old', 1, board('ieee13'))"
    )
    assert main.read(30, IEEE13 + P).good, "not yet 30 s old"
    assert wait_for(lambda: not main.read(30, IEEE13 + P).good, 15.0)
    stale = main.read(30, IEEE13 + P)
    assert (stale.value, stale.flags) == (23_456, 0x04), "COMM_LOST without ONLINE"
    assert main.read(1, IEEE13 + 1).value == 1
    assert main.read(30, HEARTBEAT).value == beat
    served.engine.send_signal(signal.SIGCONT)
    assert wait_for(lambda: main.read(30, IEEE13 + P).good and main.read(1, HEALTHY).value == 1, 20.0)
