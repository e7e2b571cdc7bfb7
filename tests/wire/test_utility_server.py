"""One client against the real utility server: TLS handshake, identity, grant served as control, answer, isolation."""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server
from urllib.parse import quote

import pytest
from lxml import etree

from telemetry.protocols.ieee2030_5 import pki, xml
from tests.conftest import shared_path

pytestmark = pytest.mark.wire
ROOT = Path(__file__).resolve().parents[2]
SETUP = """
import time
from telemetry import utility_services as s
from telemetry.control.grant import Grant, Reason
from derms.limits import Limit
now = int(time.time())
for lfdi, site in (({one!r}, "depot"), ({two!r}, "other")):
    device = s.register_device(lfdi, aggregator=None, now=now, pin=111115, site=site)
    program = s.ensure_program(s.ensure_assignment(device, s.GRANT_PROGRAM, 1), 1)
    s.set_default(program, {{"opModImpLimW": 5000, "opModExpLimW": 2000}})
reason = Reason("thermal", "line.head", 1.0, "1-1")
s.lend(Grant("depot", Limit(123456, 99999), 1, 1, 0.0, 60.0, None, reason), now=now, pen=7)
"""


def pki_of(folder: Path) -> tuple[Path, dict[str, dict[str, str]]]:
    """Make a PKI below a folder."""
    made = folder / "pki"
    return made, pki.make(made, hosts=["localhost"], devices=2, aggregators=1, pen=12345, now=datetime.now(UTC))


MIGRATED: list[Path] = []


def migrated(env: dict[str, str], factory: pytest.TempPathFactory) -> None:
    """Give an environment a migrated database; the migrations run once a session."""
    place = Path(env["HEADROOM_STATE_DIR"])
    if not MIGRATED:
        first = factory.mktemp("migrated")
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=env | {"HEADROOM_STATE_DIR": str(first)}, check=True, timeout=240)
        MIGRATED.append(first)
    shutil.copytree(MIGRATED[0], place, dirs_exist_ok=True)


@dataclass
class Served:
    """A running server and its PKI."""

    folder: Path
    port: int
    index: dict[str, dict[str, str]]
    env: dict[str, str]

    def link(self, who: str = "device1", ciphers: str = "") -> http.client.HTTPSConnection:
        made = ssl.create_default_context(cafile=str(self.folder / "serca.pem"))
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers((ciphers or "ECDHE-ECDSA-AES128-CCM8") + ":@SECLEVEL=0")
        if who:
            made.load_cert_chain(self.folder / f"{who}-chain.pem", self.folder / f"{who}.key")
        return http.client.HTTPSConnection("localhost", self.port, context=made, timeout=10)

    def ask(
        self, method: str, path: str, body: str = "", *, who: str = "device1", ciphers: str = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict, bytes]:  # fmt: skip
        with closing(self.link(who, ciphers)) as link:
            link.request(method, path, body.encode() or None, {"Content-Type": xml.MEDIA_TYPE, **(headers or {})})
            answer = link.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def pem(self, who: str) -> str:
        return quote((self.folder / f"{who}-chain.pem").read_text().partition("-----END")[0] + "-----END CERTIFICATE-----")

    def manage(self, *words: str) -> str:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.env, check=True, timeout=60, capture_output=True, text=True
        ).stdout

    def tree(self, path: str, who: str = "device1") -> etree._Element:
        status, _, body = self.ask("GET", path, who=who)
        assert status == 200, (path, status)
        return etree.fromstring(body)


