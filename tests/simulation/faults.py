"""Seeded faults: each begins, lasts, ends, and is written down, so that a failing seed can be read like a story."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from derms.limits import Limit
from telemetry.control.orders import CAP, HOLD, Order
from telemetry.control.orders import FAILSAFE as FAILSAFE_NOW
from tests.simulation.sites import FROZEN, NAN, SIGN, THOUSAND
from tests.simulation.world import SITES, SUNSPEC, World

PER_HOUR = 30.0
WRITES = 5  # of one grant to a SunSpec device: three of parameters, two enables


@dataclass(frozen=True)
class Entry:
    """One fault that happened: second, what, until when."""

    at: float
    what: str
    until: float

    def __str__(self) -> str:
        return f"{self.at:8.0f} s  {self.what} until {self.until:.0f} s"


@dataclass
class Faults:
    """Draws faults at a mean rate and undoes each at its end."""

    world: World
    chance: random.Random
    per_hour: float = PER_HOUR
    journal: list[Entry] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    _ends: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def step(self) -> None:
        """Undo what is over, begin what is drawn."""
        now = self.world.now
        for item in [item for item in self._ends if item[0] <= now]:
            self._ends.remove(item)
            item[2]()
        if self.chance.random() < self.per_hour / 3600.0:
            kind = self.chance.choice(KINDS)
            begun = kind(self)
            if begun is not None:
                what, seconds, undo = begun
                self.journal.append(Entry(now, what, now + seconds))
                self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
                self._ends.append((now + seconds, len(self.journal), undo))

    def lasting(self, least: float, most: float) -> float:
        """Return a duration, short ones more often than long ones."""
        return least * (most / least) ** self.chance.random()


Begun = tuple[str, float, Callable[[], None]] | None


def kill(f: Faults) -> Begun:
    """kill -9 of an engine; it is started again after a while."""
    process = f.chance.choice(f.world.processes)
    if not process.alive:
        return None
    process.kill()
    return f"kill -9 of {process.name}", f.lasting(1, 300), process.start


def hang(f: Faults) -> Begun:
    """SIGSTOP of an engine, SIGCONT later: it goes on with what it believed."""
    process = f.chance.choice(f.world.processes)
    if not process.running:
        return None
    process.gate.clear()
    return f"SIGSTOP of {process.name}", f.lasting(2, 240), process.gate.set


def half_way(f: Faults) -> Begun:
    """An engine is stopped, or its link is cut, between two writes of a grant to a SunSpec site."""
    process, cut = f.chance.choice(f.world.leaders() or f.world.processes), f.chance.random() < 0.5
    if process.at_write is not None:
        return None
    links = [f.world.network.link(process.name, site) for site in SUNSPEC]

    def begin() -> None:
        if not cut:
            process.gate.clear()
        for link in links if cut else []:
            link.cut_out, link.buffered_s = True, 120.0

    def undo() -> None:
        process.at_write = None
        process.gate.set()
        for link in links:
            link.heal()

    process.at_write, process.writes = begin, f.chance.randrange(WRITES)
    what = "its link cut" if cut else "SIGSTOP"
    return f"{process.name} half-way through a SunSpec grant: {what}", f.lasting(60, 240), undo


def partition(f: Faults) -> Begun:
    """No traffic between one or both engines and one or all sites, both ways; buffers may deliver later."""
    return _links(f, "partition", lambda link: (setattr(link, "cut_out", True), setattr(link, "cut_back", True)), 5, 900)


def one_way_out(f: Faults) -> Begun:
    """Requests do not arrive."""
    return _links(f, "one way: no requests", lambda link: setattr(link, "cut_out", True), 5, 600)


def one_way_back(f: Faults) -> Begun:
    """Requests arrive, answers do not: grants are taken although nobody hears it."""
    return _links(f, "one way: no answers", lambda link: setattr(link, "cut_back", True), 5, 600)


def lossy(f: Faults) -> Begun:
    """Random loss."""
    share = f.chance.uniform(0.05, 0.6)
    return _links(f, f"loss of {share:.0%}", lambda link: setattr(link, "loss", share), 30, 900)


def slow(f: Faults) -> Begun:
    """Delay and reordering."""
    seconds = f.lasting(0.3, 6.0)
    return _links(f, f"delay up to {seconds:.1f} s", lambda link: setattr(link, "slow_s", seconds), 30, 600)


def repeats(f: Faults) -> Begun:
    """Messages arrive twice, the second time up to 20 s later."""
    return _links(f, "repeats", lambda link: setattr(link, "repeat", 0.3), 30, 900)


def _links(f: Faults, what: str, break_it: Callable[..., object], least: float, most: float) -> Begun:
    engines = f.chance.choice((("A",), ("B",), ("A", "B")))
    sites = SITES if f.chance.random() < 0.3 else (f.chance.choice(SITES),)
    links = [f.world.network.link(engine, site) for engine in engines for site in sites]
    for link in links:
        break_it(link)
        link.buffered_s = 120.0

    def undo() -> None:
        for link in links:
            link.heal()

    return f"{what}, engines {'+'.join(engines)}, sites {'+'.join(sites)}", f.lasting(least, most), undo


def head(f: Faults) -> Begun:
    """The head's measurement is stale, frozen, not a number, a thousand times too large, or of the wrong sign."""
    if f.world.head_fault:
        return None
    f.world.head_fault = f.chance.choice(("stale", "frozen", "nan", "x1000", "sign"))
    f.world.head_fault_since = f.world.now

    def undo() -> None:
        f.world.head_fault, f.world.head_fault_since = "", f.world.now

    return f"head {f.world.head_fault}", f.lasting(2, 1200), undo


