"""All processes of a chaos run: started, named, killed, stopped, started again. Only our own process ids are touched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.cluster import Cluster
from tests.chaos.network import FAR, SitesNetwork
from tests.conftest import ROOT

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
CYCLE_S = 2.0
SITE_PORT = 20_000
QUICK = {"hold_down_s": 6.0, "relax_per_minute": 6.0, "renew_s": 4.0, "stale_s": 10.0, "accept_step_s": 20.0}
"""Raises within seconds: a run in which every site rests at its failsafe would prove nothing."""
SITES = ("east", "north", "south")


@dataclass
class House:
    """One run below `folder`."""

    folder: Path
    cluster: Cluster
    network: SitesNetwork
    controls: tuple[str, ...] = ("control-a", "control-b")
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    """Processes that ended although nobody killed them: started again, as systemd would, and told of in the report."""
    _down: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def build(cls, folder: Path, *, controls: int = 2) -> House:
        """Make disk, database, network; raises FileNotFoundError or RuntimeError naming what is missing."""
        for program in ("ip", "nft", "setpriv", "mount"):
            if shutil.which(program) is None:
                raise FileNotFoundError(f"{program} is not here")
        if os.geteuid():
            raise RuntimeError("network namespaces and a small disk need root")
        if not FAKETIME.exists():
            raise FileNotFoundError(f"{FAKETIME} is not here (Debian's package faketime)")
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        house = cls(folder, Cluster.found(folder / "db"), SitesNetwork(f"hrc{os.getpid()}"),
                    tuple(f"control-{letter}" for letter in "abcdef"[:controls]))  # fmt: skip
        try:
            house._furnish()
        except (OSError, RuntimeError):
            house.end()
            raise
        return house

    def _furnish(self) -> None:
        self.cluster.make()
        self.network.make()
        self.ports = {
            name: {"site": SITE_PORT + place, "proxy": _free_port()} for place, name in enumerate(SITES)
        }  # fmt: skip
        (self.folder / "ports.json").write_text(json.dumps(self.ports))
        self.state.mkdir()
        for name in self.controls:
            self.clock(name, 0.0)
        self.once("manage.py", "migrate", "--verbosity", "0")
        self.once("-m", "tests.chaos.seed", str(self.folder))

    @property
    def state(self) -> Path:
        """Return the state folder."""
        return self.folder / "state"

    def environment(self, name: str = "") -> dict[str, str]:
        """Return a process's environment; a control process gets a clock of its own that can be made to jump."""
        kept = {key: value for key, value in os.environ.items() if key not in ("REDIS_URL", "LD_PRELOAD")}
        made = kept | {
            "DATABASE_URL": self.cluster.url, "HEADROOM_STATE_DIR": str(self.state), "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "derms.settings", "HEADROOM_LOG_LEVEL": "WARNING", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        if name in self.controls:
            made["HEADROOM_CONTROL"] = json.dumps(QUICK)
            made |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.folder / f"{name}.clock"),
                     "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}  # fmt: skip
        return made

    def clock(self, name: str, offset_s: float) -> None:
        """Set how far a control process's wall clock is from the truth."""
        path = self.folder / f"{name}.clock"
        temporary = path.with_suffix(".new")
        temporary.write_text(f"{offset_s:+.0f}\n")
        temporary.replace(path)

    def once(self, *arguments: str) -> None:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")

    def start(self, name: str) -> None:
        """Start one process by its name (again)."""
        command = self._command(name)
        log = (self.folder / f"{name}.out").open("ab")
        self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=self.environment(name), stdout=log, stderr=log)
        self._down.discard(name)

    def tend(self) -> None:
        """Start again what ends by itself, until the house ends (in a thread of its own)."""
        while not self._over.wait(1.0):
            for name, process in list(self.processes.items()):
                if process.poll() is None or name in self._down:
                    continue
                said = (self.folder / f"{name}.out").read_text()[-300:].strip().rpartition("\n")[2]
                self.ended.append(f"{name} (status {process.returncode}): {said}")
                self.start(name)

    def _command(self, name: str) -> list[str]:
        manage = [sys.executable, "manage.py"]
        if name in self.controls:
            return [*manage, "control", "--feeder", "ieee123", "--cycle", str(CYCLE_S)]
        if name == "watchdog":
            return [*manage, "watchdog", "--expect", "control-ieee123"]
        if name == "web":
            return [sys.executable, "-m", "uvicorn", "derms.asgi:application", "--port", str(_free_port()),
                    "--log-level", "warning"]  # fmt: skip
        kind, _, site = name.partition(" ")
        if kind == "site":
            inside = [sys.executable, "-m", "tests.chaos.site", site, FAR, str(self.ports[site]["site"]), str(self.folder)]
            return self.network.command(*inside)
        assert kind == "proxy", name
        return [sys.executable, "-m", "tests.chaos.proxy", str(self.ports[site]["proxy"]), FAR,
                str(self.ports[site]["site"]), str(self.folder / f"{site}.proxy")]  # fmt: skip

    def everything(self) -> list[str]:
        """Return the names of all processes, in the order of starting."""
        return [*(f"site {name}" for name in SITES), *(f"proxy {name}" for name in SITES), "watchdog", *self.controls,
                "web"]  # fmt: skip

    def alive(self, name: str) -> bool:
        """Say whether a process runs."""
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def speaks(self, name: str) -> str:
        """Return what a control process says of itself ("active", "standby"), "" before its first word."""
        if not self.alive(name):
            return ""
        path = self.state / "progress" / f"control-ieee123@{self.processes[name].pid}.json"
        try:
            return str(json.loads(path.read_bytes())["state"])
        except (OSError, ValueError):
            return ""

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one of our own processes."""
        if self.alive(name):
            self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """kill -9, and collect it."""
        self._down.add(name)
        self.send(name, signal.SIGKILL)
        process = self.processes.get(name)
        if process is not None:
            process.wait(10)

    def proxy(self, site: str, **rules: float) -> None:
        """Set what a site's proxy does to frames; nothing given: it relays."""
        path = self.folder / f"{site}.proxy"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(rules))
        temporary.replace(path)

    def seen(self, site: str) -> dict[str, Any] | None:
        """Return what a site says that it obeys now; None before its first word."""
        try:
            return dict(json.loads((self.folder / f"{site}.now").read_text()))
        except (OSError, ValueError):
            return None

    def watchdog(self) -> dict[str, Any]:
        """Return the watchdog's verdict, or an empty one."""
        try:
            return dict(json.loads((self.state / "watchdog.json").read_bytes()))
        except (OSError, ValueError):
            return {}

    def end(self) -> None:
        """End everything that this run started and remove what it made."""
        self._over.set()
        time.sleep(1.5)  # whoever tends the processes has seen it
        for name in reversed(list(self.processes)):
            self.send(name, signal.SIGCONT)
            self.send(name, signal.SIGTERM)
        deadline = time.monotonic() + 10
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.network.remove()
        self.cluster.remove()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