def _text(tree: etree._Element, *names: str) -> str:
    found = tree.find("//".join(["."] + [f"{{*}}{name}" for name in names]))
    assert found is not None, names
    return found.text or ""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, index = pki_of(tmp_path_factory.mktemp("utility"))
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "HEADROOM_STATE_DIR": str(folder.parent / "state"), "UTILITY_PEN": "7", "DATABASE_URL": ""}
    del env["DATABASE_URL"]
    manage = [sys.executable, "manage.py"]
    migrated(env, tmp_path_factory)
    script = SETUP.format(one=index["device1"]["lfdi"], two=index["device2"]["lfdi"])
    subprocess.run([*manage, "shell", "-c", script], cwd=ROOT, env=env, check=True, timeout=60)
    command = [*manage, "utility_server", "--port", str(port), "--cert", str(folder / "server-chain.pem"),
               "--key", str(folder / "server.key"), "--ca", str(folder / "ca-bundle.pem")]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    one = Served(folder, port, index, env)
    for _ in range(100):
        try:
            one.ask("GET", "/dcap")
            break
        except OSError:
            time.sleep(0.2)
    yield one
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def walk(served: Served) -> dict[str, str]:
    """Follow the links from the door to the control, as a client does."""
    dcap = served.tree("/dcap")
    edev = served.tree(dcap.find("{*}EndDeviceListLink").get("href") + "?s=0&l=5")
    assert edev.get("all") == edev.get("results") == "1"
    device = edev[0]
    fsa = served.tree(device.find("{*}FunctionSetAssignmentsListLink").get("href"))
    program = served.tree(fsa[0].find("{*}DERProgramListLink").get("href"))[0]
    return {"edev": device.get("href"), "derc": program.find("{*}DERControlListLink").get("href"),
            "dderc": program.find("{*}DefaultDERControlLink").get("href"),
            "rg": device.find("{*}RegistrationLink").get("href")}  # fmt: skip


def test_the_grant_is_what_the_client_reads(served: Served, walk: dict[str, str]) -> None:
    listed = served.tree(walk["derc"])
    control = listed[0]
    assert _text(control, "EventStatus", "currentStatus") == "1"
    power = {
        name: int(_text(control, name, "value")) * 10 ** int(_text(control, name, "multiplier"))
        for name in ("opModImpLimW", "opModExpLimW")
    }
    assert power == {"opModImpLimW": 123_450, "opModExpLimW": 99_990}
    default = served.tree(walk["dderc"])
    assert _text(default, "opModImpLimW", "value") == "5000" and _text(default, "opModExpLimW", "value") == "2000"
    body = xml.document(
        "DERControlResponse",
        {"createdDateTime": int(time.time()), "endDeviceLFDI": served.index["device1"]["lfdi"], "status": 2,
         "subject": _text(control, "mRID")},
    )  # fmt: skip
    status, headers, _ = served.ask("POST", control.get("replyTo"), body)
    assert status == 201
    assert _text(served.tree(headers["location"]), "status") == "2"
    assert served.ask("POST", control.get("replyTo"), body.replace("<status>2", "<status>15"))[0] == 400


def test_another_device_sees_nothing_of_it(served: Served, walk: dict[str, str]) -> None:
    for path in walk.values():
        assert served.ask("GET", path, who="device2")[0] == 404
        assert served.ask("GET", path.replace("/1", "/99999"), who="device2")[0] == 404
    assert served.ask("GET", "/dcap", who="aggregator1")[0] == 403  # a good certificate that nobody registered


