"""nginx in front of the utility server, with the very configuration that the manual prints."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.conftest import ROOT, shared_path
from tests.wire.test_utility_server import SETUP, Served, migrated, pki_of

pytestmark = pytest.mark.wire
PAGE = ROOT / "templates" / "docs" / "ieee2030-5-nginx.md"


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    run = tmp_path_factory.mktemp("nginx")
    folder, index = pki_of(run)
    inner = run / "inner"
    inner.mkdir(mode=0o750)
    env = {**os.environ, "HEADROOM_STATE_DIR": str(run / "state"), "UTILITY_PEN": "7", "UTILITY_SOCKET": ""}
    env.pop("DATABASE_URL", None)
    manage = [sys.executable, "manage.py"]
    migrated(env, tmp_path_factory)
    script = SETUP.format(one=index["device1"]["lfdi"], two=index["device2"]["lfdi"])
    subprocess.run([*manage, "shell", "--verbosity", "0", "-c", script], cwd=ROOT, env=env, check=True, timeout=60)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    text = re.search(r"```nginx\n(.*?)```", PAGE.read_text(), re.S).group(1)
    text = text.replace("0.0.0.0:8443", f"127.0.0.1:{port}").replace("/etc/headroom", str(folder))
    text = text.replace("/run/headroom/utility.sock", f"{inner}/utility.sock").replace("/run/headroom", str(run))
    text = text.replace("user www-data;", "user root;" if os.getuid() == 0 else "")  # pytest's folders are 0700
    temp = "".join(f"{name}_temp_path {run}/{name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = text.replace("access_log off;", f"access_log off; {temp}")
    (run / "nginx.conf").write_text("daemon off;\n" + text)
    server = subprocess.Popen([*manage, "utility_server", "--socket", f"{inner}/utility.sock"], cwd=ROOT, env=env)
    front = subprocess.Popen(["nginx", "-c", str(run / "nginx.conf"), "-e", str(run / "nginx.err")])
    one = Served(folder, port, index, env)
    try:
        for _ in range(150):
            try:
                if one.ask("GET", "/dcap")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.2)
        yield one
    finally:
        for process in (front, server):
            process.terminate()
            process.wait(15)


def test_the_identity_reaches_the_listener_and_only_from_the_proxy(fronted: Served) -> None:
    assert fronted.ask("GET", "/dcap")[0] == 200
    device = fronted.tree("/edev?l=5")[0]
    assert device.findtext("{*}lFDI") == fronted.index["device1"]["lfdi"]
    # A client that sends the header itself is overruled.
    other = fronted.pem("device2")
    listed = fronted.ask("GET", "/edev?l=5", headers={"X-Forwarded-Client-Cert": other})[2]
    assert fronted.index["device1"]["lfdi"].encode() in listed and fronted.index["device2"]["lfdi"].encode() not in listed
    assert fronted.ask("GET", "/dcap", who="aggregator1")[0] == 403


def test_no_certificate_or_a_foreign_one_is_refused(fronted: Served) -> None:
    for who in ("", "stranger"):
        try:
            assert fronted.ask("GET", "/dcap", who=who)[0] == 400
        except OSError:
            pass  # refused at the handshake is as good


def test_the_checker_of_tls_rules_finds_nothing(fronted: Served) -> None:
    kit = shared_path("kits/tls/check_tls.py")
    command = [sys.executable, kit, fronted.folder, "localhost", str(fronted.port), "/dcap"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_a_revoked_certificate_is_cut_at_its_next_request(fronted: Served) -> None:
    with closing(fronted.link("device2")) as link:
        link.request("GET", "/dcap")
        answer = link.getresponse()
        assert answer.status == 200 and answer.read()
        fronted.manage("utility_device", "revoke", fronted.index["device2"]["lfdi"])
        began = time.monotonic()
        with pytest.raises((OSError, HTTPException)):
            while time.monotonic() - began < 60:
                link.request("GET", "/dcap")
                link.getresponse().read()
                time.sleep(0.5)
        assert time.monotonic() - began < 60


def test_the_listener_takes_a_socket_only_where_nobody_else_reaches_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    command = [sys.executable, "manage.py", "utility_server", "--socket", str(tmp_path / "x.sock")]
    env = {**os.environ, "HEADROOM_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode != 0 and "everybody can reach this socket" in done.stderr
