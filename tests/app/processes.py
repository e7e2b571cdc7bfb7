"""Real processes on the test's own database: SQLite as a file copied from memory, PostgreSQL as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from django.db import connection

PROJECT = Path(__file__).resolve().parents[2]
START = "import django; django.setup()\n"


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which a process finds this test's tables."""
    if connection.vendor == "postgresql":
        facts = connection.settings_dict
        password = f":{quote(facts['PASSWORD'])}" if facts["PASSWORD"] else ""
        url = f"postgres://{facts['USER']}{password}@{facts['HOST']}:{facts['PORT'] or 5432}/{facts['NAME']}"
    else:
        file = folder / "test.sqlite3"
        if not file.exists():
            with connection.cursor() as cursor:
                cursor.execute("VACUUM INTO %s", [str(file)])
        url = f"sqlite:///{file}"
    return {
        **os.environ, "DATABASE_URL": url, "HEADROOM_STATE_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "derms.settings",
        "PYTHONPATH": str(PROJECT),
    }  # fmt: skip


def start(code: str, *arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start Python code (after Django's set-up) in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", START + code, *arguments], cwd=PROJECT, env=env, text=True, stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )  # fmt: skip


@contextmanager
def ended(*processes: subprocess.Popen[str]) -> Iterator[None]:
    """Kill what is still running at the end, whatever happened."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
