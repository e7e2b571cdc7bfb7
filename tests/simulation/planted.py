"""Safety bugs, each a small change to the product's code while it is planted. The simulation must find every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from derms.limits import Limit
from telemetry.control import compliance, decide, orders
from telemetry.control.grant import Acknowledgement, Grant, Outcome
from telemetry.control.ladder_keeper import LadderKeeper
from telemetry.control.orders import Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook
from telemetry.control.site_lease import Lease, SiteLease
from telemetry.control.site_lease import Verdict as LeaseVerdict
from telemetry.control.state import HeadReading
from telemetry.control.telemetry_quality import MEASURED, NONE, HeadWatch, Verdict
from telemetry.engine import ControlEngine
from telemetry.protocols.dnp3 import outstation
from tests.simulation import processes
from tests.simulation.feeder import TreeSolver
from tests.simulation.sites import SimulatedSite


@dataclass(frozen=True)
class Bug:
    """One planted bug: its name says what is wrong; `plant()` puts it in while the context lasts."""

    name: str
    plant: Callable[[], Any]


BUGS: list[Bug] = []


def bug(name: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Any]]:
    """Register a context manager as a planted bug."""

    def register(function: Callable[[], Iterator[None]]) -> Callable[[], Any]:
        manager = contextmanager(function)
        BUGS.append(Bug(name, manager))
        return manager

    return register


def by_name(name: str) -> Bug:
    """Return one bug."""
    return next(item for item in BUGS if item.name == name)


# At the site


@bug("the site counts its lease from the arrival, so a late grant is long")
def _() -> Iterator[None]:
    offer = SiteLease.offer

    def late(self: SiteLease, limit: Limit, *, stamp: float, now: float, **rest: Any) -> LeaseVerdict:
        return offer(self, limit, stamp=now, now=now, **rest)

    with patch.object(SiteLease, "offer", late):
        yield


@bug("the site takes grants whose order does not rise")
def _() -> Iterator[None]:
    offer = SiteLease.offer

    def unfenced(self: SiteLease, *args: Any, **rest: Any) -> LeaseVerdict:
        self.order_floor = (-1, -1)
        return offer(self, *args, **rest)

    with patch.object(SiteLease, "offer", unfenced):
        yield


@bug("the site forgets over a power cycle which orders it has seen")
def _() -> Iterator[None]:
    def boot(self: SimulatedSite) -> SiteLease:
        return SiteLease(self.failsafe, self.nameplate, longest_s=60.0)

    with patch.object(SimulatedSite, "_boot", boot):
        yield


@bug("the site holds its last limit when the lease is over")
def _() -> Iterator[None]:
    def forever(self: SiteLease, now: float) -> Lease | None:
        return self._lease

    with patch.object(SiteLease, "lease", forever):
        yield


@bug("the outstation latches parameters of two masters' grants as one")
def _() -> Iterator[None]:
    def unchecked(outputs: Mapping[int, int]) -> int:
        return int(outputs.get(outstation.p.AO_CHECK, 0))

    with patch.object(outstation, "check_of", unchecked):
        yield


# In the centre's books


@bug("the centre reserves only the failsafe for a silent site")
def _() -> Iterator[None]:
    with patch.object(SiteBook, "may_be_doing", lambda self, now: self.terms.failsafe):
        yield


@bug("a grant without an answer counts as never sent")
def _() -> Iterator[None]:
    right = SiteBook.acknowledged

    def hopeful(self: SiteBook, answer: Acknowledgement, now: float) -> None:
        right(self, answer, now)
        if answer.outcome is Outcome.UNKNOWN:
            self.loans = [loan for loan in self.loans if loan.grant is not answer.grant]

    with patch.object(SiteBook, "acknowledged", hopeful):
        yield


@bug("an acknowledged tightening frees its room before the site has ramped down")
def _() -> Iterator[None]:
    with patch.object(SiteBook, "clear_s", lambda self: 0.0):
        yield


@bug("a new leader starts with empty books")
def _() -> Iterator[None]:
    with patch.object(SiteBook, "took_over", lambda self, epoch, now: None):
        yield


@bug("an old reading counts as fresh")
def _() -> Iterator[None]:
    with patch.object(SiteBook, "fresh", lambda self, now: self.last_reading is not None):
        yield


@bug("a site is raised as soon as it is heard again")
def _() -> Iterator[None]:
    with patch.object(SiteBook, "may_raise", lambda self, now: self.fresh(now)):
        yield


# In the decision


@bug("a raise goes to the target in one step")
def _() -> Iterator[None]:
    with patch.object(decide, "_relaxed", lambda book, current, now, settings: book.terms.flexible):
        yield


@bug("tightening is as slow as relaxing")
def _() -> Iterator[None]:
    right = decide._one

    def slow(book: SiteBook, target: decide.Target, now: float, settings: ControlSettings, *rest: Any) -> decide.Decision:
        decision, current = right(book, target, now, settings, *rest), book.in_force(now)
        step = 0.1 * settings.cycle_s / 60.0
        flexible = book.terms.flexible
        floor = Limit.of(
            max(0.0, current.import_w - step * flexible.import_w), max(0.0, current.export_w - step * flexible.export_w)
        )
        return replace(decision, limit=decision.limit.cover(floor))

    with patch.object(decide, "_one", slow):
        yield


@bug("without a trusted state every site keeps what it has")
def _() -> Iterator[None]:
    right = ControlEngine._decide

    def keep(self: ControlEngine, envelope: Any, stages: Any, now: float, snapshot: str) -> list[decide.Decision]:
        if envelope is None:
            reason = decide.Reason("telemetry", "kept", 0.0, snapshot)
            return [
                decide.Decision(name, book.in_force(now), False, reason)
                for name, book in self.books.items() if book.fresh(now)
            ]  # fmt: skip
        return right(self, envelope, stages, now, snapshot)

    with patch.object(ControlEngine, "_decide", keep):
        yield


@bug("any head measurement is usable, however old")
def _() -> Iterator[None]:
    with patch.object(HeadReading, "usable", lambda self, now, stale_s: True):
        yield


@bug("every head measurement that is a young number counts as true")
def _() -> Iterator[None]:
    def gullible(self: HeadWatch, head: HeadReading | None, sites_w: Any, now: float) -> Verdict:
        usable = head is not None and head.usable(now, self._settings.stale_s)
        return Verdict(MEASURED, head, True) if usable else Verdict(NONE, None, False, "no head")

    with patch.object(HeadWatch, "judge", gullible):
        yield


@bug("a site above its limit takes no room from the others, and is never locked")
def _() -> Iterator[None]:
    with patch.object(compliance.Ladder, "update", lambda self, excess_w, now: self.stage):
        yield


@bug("a locked site goes on as before")
def _() -> Iterator[None]:
    targets, ask = ControlEngine._targets, ControlEngine._ask

    def lenient(self: ControlEngine, envelope: Any, stages: Any, snapshot: str) -> Any:
        return targets(self, envelope, {}, snapshot)

    def generous(self: ControlEngine, site: str, now: float) -> Any:
        return replace(ask(self, site, now), controllable=self.books[site].fresh(now))

    with patch.object(ControlEngine, "_targets", lenient), patch.object(ControlEngine, "_ask", generous):
        yield


@bug("the solver goes on with the old switching state")
def _() -> Iterator[None]:
    with patch.object(TreeSolver, "state", property(lambda self: "normal", lambda self, value: None), create=True):
        yield


@bug("orders are read once and never again")
def _() -> Iterator[None]:
    right = ControlEngine._read_orders

    async def once(self: ControlEngine) -> None:
        if self.cycles == 0:
            await right(self)

    with patch.object(ControlEngine, "_read_orders", once):
        yield


@bug("a cap binds only one of its two sides")
def _() -> Iterator[None]:
    right = orders.ceiling

    def half(found: Orders, site: str, *, target: Limit, **facts: Any) -> orders.Ceiling | None:
        left = right(found, site, target=target, **facts)
        if left is None or left.criterion != "cap":
            return left
        return replace(left, limit=Limit(left.limit.import_w, target.export_w))

    with patch.object(orders, "ceiling", half), patch.object(decide, "ceiling", half):
        yield


# Leading and recording


@bug("a raise does not wait for the audit log")
def _() -> Iterator[None]:
    async def hasty(self: processes.Recorder, grants: list[Grant]) -> bool:
        return True

    with patch.object(processes.Recorder, "audit", hasty):
        yield


@bug("an engine believes in its lead for ten times the lease")
def _() -> Iterator[None]:
    right = processes.Leadership.renew

    async def proud(self: processes.Leadership) -> None:
        before, until = self._epoch, self._until
        await right(self)
        if self._epoch is not None:
            self._until += 10 * processes.LEASE_S
        elif before is not None:
            self._epoch, self._until = before, until

    with patch.object(processes.Leadership, "renew", proud):
        yield


@bug("a new leader forgets which sites were locked")
def _() -> Iterator[None]:
    async def forgets(_: processes.Memory, now: float) -> dict[str, compliance.Ladder]:
        return {}

    with patch.object(processes.Memory, "recall", forgets):
        yield


@bug("a lock that could not be stored is never stored")
def _() -> Iterator[None]:
    with patch.object(LadderKeeper, "lost", lambda self, names: None):
        yield


@bug("a ladder ages two thousand times too fast over a take-over")
def _() -> Iterator[None]:
    right = compliance.Ladder.from_dict.__func__  # type: ignore[attr-defined]

    def aged(cls: type, raw: Any, now: float, age_s: float) -> compliance.Ladder:
        return right(cls, raw, now, age_s * 2000.0)

    with patch.object(compliance.Ladder, "from_dict", classmethod(aged)):
        yield


@bug("limits are not bounded by the agreement")
def _() -> Iterator[None]:
    right = decide._one

    def generous(book: SiteBook, target: decide.Target, *rest: Any) -> decide.Decision:
        decision = right(book, target, *rest)
        return replace(decision, limit=book.terms.flexible if decision.limit == target.limit else decision.limit)

    with patch.object(decide, "_one", generous):
        yield


from tests.simulation import planted_wires  # noqa: E402, F401  (registers its bugs)


@bug("a ladder that is read back replaces a younger lock of the same process")
def _() -> Iterator[None]:
    def joined(self: compliance.Ladder, stored: compliance.Ladder, now: float, *, young: bool) -> compliance.Ladder:
        return stored

    with patch.object(compliance.Ladder, "joined", joined):
        yield
