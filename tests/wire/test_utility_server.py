"""One client against the real utility server: TLS handshake, identity, grant served as control, answer, isolation."""

from __future__ import annotations

import http.client
import os
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

import pytest
from lxml import etree

from telemetry.protocols.ieee2030_5 import pki, xml

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


@dataclass
class Served:
    """A running server and its PKI."""

    folder: Path
    port: int
    index: dict[str, dict[str, str]]

    def ask(
        self, method: str, path: str, body: str = "", *, who: str = "device1", ciphers: str = ""
    ) -> tuple[int, dict, bytes]:
        made = ssl.create_default_context(cafile=str(self.folder / "serca.pem"))
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers((ciphers or "ECDHE-ECDSA-AES128-CCM8") + ":@SECLEVEL=0")
        if who:
            made.load_cert_chain(self.folder / f"{who}-chain.pem", self.folder / f"{who}.key")
        link = http.client.HTTPSConnection("localhost", self.port, context=made, timeout=10)
        with closing(link):
            link.request(method, path, body.encode() or None, {"Content-Type": xml.MEDIA_TYPE})
            answer = link.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

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
    folder = tmp_path_factory.mktemp("utility") / "pki"
    index = pki.make(folder, hosts=["localhost"], devices=2, aggregators=1, pen=12345, now=datetime.now(UTC))
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "HEADROOM_STATE_DIR": str(folder.parent / "state"), "UTILITY_PEN": "7", "DATABASE_URL": ""}
    del env["DATABASE_URL"]
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True, timeout=120)
    script = SETUP.format(one=index["device1"]["lfdi"], two=index["device2"]["lfdi"])
    subprocess.run([*manage, "shell", "-c", script], cwd=ROOT, env=env, check=True, timeout=60)
    command = [*manage, "utility_server", "--port", str(port), "--cert", str(folder / "server-chain.pem"),
               "--key", str(folder / "server.key"), "--ca", str(folder / "ca-bundle.pem")]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    one = Served(folder, port, index)
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
