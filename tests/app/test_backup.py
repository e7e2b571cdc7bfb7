"""Backup and restore drill on a real database file, and on a real PostgreSQL server where the tests run on one."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.conftest import ROOT

FILL = """
from interconnection.models import Feeder, Event
Feeder.objects.create(name="kept")
Event.objects.create(actor="test", action="filed", after={"x": 1})
"""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A database of its own with a feeder and an audited event."""
    found = {**os.environ, "HEADROOM_STATE_DIR": str(tmp_path / "state"), "HEADROOM_LOG_LEVEL": "ERROR"}
    url, name = os.environ.get("DATABASE_URL", ""), ""
    if url.startswith("postgres"):
        name = f"headroom_test_{secrets.token_hex(4)}"
        found["DATABASE_URL"] = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        _server("createdb", name, url)
    else:
        found.pop("DATABASE_URL", None)
    manage(found, "migrate", "--verbosity", "0")
    manage(found, "shell", "-c", FILL)
    yield found
    if name:
        _server("dropdb", name, url)


def _server(tool: str, name: str, url: str) -> None:
    parts = urlsplit(url)
    command = [tool, "-h", parts.hostname or "", "-p", str(parts.port or 5432), "-U", parts.username or "", name]
    subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": parts.password or ""})


def manage(environment: dict[str, str], *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_backup_restores_and_a_damaged_or_shortened_one_is_found_out(environment: dict[str, str], tmp_path: Path) -> None:
    place = Path(manage(environment, "backup", "--to", str(tmp_path / "backups")).split(" (")[0])
    assert place.stat().st_mode & 0o077 == 0, "a backup is not for everybody's eyes"
    said = manage(environment, "restore_drill", "--from", str(place))
    assert "NO " not in said
    assert said.count("yes  ") == 5
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["rows"]["interconnection_feeder"] == 1

    database = next(place / name for name in manifest["files"] if name.startswith("database"))
    if database.suffix == ".sqlite3":
        with closing(sqlite3.connect(database)) as opened:
            opened.execute("delete from interconnection_feeder")
            opened.commit()
        assert "damaged" in manage(environment, "restore_drill", "--from", str(place), status=2)
        import hashlib

        manifest["files"][database.name] = hashlib.sha256(database.read_bytes()).hexdigest()
        (place / "manifest.json").write_text(json.dumps(manifest))
        assert "NO   no row is missing" in manage(environment, "restore_drill", "--from", str(place), status=1)
    database.write_bytes(database.read_bytes()[:-1000])
    assert "damaged" in manage(environment, "restore_drill", "--from", str(place), status=2)
