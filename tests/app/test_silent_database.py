"""A PostgreSQL that says nothing more is given up within seconds, not after TCP's own quarter of an hour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from telemetry.lead_services import MOST_IDLE_MS, _bound
from tests.app.processes import PROJECT

LOOK = "import json; from derms import settings; print(json.dumps(settings.DATABASES['default']['OPTIONS']))"


def test_every_connection_to_postgresql_has_a_bound_on_silence_that_can_be_set(tmp_path: Path) -> None:
    env = os.environ | {
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing", "HEADROOM_DATABASE_SILENT_MS": "4321",
        "HEADROOM_STATE_DIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", LOOK], cwd=PROJECT, env=env, check=True, capture_output=True, text=True)
    options = json.loads(done.stdout)
    assert options["tcp_user_timeout"] == 4321
    assert 0 < options["connect_timeout"] <= 5
    patience_s = options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"]
    assert options["keepalives"] == 1
    assert patience_s <= 10


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="a server's bounds: run with DATABASE_URL")
def test_a_control_process_bounds_each_statement_and_each_idle_transaction_on_the_server() -> None:
    _bound(connection)
    with connection.cursor() as cursor:
        found = {}
        for name in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
            cursor.execute("SELECT setting FROM pg_settings WHERE name = %s", [name])
            found[name] = int(cursor.fetchone()[0])
        for name in found:
            cursor.execute(f"SET {name} = 0")
    assert found == {
        "statement_timeout": 10_000, "idle_in_transaction_session_timeout": MOST_IDLE_MS, "lock_timeout": MOST_IDLE_MS,
    }  # fmt: skip
