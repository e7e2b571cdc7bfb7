"""A PostgreSQL of our own, on a small disk of its own, reached by a unix socket: it can be killed, stopped and filled."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

DISK_MB = 320
USER = "postgres"


@dataclass
class Cluster:
    """One cluster below `folder`; `folder/disk` is a tmpfs of 320 MB."""

    folder: Path
    programs: Path

    @classmethod
    def found(cls, folder: Path) -> Cluster:
        """Return a cluster to be made; raises FileNotFoundError without PostgreSQL's server programs."""
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not versions:
            raise FileNotFoundError("PostgreSQL's server programs (initdb) are not here")
        return cls(folder, versions[-1].parent)

    @property
    def url(self) -> str:
        """Return the DATABASE_URL, in django-environ's form for a unix socket."""
        return f"postgres://{USER}@/{self.folder}/chaos"

    @property
    def connection(self) -> str:
        """Return the same place in libpq's form."""
        return f"host={self.folder} user={USER} dbname=chaos"

    @property
    def disk(self) -> Path:
        """Return the small disk."""
        return self.folder / "disk"

    def make(self) -> None:
        """Mount the disk, make the cluster, start it, make the database."""
        self.disk.mkdir(parents=True)
        self._run("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "chaos", str(self.disk))
        owner = pwd.getpwnam(USER)
        os.chown(self.disk, owner.pw_uid, owner.pw_gid)
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._as_user(str(self.programs / "initdb"), "-D", str(self.disk / "data"), "-A", "trust", "--no-sync", "-U", USER)
        self.start()
        self._as_user(str(self.programs / "createdb"), "-h", str(self.folder), "-U", USER, "chaos")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-k {self.folder} -c listen_addresses= -c max_wal_size=64MB -c min_wal_size=32MB -c shared_buffers=32MB"
        self._as_user(
            str(self.programs / "pg_ctl"), "-D", str(self.disk / "data"), "-o", options, "-l", str(self.disk / "log"),
            "-w", "-t", "60", "start",
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Return the process id of the server, from its own file."""
        return int((self.disk / "data" / "postmaster.pid").read_text().splitlines()[0])

    def crash(self) -> None:
        """kill -9 of the server: its backends notice and end."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)

    def freeze(self, stopped: bool) -> None:
        """SIGSTOP or SIGCONT of the server's process and its children."""
        number = signal.SIGSTOP if stopped else signal.SIGCONT
        for pid in [self.pid, *_children(self.pid)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def fill(self) -> None:
        """Fill the disk to the last block."""
        with (self.disk / "filler").open("wb") as filler:
            try:
                while True:
                    filler.write(b"\0" * 65_536)
                    filler.flush()
            except OSError:
                return

    def clear(self) -> None:
        """Give the disk back; start the server again if the full disk ended it."""
        (self.disk / "filler").unlink(missing_ok=True)
        if not self.answers():
            self._as_user(
                str(self.programs / "pg_ctl"), "-D", str(self.disk / "data"), "-m", "immediate", "stop", check=False
            )
            self.start()

    def answers(self) -> bool:
        """Say whether the server takes connections."""
        done = subprocess.run(
            [str(self.programs / "pg_isready"), "-h", str(self.folder), "-t", "2"], check=False, capture_output=True
        )
        return done.returncode == 0

    def remove(self) -> None:
        """Stop the server and unmount the disk."""
        self._as_user(str(self.programs / "pg_ctl"), "-D", str(self.disk / "data"), "-m", "immediate", "stop", check=False)
        subprocess.run(["umount", "-l", str(self.disk)], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_user(self, *command: str, check: bool = True) -> None:
        self._run("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command, check=check)

    @staticmethod
    def _run(*command: str, check: bool = True) -> None:
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
