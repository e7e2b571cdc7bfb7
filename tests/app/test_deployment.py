"""The deployment guide's files: every command exists, every variable is known, nginx and systemd accept them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

from tests.conftest import ROOT

FOLDER = ROOT / "templates" / "deploy"
UNITS = sorted((FOLDER / "systemd").iterdir())
COMMAND = re.compile(r"manage\.py[\s\",]+([a-z_]+)")


def test_every_command_of_the_guide_exists() -> None:
    known = set(get_commands()) | {"qcluster"}
    guide = (ROOT / "templates" / "docs" / "deployment.md").read_text()
    for text in [*(unit.read_text() for unit in UNITS), (FOLDER / "compose.yaml").read_text(), guide]:
        assert set(COMMAND.findall(text)) <= known


def test_every_variable_of_the_guide_is_one_that_headroom_reads() -> None:
    listed = (ROOT / ".env.example").read_text()
    guide = (ROOT / "templates" / "docs" / "deployment.md").read_text()
    for name in set(re.findall(r"^([A-Z][A-Z_]+)=", guide, re.M)) - {"POSTGRES_PASSWORD"}:
        assert re.search(rf"^#? ?{name}=", listed, re.M), name


def test_compose_starts_every_process_of_the_units() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    for process in ("web", "studies", "webhooks", "control", "annunciator", "scada", "watchdog"):
        assert process in services
        assert any(unit.name.startswith(f"headroom-{process}") for unit in UNITS), process


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (Debian: systemd)")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/headroom/.venv/bin/python", "/bin/true").replace("User=headroom", "User=root")
        (tmp_path / unit.name).write_text(text.replace("Group=headroom", "Group=root"))
    names = [str(tmp_path / unit.name) for unit in UNITS if "@" not in unit.name]
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line and "not executable" not in line]
    assert ours == []


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("needs nginx")
    key, chain = tmp_path / "web.key", tmp_path / "web-chain.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=test", "-keyout", str(key), "-out", str(chain)], check=True, capture_output=True,
    )  # fmt: skip
    text = (
        (FOLDER / "nginx.conf").read_text().replace("/etc/headroom", str(tmp_path)).replace("/run/headroom", str(tmp_path))
    )
    (tmp_path / "nginx.conf").write_text(text)
    done = subprocess.run(
        [nginx, "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
