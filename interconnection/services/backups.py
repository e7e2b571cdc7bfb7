"""A backup as a folder that proves itself: the database, the audit anchor, a manifest with what must be found again.

SQLite is copied by its own online backup while others write; PostgreSQL by `pg_dump` in custom format. A drill restores
into a scratch database, never into the one in use, and asks it the questions of the manifest. Keys are not in a backup: a
copy of the database in the wrong hands must not sign anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from derms.errors import Conflict, InputError, LocalError

PREFIX = "headroom-"
MANIFEST, SQLITE, POSTGRES, ANCHOR = "manifest.json", "database.sqlite3", "database.dump", "audit_anchor.jsonl"
COUNTED = ("interconnection", "telemetry", "auth")
TOOL_S = 3600.0


def backup(folder: Path, *, now: datetime) -> Path:
    """Write a new backup below `folder` and return its path; nothing half-written keeps the name of a backup.

    Raises Conflict when one of this second is there, LocalError when the database's own tool fails.
    """
    place = folder / f"{PREFIX}{now:%Y%m%dT%H%M%SZ}"
    if place.exists():
        raise Conflict(f"{place.name} is there already", where="backup", remedy="Wait a second.")
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    made.chmod(0o700)
    try:
        facts = state(now)
        _dump(made)
        anchor = Path(settings.AUDIT_ANCHOR)
        if anchor.is_file():
            shutil.copyfile(anchor, made / ANCHOR)
        files = {path.name: _sha256(path) for path in sorted(made.iterdir())}
        (made / MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=1, sort_keys=True))
        made.rename(place)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return place


def prune(folder: Path, keep: int) -> list[str]:
    """Remove all but the newest `keep` backups; return what went. Folders that are no backups stay."""
    found = sorted(path for path in folder.glob(f"{PREFIX}*") if (path / MANIFEST).is_file())
    gone = found[: max(0, len(found) - keep)]
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


def state(now: datetime) -> dict[str, Any]:
    """Return what a restored database must answer again: engine, migrations, rows a table at the least, the time."""
    models = [model for label in COUNTED for model in apps.get_app_config(label).get_models()]
    return {
        "made": now.isoformat(),
        "engine": connection.vendor,
        "migrations": sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()),
        "rows": {model._meta.db_table: model._default_manager.count() for model in models},
    }


def verify(place: Path) -> dict[str, Any]:
    """Return a backup's manifest when each file has its hash; else InputError names the file."""
    try:
        manifest: dict[str, Any] = json.loads((place / MANIFEST).read_text())
        files = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("this folder is no backup", where=place.name, remedy=f"It needs a {MANIFEST}.") from error
    for name, digest in files.items():
        path = place / Path(name).name
        if not path.is_file() or _sha256(path) != digest:
            raise InputError(f"{name} is damaged or missing", where=place.name, remedy="Take another backup.")
    if not {SQLITE, POSTGRES} & set(files):
        raise InputError("there is no database in it", where=place.name)
    return manifest


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill found: each question with whether the restored database answered it, and the seconds it took."""

    answers: dict[str, bool]
    notes: dict[str, str]

    @property
    def passed(self) -> bool:
        """Say whether every question was answered."""
        return bool(self.answers) and all(self.answers.values())


def drill(place: Path) -> Drill:
    """Restore a backup into a scratch database and ask it what the manifest says; the database in use is not touched."""
    manifest = verify(place)
    with _scratch(place) as url, tempfile.TemporaryDirectory(prefix="headroom-drill-") as spare:
        anchor = place / ANCHOR
        environment = {
            **os.environ, "DATABASE_URL": url, "HEADROOM_STATE_DIR": spare,
            "HEADROOM_AUDIT_ANCHOR": str(anchor if anchor.is_file() else Path(spare) / ANCHOR),
        }  # fmt: skip
        found = json.loads(_manage(environment, "restore_drill", "--look"))
        chain = subprocess.run(
            [sys.executable, "manage.py", "verify_audit", "--json"], cwd=settings.BASE_DIR, env=environment,
            capture_output=True, text=True, timeout=TOOL_S, check=False,
        )  # fmt: skip
    # Rows are counted just before the copy is taken, and others write meanwhile: the copy may hold more, never less.
    short = {table: (count, found["rows"].get(table)) for table, count in manifest["rows"].items()
             if (found["rows"].get(table) or 0) < count}  # fmt: skip
    return Drill(
        {
            "files have their hashes": True,
            "same migrations": found["migrations"] == manifest["migrations"],
            "no row is missing": not short,
            "every agreement fits its hash": not found["agreements_broken"],
            "the audit chain holds": chain.returncode == 0,
        },
        {
            "rows": f"{sum(found['rows'].values()):,} in {len(found['rows'])} tables, {found['agreements']} agreements",
            "missing": json.dumps(short) if short else "",
            "audit": (chain.stdout or chain.stderr).strip()[-300:],
        },
    )


def look() -> dict[str, Any]:
    """Return what a drill asks of the database that this process is connected to."""
    from interconnection.models import Agreement

    broken = [
        row.site for row in Agreement.objects.all() if hashlib.sha256(row.document.encode()).hexdigest() != row.sha256
    ]
    return {
        "migrations": sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()),
        "rows": {
            model._meta.db_table: model._default_manager.count()
            for label in COUNTED for model in apps.get_app_config(label).get_models()
        },
        "agreements": Agreement.objects.count(),
        "agreements_broken": broken,
    }  # fmt: skip


def _manage(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True,
        timeout=TOOL_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LocalError("the restored database does not answer", where=arguments[0], remedy=done.stderr.strip()[-500:])
    return done.stdout


def _dump(folder: Path) -> None:
    if connection.vendor == "sqlite":
        source = Path(str(connection.settings_dict["NAME"]))
        with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=60)) as one:
            with closing(sqlite3.connect(folder / SQLITE)) as two:
                one.backup(two)
        return
    _tool(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={folder / POSTGRES}"], database="")


@contextmanager
def _scratch(place: Path) -> Iterator[str]:
    """Give the URL of a database that holds the backup, and remove it afterwards."""
    if (place / SQLITE).is_file():
        with tempfile.TemporaryDirectory(prefix="headroom-drill-") as folder:
            copy = Path(folder) / SQLITE
            shutil.copyfile(place / SQLITE, copy)
            with closing(sqlite3.connect(copy)) as opened:
                problem = opened.execute("PRAGMA integrity_check").fetchone()[0]
            if problem != "ok":
                raise InputError(f"SQLite finds it damaged: {problem}", where=place.name)
            yield f"sqlite:///{copy}"
        return
    if connection.vendor != "postgresql":
        raise Conflict(
            "a PostgreSQL backup is drilled on a PostgreSQL server", where="database", remedy="Set DATABASE_URL to it."
        )
    name = f"headroom_drill_{secrets.token_hex(4)}"
    _tool(["createdb", name], database=None)
    try:
        _tool(["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={name}", str(place / POSTGRES)],
              database=None)  # fmt: skip
        url = urlsplit(os.environ["DATABASE_URL"])
        yield urlunsplit(url._replace(path=f"/{name}"))
    finally:
        _tool(["dropdb", "--if-exists", "--force", name], database=None)


def _tool(command: list[str], *, database: str | None) -> None:
    """Run one of PostgreSQL's tools with the connection of the settings; the password goes by the environment."""
    known = connection.settings_dict
    environment = {**os.environ, "PGHOST": str(known["HOST"] or ""), "PGPORT": str(known["PORT"] or ""),
                   "PGUSER": str(known["USER"] or ""), "PGPASSWORD": str(known["PASSWORD"] or "")}  # fmt: skip
    if database is not None:
        environment["PGDATABASE"] = str(known["NAME"])
    environment = {name: value for name, value in environment.items() if value or not name.startswith("PG")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TOOL_S, check=False)
    except FileNotFoundError as error:
        raise LocalError(f"{command[0]} is not installed", where="backup", remedy="Install PostgreSQL's client.") from error
    if done.returncode:
        raise LocalError(f"{command[0]} failed", where="backup", remedy=done.stderr.strip()[-500:])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