def meter(f: Faults) -> Begun:
    """A site's meter is frozen, off line, a thousand times too large, or of the wrong sign."""
    site = f.world.sites[f.chance.choice(SITES)]
    site.meter = f.chance.choice((NAN, THOUSAND, FROZEN, SIGN))

    def undo() -> None:
        site.meter = "good"

    return f"meter of {site.site} {site.meter}", f.lasting(5, 600), undo


def power_cycle(f: Faults) -> Begun:
    """A site loses power and boots."""
    site, seconds = f.world.sites[f.chance.choice(SITES)], f.lasting(2, 200)
    site.power_cycle(f.world.now, seconds)
    return f"power cycle of {site.site}", seconds, lambda: None


def replay(f: Faults) -> Begun:
    """The last controls come again, often to a site that has just booted (a buffer, or somebody who recorded them)."""
    site, seconds = f.world.sites[f.chance.choice(SITES)], f.lasting(2, 20)
    recorded = tuple(site.heard)
    if f.chance.random() < 0.7:
        site.power_cycle(f.world.now, seconds - 1.0)

    def again() -> None:
        for control in recorded:
            site.operated(f.world.now, *control)

    return f"the last controls of {site.site} come again", seconds, again


def stuck(f: Faults) -> Begun:
    """A site ignores its limit."""
    site, seconds = f.world.sites[f.chance.choice(SITES)], f.lasting(5, 400)
    site.stuck_until = f.world.now + seconds
    site.wish_w = f.chance.choice((1.5e6, -2.0e6))
    return f"{site.site} ignores its limit", seconds, lambda: None


def stuck_unrecorded(f: Faults) -> Begun:
    """A site ignores its limit while the table of the ladders cannot be written."""
    site, seconds = f.world.sites[f.chance.choice(SITES)], f.lasting(100, 400)
    site.stuck_until, site.wish_w = f.world.now + seconds, f.chance.choice((1.5e6, -2.0e6))
    f.world.store.locked = True
    return (
        f"{site.site} ignores its limit, and ladders cannot be written",
        seconds,
        lambda: setattr(f.world.store, "locked", False),
    )


def switching(f: Faults) -> Begun:
    """A bank goes out, and comes back later."""
    if f.world.plant.state != "normal":
        return None
    noticed, confirmed = f.chance.uniform(0, 10), f.chance.uniform(2, 40)
    f.world.switch("bank out", noticed, confirmed)
    back = f.lasting(120, 1800)
    return "bank out", back, lambda: f.world.switch("normal", noticed, confirmed)


def database_out(f: Faults) -> Begun:
    """The database does not answer."""
    f.world.store.out = True
    return "database out", f.lasting(1, 240), lambda: setattr(f.world.store, "out", False)


def disk_full(f: Faults) -> Begun:
    """The database reads and cannot write."""
    f.world.store.full = True
    return "disk full", f.lasting(2, 600), lambda: setattr(f.world.store, "full", False)


def slow_disk(f: Faults) -> Begun:
    """The database takes seconds."""
    f.world.store.slow_s = f.lasting(0.5, 12.0)
    return f"disk slow, {f.world.store.slow_s:.1f} s", f.lasting(10, 300), lambda: setattr(f.world.store, "slow_s", 0.0)


def restored(f: Faults) -> Begun:
    """An old backup of the database is brought back."""
    f.world.store.restore_backup()
    ordered = f.world.checker.ordered
    for number in [number for number in ordered if number not in f.world.store.orders]:
        del ordered[number]  # nobody can obey what was lost with the database
    return "backup restored", 1.0, lambda: None


def solver(f: Faults) -> Begun:
    """The solver's process is gone."""
    f.world.solver_broken = True
    return "solver gone", f.lasting(5, 200), lambda: setattr(f.world, "solver_broken", False)


def clock_jump(f: Faults) -> Begun:
    """A machine's wall clock jumps."""
    process, jump = f.chance.choice(f.world.processes), f.chance.choice((-7200.0, -30.0, 30.0, 7200.0))
    process.clock.wall_offset_s += jump
    return (
        f"clock of {process.name} jumps {jump:+.0f} s",
        f.lasting(30, 1800),
        lambda: setattr(process.clock, "wall_offset_s", 0.0),
    )


def surge(f: Faults) -> Begun:
    """A cloud or a large motor: load rises or falls by up to 0.25 MW in one second."""
    step = f.chance.uniform(-0.25e6, 0.25e6)
    f.world.plant.surge_w += step

    def undo() -> None:
        f.world.plant.surge_w -= step

    return f"load steps {step / 1000:+.0f} kW", f.lasting(60, 1200), undo


def order(f: Faults) -> Begun:
    """An operator caps a site, or sends it or all of them to the failsafe, and the order ends later."""
    number, kind = len(f.journal) + 1, f.chance.choice((CAP, CAP, FAILSAFE_NOW, HOLD))
    site = f.chance.choice((*SITES, ""))
    limit = Limit(f.chance.randrange(0, 900_000), f.chance.randrange(0, 1_200_000)) if kind == CAP else None
    f.world.store.orders[number] = Order(number, kind, site, limit, "operator")
    f.world.checker.ordered[number] = (f.world.store.orders[number], f.world.now)

    def undo() -> None:
        f.world.store.orders.pop(number, None)
        f.world.checker.ordered.pop(number, None)

    return f"order {number}: {kind} {limit or ''} on {site or 'all'}", f.lasting(30, 1200), undo


KINDS: tuple[Callable[[Faults], Begun], ...] = (
    kill, kill, hang, hang, half_way, half_way, partition, partition, one_way_out, one_way_back, lossy, slow,
    repeats, head, head, meter, power_cycle, stuck, stuck_unrecorded, switching, database_out, disk_full, slow_disk,
    restored, solver, clock_jump, surge, order, order, replay,
)  # fmt: skip
