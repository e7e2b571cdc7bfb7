"""The faults of a chaos run: each begins, is watched until it is known and until the room is whole again, and is undone."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.house import CONTROLS, SITES, House
from tests.chaos.judge import Judge


@dataclass
class Room:
    """What an injection may touch."""

    house: House
    judge: Judge
    chance: random.Random

    def leader(self) -> str | None:
        """Return the control process that works now, by its progress counter's state; None when nobody does."""
        return next((name for name in CONTROLS if self.house.speaks(name) == "active"), None)

    def victim(self) -> str:
        """Return the leader most of the time, else the other one."""
        leader = self.leader() or CONTROLS[0]
        other = CONTROLS[1 - CONTROLS.index(leader)]
        return leader if self.chance.random() < 0.75 else other

    def site(self) -> str:
        """Return a site's name."""
        return self.chance.choice(SITES)


Undo = Callable[[], None]


@dataclass(frozen=True)
class Injection:
    """One fault in force: its kind, what it hit, how long it stays, how it is undone, and what must be known of it.

    `known`: says whether somebody has noticed; None where nothing has to be said (the room rides it out).
    """

    kind: str
    what: str
    seconds: float
    undo: Undo
    known: Callable[[], bool] | None = None


def kill_control(room: Room) -> Injection:
    """kill -9 of a control process."""
    name, house = room.victim(), room.house
    lead = room.leader() == name
    house.kill(name)
    ready = house.speaks(CONTROLS[1 - CONTROLS.index(name)])
    known = (lambda: room.leader() not in (None, name)) if lead and ready else None
    return Injection("kill -9 control", name, room.chance.uniform(2, 8), lambda: house.start(name), known)


def stop_control(room: Room) -> Injection:
    """SIGSTOP of a control process, SIGCONT later."""
    name, house = room.victim(), room.house
    lead = room.leader() == name
    house.send(name, signal.SIGSTOP)
    other = CONTROLS[1 - CONTROLS.index(name)]
    known = (lambda: house.speaks(other) == "active") if lead and house.speaks(other) else None
    return Injection("SIGSTOP control", name, room.chance.uniform(7, 15), lambda: house.send(name, signal.SIGCONT), known)


def kill_both(room: Room) -> Injection:
    """kill -9 of both: nobody controls, the sites fall to their failsafe, the watchdog says so."""
    house = room.house
    for name in CONTROLS:
        house.kill(name)

    def undo() -> None:
        for name in CONTROLS:
            house.start(name)

    return Injection("kill -9 both controls", "a+b", 30.0, undo, lambda: _not_controlling(house))


def kill_master(room: Room) -> Injection:
    """kill -9 of the leader's DNP3 master process; its owner starts it again."""
    name = room.leader() or CONTROLS[0]
    pid = _child(room.house, name, "dnp3")
    if pid:
        _signal(pid, signal.SIGKILL)
    return Injection("kill -9 DNP3 master", name, 4.0, lambda: None)


def kill_solver(room: Room) -> Injection:
    """kill -9 of the leader's feeder process."""
    name = room.leader() or CONTROLS[0]
    pid = _child(room.house, name, "sandbox.child")
    if pid:
        _signal(pid, signal.SIGKILL)
    return Injection("kill -9 feeder model", name, 6.0, lambda: None)


def kill_site(room: Room) -> Injection:
    """A site loses power: its lease is gone, its order floor is not."""
    name = f"site {room.site()}"
    room.house.kill(name)
    return Injection("site power cycle", name, room.chance.uniform(1, 6), lambda: room.house.start(name))


def stop_site(room: Room) -> Injection:
    """SIGSTOP of a site: it is silent, and goes on later with what it had."""
    name = f"site {room.site()}"
    room.house.send(name, signal.SIGSTOP)
    return Injection("SIGSTOP site", name, room.chance.uniform(3, 9), lambda: room.house.send(name, signal.SIGCONT))


def cut(room: Room) -> Injection:
    """No packets at all to one site, or to all, for longer than a lease now and then."""
    return _lose(room, "link cut", 1.0, 1.0)


def one_way(room: Room) -> Injection:
    """Packets go one way only."""
    out = room.chance.random() < 0.5
    return _lose(room, "one-way loss", 1.0 if out else 0.0, 0.0 if out else 1.0)


def random_loss(room: Room) -> Injection:
    """Random packet loss, both ways."""
    share = room.chance.uniform(0.2, 0.6)
    return _lose(room, "random loss", share, share)


