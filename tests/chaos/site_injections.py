"""Faults of one site and its link; several lanes break different sites at once, while the control path is broken too."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.chaos.room import Injection, Room

SEEN_S = 5.0
"""A shorter silence may fall between two polls; a longer one must be on the board."""


def kill_site(room: Room, site: str) -> Injection:
    """A site loses power: its lease is gone, its order floor is not."""
    name = f"site {site}"
    room.house.kill(name)
    return _silent(room, site, "site power cycle", room.chance.uniform(1, 8), lambda: room.house.start(name))


def stop_site(room: Room, site: str) -> Injection:
    """SIGSTOP of a site: it is silent, and goes on later with what it had."""
    name = f"site {site}"
    room.house.send(name, signal.SIGSTOP)
    return _silent(room, site, "SIGSTOP site", room.chance.uniform(3, 9),
                   lambda: room.house.send(name, signal.SIGCONT))  # fmt: skip


def cut(room: Room, site: str) -> Injection:
    """No packets at all, for longer than a lease now and then."""
    return _lose(room, site, "link cut", 1.0, 1.0)


def no_requests(room: Room, site: str) -> Injection:
    """Requests do not arrive."""
    return _lose(room, site, "one-way loss, out", 1.0, 0.0)


def no_answers(room: Room, site: str) -> Injection:
    """Requests arrive, answers do not."""
    return _lose(room, site, "one-way loss, back", 0.0, 1.0)


def random_loss(room: Room, site: str) -> Injection:
    """Random packet loss, both ways."""
    share = room.chance.uniform(0.2, 0.6)
    room.house.network.lose(site, [room.house.ports[site]["site"]], out=share, back=share)
    return Injection("random loss", site, room.chance.uniform(3, 10), lambda: room.house.network.heal(site))


def _lose(room: Room, site: str, kind: str, out: float, back: float) -> Injection:
    room.house.network.lose(site, [room.house.ports[site]["site"]], out=out, back=back)
    seconds = 18.0 if room.chance.random() < 0.25 else room.chance.uniform(2, 9)
    return _silent(room, site, kind, seconds, lambda: room.house.network.heal(site))


def _silent(room: Room, site: str, kind: str, seconds: float, undo: Callable[[], None]) -> Injection:
    return Injection(kind, site, seconds, undo, (lambda: room.silent(site)) if seconds >= SEEN_S else None)


def mangle(room: Room, site: str) -> Injection:
    """Frames are delayed, swapped, repeated, or swallowed one way."""
    kind, rules = room.chance.choice((
        ("frames delayed", {"delay_s": 1.5}), ("frames swapped", {"swap": 0.3}), ("frames repeated", {"repeat": 0.3}),
        ("frames swallowed", {"drop_back": 0.3, "drop_out": 0.1}),
    ))  # fmt: skip
    room.house.proxy(site, **rules)
    return Injection(kind, site, room.chance.uniform(4, 10), lambda: room.house.proxy(site))


def proxy_restart(room: Room, site: str) -> Injection:
    """The link's other end goes away: every connection is reset."""
    name = f"proxy {site}"
    room.house.kill(name)
    return Injection("connection reset", site, room.chance.uniform(0.5, 4), lambda: room.house.start(name))


def kill_web(room: Room, site: str) -> Injection:
    """kill -9 of the web: no limit changes. `site`: whose lane this is."""
    room.house.kill("web")
    return Injection("kill -9 web", "web", 2.0, lambda: room.house.start("web"))


KINDS: tuple[Callable[[Room, str], Injection], ...] = (
    kill_site, cut, mangle, no_answers, stop_site, random_loss, mangle, no_requests, proxy_restart, cut, kill_site, mangle,
)  # fmt: skip
