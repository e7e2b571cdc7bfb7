"""The sites' own network: a namespace, a pair of virtual interfaces, and nft rules inside it that lose packets."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass, field

_NET = f"10.231.{os.getpid() % 250}"  # two runs on one machine do not meet
NEAR, FAR = f"{_NET}.1", f"{_NET}.2"


@dataclass
class SitesNetwork:
    """A namespace named after the run; everything in it goes away with it. Several faults may hold at once."""

    name: str
    _rules: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self) -> None:
        """Create the namespace and its link."""
        near, far = f"{self.name[:10]}n", f"{self.name[:10]}f"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        _run("ip", "link", "set", far, "netns", self.name)
        _run("ip", "addr", "add", f"{NEAR}/30", "dev", near)
        _run("ip", "link", "set", near, "up")
        self.inside("ip", "addr", "add", f"{FAR}/30", "dev", far)
        self.inside("ip", "link", "set", far, "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("nft", "add", "table", "inet", "chaos")
        for chain, hook in (("arrive", "input"), ("leave", "output")):
            self.inside("nft", f"add chain inet chaos {chain} {{ type filter hook {hook} priority 0; }}")

    def lose(self, owner: str, ports: list[int], *, out: float = 0.0, back: float = 0.0) -> None:
        """Lose a share (0 to 1) of what goes to sites' ports and of what they answer, until `owner` heals it."""
        rules = []
        for port in ports:
            if out:
                rules.append(f"add rule inet chaos arrive tcp dport {port} {_share(out)} drop")
            if back:
                rules.append(f"add rule inet chaos leave tcp sport {port} {_share(back)} drop")
        self._apply(owner, rules)

    def heal(self, owner: str) -> None:
        """Lose nothing any more on this owner's account."""
        self._apply(owner, [])

    def _apply(self, owner: str, rules: list[str]) -> None:
        with self._lock:
            self._rules[owner] = rules
            script = [f"flush chain inet chaos {chain}" for chain in ("arrive", "leave")]
            script += [rule for kept in self._rules.values() for rule in kept]
            _run(*self.command("nft", "-f", "-"), text="\n".join(script) + "\n")  # one transaction: nothing slips through

    def command(self, *command: str) -> list[str]:
        """Return a command that runs inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def inside(self, *command: str) -> None:
        """Run a command inside."""
        _run(*self.command(*command))

    def remove(self) -> None:
        """Remove the namespace with its link."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


def _share(share: float) -> str:
    return "" if share >= 1.0 else f"numgen random mod 1000 < {round(share * 1000)}"


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=text)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