def _lose(room: Room, kind: str, out: float, back: float) -> Injection:
    sites = SITES if room.chance.random() < 0.25 else (room.site(),)
    for name in sites:
        room.house.network.lose(room.house.ports[name]["site"], out=out, back=back)
    seconds = 26.0 if room.chance.random() < 0.25 else room.chance.uniform(2, 9)
    return Injection(kind, "+".join(sites), seconds, room.house.network.heal)


def mangle(room: Room) -> Injection:
    """Frames are delayed, swapped, repeated, or swallowed one way."""
    name = room.site()
    kind, rules = room.chance.choice((
        ("frames delayed", {"delay_s": 1.5}), ("frames swapped", {"swap": 0.3}), ("frames repeated", {"repeat": 0.3}),
        ("frames swallowed", {"drop_back": 0.3, "drop_out": 0.1}),
    ))  # fmt: skip
    room.house.proxy(name, **rules)
    return Injection(kind, name, room.chance.uniform(4, 10), lambda: room.house.proxy(name))


def database_crash(room: Room) -> Injection:
    """kill -9 of PostgreSQL, started again later."""
    room.house.cluster.crash()
    return Injection("PostgreSQL crash", "database", room.chance.uniform(1, 10), room.house.cluster.start)


def database_hang(room: Room) -> Injection:
    """PostgreSQL stops answering without going away."""
    room.house.cluster.freeze(stopped=True)
    return Injection(
        "PostgreSQL hangs", "database", room.chance.uniform(3, 10), lambda: room.house.cluster.freeze(stopped=False)
    )


def disk_full(room: Room) -> Injection:
    """The database's disk is full to the last block."""
    room.house.cluster.fill()
    return Injection("disk full", "database", room.chance.uniform(4, 12), room.house.cluster.clear)


def clock_jump(room: Room) -> Injection:
    """A control process's wall clock jumps."""
    name, offset = room.victim(), room.chance.choice((-3600.0, -30.0, -3.0, 3.0, 30.0, 3600.0, 86_400.0))
    room.house.clock(name, offset)
    return Injection(
        "clock jump", f"{name} {offset:+.0f} s", room.chance.uniform(3, 8), lambda: room.house.clock(name, 0.0)
    )


def head_lies(room: Room) -> Injection:
    """SCADA's measurement is old, a thousand times too large, or of the wrong sign."""
    room.judge.head_fault = room.chance.choice(("stale", "x1000", "sign"))
    return Injection("head measurement", room.judge.head_fault, room.chance.uniform(3, 12),
                     lambda: setattr(room.judge, "head_fault", ""))  # fmt: skip


def kill_web(room: Room) -> Injection:
    """kill -9 of the web: no limit changes."""
    room.house.kill("web")
    return Injection("kill -9 web", "web", 2.0, lambda: room.house.start("web"))


def kill_watchdog(room: Room) -> Injection:
    """kill -9 of the watchdog: its verdict grows old, which is itself a verdict."""
    house = room.house
    house.kill("watchdog")
    count = house.watchdog().get("count")
    return Injection("kill -9 watchdog", "watchdog", 9.0, lambda: house.start("watchdog"),
                     lambda: house.watchdog().get("count") == count and _age(house) > 8.0)  # fmt: skip


def proxy_restart(room: Room) -> Injection:
    """The link's other end goes away: every connection is reset."""
    name = f"proxy {room.site()}"
    room.house.kill(name)
    return Injection("connection reset", name, room.chance.uniform(0.5, 4), lambda: room.house.start(name))


KINDS: tuple[Callable[[Room], Injection], ...] = (
    kill_control, kill_control, stop_control, stop_control, kill_both, kill_master, kill_solver, kill_site, kill_site,
    stop_site, cut, cut, one_way, random_loss, mangle, mangle, database_crash, database_hang, disk_full, clock_jump,
    head_lies, head_lies, kill_web, kill_watchdog, proxy_restart,
)  # fmt: skip


def _not_controlling(house: House) -> bool:
    return house.watchdog().get("controlling") is False


def _age(house: House) -> float:
    return time.monotonic() - float(house.watchdog().get("monotonic", 0.0))


def _child(house: House, name: str, word: str) -> int | None:
    """Return the process id of a child of one of our processes, by a word of its command line."""
    from pathlib import Path

    process = house.processes.get(name)
    if process is None or process.poll() is not None:
        return None
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        for pid in (task / "children").read_text().split():
            try:
                if word in Path(f"/proc/{pid}/cmdline").read_text():
                    return int(pid)
            except OSError:
                continue
    return None


def _signal(pid: int, number: signal.Signals) -> None:
    import os

    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
