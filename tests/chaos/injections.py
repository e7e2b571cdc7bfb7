"""Faults of the control path: processes, database, clocks, SCADA's measurement, all links at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.chaos.house import SITES, House
from tests.chaos.room import Injection, Room, child_of, feeder_of


def kill_control(room: Room) -> Injection:
    """kill -9 of a control process."""
    name, house = room.victim(), room.house
    taken = room.leader() == name and room.standby(name) is not None
    house.kill(name)
    known = (lambda: room.leader(but=name) is not None) if taken else None
    return Injection("kill -9 control", name, room.chance.uniform(1, 4), lambda: house.start(name), known)


def stop_control(room: Room) -> Injection:
    """SIGSTOP of a control process, SIGCONT later."""
    name, house = room.victim(), room.house
    taken = room.leader() == name and room.standby(name) is not None
    house.send(name, signal.SIGSTOP)
    known = (lambda: room.leader(but=name) is not None) if taken else None
    return Injection("SIGSTOP control", name, room.chance.uniform(6, 12), lambda: house.send(name, signal.SIGCONT), known)


def kill_all(room: Room) -> Injection:
    """kill -9 of all control processes: the sites fall to their failsafe, the watchdog says so."""
    house = room.house
    for name in house.controls:
        house.kill(name)

    def undo() -> None:
        for name in house.controls:
            house.start(name)

    return Injection("kill -9 all controls", "all", 15.0, undo, lambda: house.watchdog().get("controlling") is False)


def kill_master(room: Room) -> Injection:
    """kill -9 of the leader's DNP3 master process; its owner starts it again."""
    return _kill_child(room, "DNP3 master", lambda name: child_of(room.house, name, "dnp3"))


def kill_solver(room: Room) -> Injection:
    """kill -9 of the leader's feeder process."""
    return _kill_child(room, "feeder model", lambda name: feeder_of(room.house, name))


def _kill_child(room: Room, what: str, find: Callable[[str], int | None]) -> Injection:
    name = room.leader() or room.house.controls[0]
    pid = find(name)
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pid = None
    return Injection(f"kill -9 {what}", f"{name} {pid or 'none'}", 4.0, lambda: None)


def cut_all(room: Room) -> Injection:
    """No packets to any site, for longer than a lease now and then."""
    ports = [room.house.ports[name]["site"] for name in SITES]
    room.house.network.lose("all", ports, out=1.0, back=1.0)
    seconds = 18.0 if room.chance.random() < 0.5 else room.chance.uniform(4, 9)
    return Injection("all links cut", "all sites", seconds, lambda: room.house.network.heal("all"),
                     lambda: room.silent(SITES[0]))  # fmt: skip


def database_crash(room: Room) -> Injection:
    """kill -9 of PostgreSQL, started again later."""
    room.house.cluster.crash()
    return Injection("PostgreSQL crash", "database", room.chance.uniform(1, 8), room.house.cluster.start)


def database_hang(room: Room) -> Injection:
    """PostgreSQL stops answering without going away."""
    room.house.cluster.freeze(stopped=True)
    return Injection(
        "PostgreSQL hangs", "database", room.chance.uniform(3, 9), lambda: room.house.cluster.freeze(stopped=False)
    )


def disk_full(room: Room) -> Injection:
    """The database's disk is full to the last block."""
    room.house.cluster.fill()
    return Injection("disk full", "database", room.chance.uniform(4, 10), room.house.cluster.clear)


def clock_jump(room: Room) -> Injection:
    """A control process's wall clock jumps."""
    name, offset = room.victim(), room.chance.choice((-3600.0, -30.0, -3.0, 3.0, 30.0, 3600.0, 86_400.0))
    lead = room.leader() == name
    room.house.clock(name, offset)
    known = (lambda: abs(float(room.board().get("clock_offset_s", 0.0))) >= 1.0) if lead else None
    return Injection(
        "clock jump", f"{name} {offset:+.0f} s", room.chance.uniform(3, 8), lambda: room.house.clock(name, 0.0), known
    )


def head_lies(room: Room) -> Injection:
    """SCADA's measurement is old, a thousand times too large, or of the wrong sign."""
    fault = room.judge.head_fault = room.chance.choice(("stale", "x1000", "sign"))
    known = (lambda: bool(room.board().get("problem"))) if fault == "x1000" else None
    return Injection("head measurement", fault, room.chance.uniform(3, 12),
                     lambda: setattr(room.judge, "head_fault", ""), known)  # fmt: skip


def kill_watchdog(room: Room) -> Injection:
    """kill -9 of the watchdog: its verdict grows old, which is itself a verdict."""
    house = room.house
    house.kill("watchdog")
    count = house.watchdog().get("count")
    return Injection("kill -9 watchdog", "watchdog", 9.0, lambda: house.start("watchdog"),
                     lambda: house.watchdog().get("count") == count and _age(house) > 8.0)  # fmt: skip


def _age(house: House) -> float:
    return time.monotonic() - float(house.watchdog().get("monotonic", 0.0))


KINDS: tuple[Callable[[Room], Injection], ...] = (
    kill_control, stop_control, head_lies, kill_master, cut_all, database_hang, kill_solver, clock_jump, stop_control,
    kill_control, database_crash, disk_full, head_lies, kill_watchdog, stop_control, clock_jump, kill_control, kill_all,
    head_lies, cut_all, database_hang, database_crash,
)  # fmt: skip
