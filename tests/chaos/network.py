"""The sites' own network: a namespace, a pair of virtual interfaces, and nft rules inside it that lose packets."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

NEAR, FAR = "10.231.77.1", "10.231.77.2"


@dataclass
class SitesNetwork:
    """A namespace named after the run; everything in it goes away with it."""

    name: str

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

    def lose(self, port: int, *, out: float = 0.0, back: float = 0.0) -> None:
        """Lose a share (0 to 1) of what goes to a site's port and of what it answers."""
        if out:
            self.inside("nft", f"add rule inet chaos arrive tcp dport {port} {_share(out)} drop")
        if back:
            self.inside("nft", f"add rule inet chaos leave tcp sport {port} {_share(back)} drop")

    def heal(self) -> None:
        """Lose nothing any more."""
        for chain in ("arrive", "leave"):
            self.inside("nft", f"flush chain inet chaos {chain}")

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


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