def test_handshakes_that_must_fail(served: Served) -> None:
    for who in ("", "stranger"):
        with pytest.raises(OSError):
            served.ask("GET", "/dcap", who=who)
    with pytest.raises(OSError):
        served.ask("GET", "/dcap", ciphers="ECDHE-ECDSA-AES128-SHA")
    assert served.ask("GET", "/dcap", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")[0] == 200


def test_methods_heads_and_pages(served: Served, walk: dict[str, str]) -> None:
    status, _, body = served.ask("HEAD", "/dcap")
    assert (status, body) == (200, b"")
    status, headers, _ = served.ask("DELETE", "/tm")
    assert status == 405 and "GET" in headers["allow"]
    beyond = served.tree(walk["derc"] + "?s=9&l=5")
    assert (beyond.get("all"), beyond.get("results"), len(beyond)) == ("1", "0", 0)
    assert served.ask("GET", walk["derc"] + "?s=x")[0] == 400
    assert _text(served.tree(walk["rg"]), "pIN") == "111115"


def test_what_is_packed_too_long_or_too_deep_is_refused_before_it_is_read(served: Served) -> None:
    packed = {"Content-Encoding": "gzip"}
    assert served.ask("POST", "/mup", "x", headers=packed)[0] == 415
    assert served.ask("POST", "/mup", "x" * (xml.LARGEST_BODY + 1))[0] == 413
    assert served.ask("POST", "/mup", "<MirrorUsagePoint>" * 10_000)[0] == 400
    assert served.ask("GET", "/dcap")[0] == 200


def test_plain_csip_and_the_newer_csip_aus(served: Served, walk: dict[str, str]) -> None:
    plain = served.ask("GET", "/us" + walk["derc"])[2]
    assert b"csipaus" not in plain and b"ImpLimW" not in plain and b"<opModMaxLimW>0<" in plain  # its rating is not known
    assert b'href="/us/edev' in plain
    assert b"https://csipaus.org/ns/v1.3" in served.ask("GET", "/v1.3" + walk["derc"])[2]


def test_readings_and_status_come_in(served: Served, walk: dict[str, str]) -> None:
    stream = {"mRID": "A" * 24 + "00012345", "ReadingType": {"uom": 38, "kind": 37, "powerOfTenMultiplier": 0}}
    point = {"mRID": "B" * 24 + "00012345", "roleFlags": "0049", "serviceCategoryKind": 0, "status": 1,
             "deviceLFDI": served.index["device1"]["lfdi"], "MirrorMeterReading": [stream]}  # fmt: skip
    status, headers, _ = served.ask("POST", "/mup", xml.document("MirrorUsagePoint", point))
    assert status == 201
    reading = {"mRID": stream["mRID"], "Reading": {"timePeriod": {"duration": 60, "start": 1000}, "value": 5}}
    batch = xml.document("MirrorMeterReadingList", {"all": 1, "results": 1, "MirrorMeterReading": [reading]})
    assert served.ask("POST", headers["location"], batch)[0] == 201
    assert served.ask("POST", headers["location"], batch.replace("<value>5", f"<value>{1 << 47}"))[0] == 400
    assert served.ask("GET", headers["location"], who="device2")[0] == 404
    foreign = xml.document("MirrorUsagePoint", point | {"deviceLFDI": served.index["device2"]["lfdi"]})
    assert served.ask("POST", "/mup", foreign, who="device2")[0] == 409
    report = xml.document("DERStatus", {"genConnectStatus": {"dateTime": 5, "value": "01"}, "readingTime": 5})
    assert served.ask("PUT", walk["edev"] + "/der/1/ders", report)[0] == 201
    assert served.ask("PUT", walk["edev"] + "/der/1/ders", report)[0] == 204
    assert _text(served.tree(walk["edev"] + "/der/1/ders"), "genConnectStatus", "value") == "01"


def test_who_came_in_is_seen_with_its_certificate(served: Served) -> None:
    served.ask("GET", "/dcap")
    lfdi = served.index["device1"]["lfdi"]
    script = (
        "from telemetry.utility_models import WireIdentity as W; "
        f"r = W.objects.get(lfdi={lfdi!r}); print(r.seen, r.address, r.certificate.get('hardware'))"
    )
    for _ in range(40):
        seen, _, rest = served.manage("shell", "--verbosity", "0", "-c", script).strip().rpartition(" 127.0.0.1 ")
        if seen:
            break
        time.sleep(0.3)
    assert rest == "device1" and seen.startswith("20")


def test_the_well_known_file_stands_behind_the_same_handshake(served: Served) -> None:
    status, headers, body = served.ask("GET", "/.well-known/csipaus")
    assert status == 200 and headers["content-type"] == "application/json" and b"/v1.3/dcap" in body


def test_the_checker_of_tls_rules_finds_nothing(served: Served) -> None:
    kit = shared_path("kits/tls/check_tls.py")
    command = [sys.executable, kit, served.folder, "localhost", str(served.port), "/dcap"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_openssl_without_a_certificate_is_refused(served: Served) -> None:
    command = ["openssl", "s_client", "-connect", f"localhost:{served.port}", "-tls1_2", "-cipher",
               "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0", "-ign_eof"]  # fmt: skip
    request = "GET /dcap HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=60, check=False)
    assert "HTTP/1.1" not in done.stdout and "DeviceCapability" not in done.stdout


def test_a_revocation_cuts_the_open_socket_within_a_minute(served: Served) -> None:
    with closing(served.link("device2")) as link:
        link.request("GET", "/dcap")
        answer = link.getresponse()
        assert answer.status == 200 and answer.read()
        began = time.monotonic()
        served.manage("utility_device", "revoke", served.index["device2"]["lfdi"])
        link.sock.settimeout(60.0)
        assert link.sock.recv(1) == b"", "the far end has closed it, while nothing was asked"
        assert time.monotonic() - began < 60
    assert served.ask("GET", "/dcap", who="device2")[0] == 403
    served.manage("utility_device", "restore", served.index["device2"]["lfdi"])
