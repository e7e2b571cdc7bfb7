"""A developer's way from the first question to the agreement: the manual's own commands, against a running server.

The `sh` blocks of templates/docs/api.md run in order, in one bash, with curl and the command line; then the Python client
that is generated from the checked-in document talks to the same server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import House
from tests.conftest import ROOT

GUIDE = ROOT / "templates" / "docs" / "api.md"
DOCUMENT = ROOT / "templates" / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, dict[str, str]]]:
    place = House(tmp_path_factory.mktemp("api-house"))
    place.manage("migrate", "--verbosity", "0")
    known = json.loads(place.run("tests.api.seed").splitlines()[-1])
    place.serve()
    place.start("manage.py", "qcluster")
    yield place, known
    for process in reversed(place.processes):
        place.stop(process)


@pytest.fixture(scope="module")
def shell(house: tuple[House, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place, known = house
    folder = tmp_path_factory.mktemp("shell")
    script = folder / "headroom"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m derms.cli "$@"\n')
    script.chmod(0o755)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # curl and the command line must reach loopback without a proxy.
    return kept | known | {
        "PATH": f"{folder}:{os.path.dirname(sys.executable)}:{kept['PATH']}", "HOME": str(folder), "NO_PROXY": "*",
        "URL": place.url, "HEADROOM_CONFIG": str(folder / "cli.json"),
    }  # fmt: skip


def run(shell: dict[str, str], command: str, *, ok: bool = True) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], env=shell, cwd=shell["HOME"], capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is ok, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + ("" if ok else done.stderr)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_guides_commands_lead_to_an_agreement(shell: dict[str, str]) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    assert len(blocks) >= 6
    said = run(shell, "\n".join(blocks))
    assert "Signed in as applicant" in said
    assert re.search(r"^import +1000 ", said, re.M), said
    assert '"status":"open"' in said.replace(" ", "")
    assert "typed_name" in said
    assert "A. Applicant" in said
    assert Path(shell["HEADROOM_CONFIG"]).stat().st_mode & 0o77 == 0, "a token is for its owner's eyes"
    limits = run(shell, "headroom limits --json")
    assert json.loads(limits)[0]["reason"].startswith("failsafe")


def test_the_command_line_says_what_is_wrong_and_what_to_do(shell: dict[str, str]) -> None:
    known = dict(shell, HEADROOM_URL=shell["URL"], HEADROOM_TOKEN=shell["APPLICANT"])
    assert "applicant" in run(known, "headroom whoami")
    bad = run(known, """printf '{"name": "x", "import_kw": true}' | headroom apply -""", ok=False)
    assert "/import_kw" in bad
    assert "/feeder" in bad
    assert "not found" not in run(known, "headroom feeders")
    assert "HTTP 404" in run(known, "headroom status 987654", ok=False)
    assert "HTTP 401" in run(dict(known, HEADROOM_TOKEN="hrp_no"), "headroom whoami", ok=False)
    assert "https only" in run(known, "echo x | headroom login http://headroom.example.org", ok=False)
    assert "Not signed in" in run(dict(shell, HEADROOM_CONFIG="/nonexistent/cli.json"), "headroom whoami", ok=False)
    assert "No answer" in run(dict(known, HEADROOM_URL="http://127.0.0.1:9"), "headroom whoami", ok=False)
    rows = "name,feeder,bus,import_kw,export_kw,charger_model,charger_count,charger_import_kw,charger_export_kw,wanted\n"
    rows += "A,ieee13,671,100,0,X,2,60,0,2027-01-01\nB,ieee13,nowhere,100,0,X,2,60,0,2027-01-01\n"
    table = run(known, f"printf '{rows}' > rows.csv; headroom bulk rows.csv --dry-run", ok=False)
    assert re.search(r"^ *2 +200", table, re.M)
    assert re.search(r"^ *3 +422.*/bus", table, re.M)


def test_the_generated_python_client_files_and_reads(house: tuple[House, dict[str, str]], tmp_path: Path) -> None:
    place, known = house
    folder = tmp_path / "headroom_client"
    made = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "openapi-python-client"), "generate", "--path", str(DOCUMENT),
         "--output-path", str(folder), "--meta", "none", "--config", str(ROOT / "tests" / "api" / "client.yaml")],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    assert "will not be generated" not in made.stdout, made.stdout
    program = """
import datetime, json, os
from headroom_client import AuthenticatedClient
from headroom_client.api.applications import applications_create, applications_list, applications_read
from headroom_client.api.feeders import feeders_list
from headroom_client.models import ApplicationForm
client = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["APPLICANT"])
assert [item.name for item in feeders_list.sync(client=client).results] == ["ieee13"]
form = ApplicationForm.from_dict(json.loads(os.environ["BODY"]))
made = applications_create.sync(client=client, body=form, idempotency_key="generated-1")
again = applications_create.sync(client=client, body=form, idempotency_key="generated-1")
assert made.id == again.id and made.state == "draft", made
assert applications_read.sync(made.id, client=client).import_kw == 900
assert made.id in [row.id for row in applications_list.sync(client=client).results]
wrong = ApplicationForm.from_dict(json.loads(os.environ["BODY"]) | {"bus": "no"})
bad = applications_create.sync(client=client, body=wrong)
assert bad.status == 422 and bad.errors[0]["pointer"] == "/bus", bad
print("client ok")
"""
    shown: dict[str, Any] = {
        "id": 0, "reference": "", "state": "", "created": "2027-01-01T00:00:00Z", "changed": "2027-01-01T00:00:00Z",
        "name": "Client depot", "feeder": "ieee13", "bus": "671", "import_kw": 900, "export_kw": 0, "charger_model": "X",
        "charger_count": 10, "charger_import_kw": 100, "charger_export_kw": 0, "wanted": "2027-01-01",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False,
        env={"PYTHONPATH": str(tmp_path), "URL": place.url, "APPLICANT": known["APPLICANT"], "BODY": json.dumps(shown),
             "NO_PROXY": "*", "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert "client ok" in done.stdout, done.stdout + done.stderr
