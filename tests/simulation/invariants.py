"""What must hold in every second, whatever fails (the architecture's invariants, by their numbers).

The checker keeps books of its own: it believes neither the engine nor the site, only what was sent, when, and what flows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from derms.limits import Limit
from telemetry.control.compliance import RESET_S, Stage
from telemetry.control.grant import Grant, Quality
from telemetry.control.orders import CAP, Order
from telemetry.control.orders import FAILSAFE as ORDERED_FAILSAFE
from telemetry.control.state import CycleRecord
from tests.simulation.feeder import FAILSAFE, FLEXIBLE, HEAD
from tests.simulation.sites import LEASE_S, SimulatedSite

if TYPE_CHECKING:
    from tests.simulation.processes import EngineProcess
    from tests.simulation.world import World

CYCLE_S = 10.0
TIME_TO_SAFE_S = 135.0
STALE_S = 30.0
FROZEN_S = 300.0
SLACK_S = 1.5  # the checker looks once a second
LARGEST_STEP = 0.03  # of the flexible limit, in one grant: 10 % a minute at a 10 s cycle, and the dead band
GOOD_POLLS, HOLD_DOWN_S = 3, 300.0
LOCK_S = 60.0


@dataclass(frozen=True)
class Violation:
    """A rule that did not hold: number, second, what was seen."""

    rule: str
    at: float
    what: str

    def __str__(self) -> str:
        return f"invariant {self.rule} at {self.at:.0f} s: {self.what}"


@dataclass
class Held:
    """The grant that a site holds, by the checker's books: its order, what it says, the true second it must end."""

    grant: Grant
    ends: float
    answered_at: float


@dataclass
class Checker:
    """Collects violations; `held` is its own ledger of what each site accepted."""

    world: World
    violations: list[Violation] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    sent: dict[tuple[str, int, int], tuple[Grant, float, Limit]] = field(default_factory=dict)
    orders: dict[str, tuple[int, int]] = field(default_factory=dict)
    over_since: dict[str, float] = field(default_factory=dict)
    ordered: dict[int, tuple[Order, float]] = field(default_factory=dict)
    led_since: dict[tuple[str, int], float] = field(default_factory=dict)
    polls: dict[tuple[str, int, str], list[float]] = field(default_factory=dict)
    silent_until: dict[tuple[str, int, str], float] = field(default_factory=dict)
    locked: dict[str, float] = field(default_factory=dict)
    knew: set[tuple[str, int, str]] = field(default_factory=set)
    worst_over: float = 0.0
    longest_over_s: float = 0.0

    def fail(self, rule: str, what: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(rule, self.world.now, what))

    def was_sent(self, grant: Grant, answered_at: float) -> None:
        """Note a grant before it goes out, with the true second of the reading whose stamp it answers."""
        # What the centre read a moment ago may have ended since: a lowering from that is no raise.
        before = self._must_obey(grant.site, grace_s=2 * CYCLE_S)
        self.sent[grant.site, grant.epoch, grant.sequence] = (grant, answered_at, before)

    def accepted(self, site: SimulatedSite) -> None:
        """A site took a grant into force: 2 epoch never falls, 3 it is the grant that was sent, 8 raises were audited."""
        lease = site.lease.lease(site.monotonic())
        if lease is None:
            return
        order = (lease.epoch, lease.sequence)
        if order <= self.orders.get(site.site, (-1, -1)):
            self.fail("2", f"{site.site} took {order} after {self.orders[site.site]}")
        self.orders[site.site] = max(order, self.orders.get(site.site, order))
        known = self.sent.get((site.site, *order))
        if known is None:
            self.fail("3", f"{site.site} obeys {order}, which nobody sent")
            return
        grant, answered_at, before = known
        if not lease.limit.within(grant.limit):
            self.fail("3", f"{site.site} obeys {lease.limit}, looser than the grant {order} of {grant.limit}")
        if not grant.limit.within(before.cover(FAILSAFE)) and (site.site, *order) not in self.world.store.audited:
            self.fail("8", f"{site.site} was raised to {grant.limit} by {order} without an entry in the audit log")
        now_held = before.cover(FAILSAFE)
        step = max(lease.limit.import_w - now_held.import_w - LARGEST_STEP * FLEXIBLE.import_w,
                   lease.limit.export_w - now_held.export_w - LARGEST_STEP * FLEXIBLE.export_w)  # fmt: skip
        if step > 0:
            self.fail("relax", f"{site.site} was raised from {now_held} to {lease.limit} in one step")
        self.held[site.site] = Held(grant, answered_at + min(grant.ttl_s, LEASE_S), answered_at)

    def recorded(self, process: EngineProcess, record: CycleRecord) -> None:
        """A cycle was recorded: 4 tightening is at once, without a trusted state to the failsafe; 7 a raise rests on
        fresh, good news of a link that was good for a while."""
        self.led_since.setdefault((process.name, record.epoch), self.world.now)
        for name, reading in record.readings.items():
            self._polled((process.name, process.incarnation, name), reading is not None)
        for decision in record.decisions:
            target = record.envelope.targets.get(decision.site) if record.envelope is not None else None
            most = (target.limit if target is not None else FAILSAFE).cover(FAILSAFE)
            if not decision.limit.within(most):
                self.fail("4", f"{decision.site} is given {decision.limit}, the envelope leaves {most} ({record.problem})")
        for grant in record.grants:
            before = self.sent[grant.site, grant.epoch, grant.sequence][2].cover(FAILSAFE)
            if not grant.limit.within(before):  # the end of a cap below the failsafe rests on nothing
                self._raise_rests_on_good_news(process, grant, record)
                self._raise_waited((process.name, process.incarnation, grant.site), grant)

    def _polled(self, key: tuple[str, int, str], heard: bool) -> None:
        streak = self.polls.setdefault(key, [0.0, 0.0, 0.0])  # good in a row, missed in a row, ever heard
        if heard:
            streak[:] = [streak[0] + 1, 0.0, 1.0]
            return
        streak[:2] = [0.0, streak[1] + 1]
        if streak[1] >= 2 and streak[2]:
            self.silent_until[key] = self.world.now

    def _raise_waited(self, key: tuple[str, int, str], grant: Grant) -> None:
        if self.polls[key][0] < GOOD_POLLS:
            self.fail("hold-down", f"{grant.site} was raised after {self.polls[key][0]:.0f} good polls")
        since = self.world.now - self.silent_until.get(key, -1e9)
        if since < HOLD_DOWN_S - CYCLE_S:
            self.fail("hold-down", f"{grant.site} was raised {since:.0f} s after it had been silent")

    def _raise_rests_on_good_news(self, process: EngineProcess, grant: Grant, record: CycleRecord) -> None:
        reading, head = record.readings.get(grant.site), record.head
        if grant.reason.snapshot != record.snapshot:
            self.fail("7", f"the raise of {grant.site} names snapshot {grant.reason.snapshot!r}, not {record.snapshot!r}")
        if reading is None or reading.quality is not Quality.GOOD:
            self.fail("7", f"the raise of {grant.site} rests on no good reading")
        if head is None:
            self.fail("7", f"the raise of {grant.site} rests on no head measurement")
            return
        if record.now - head.received > STALE_S + CYCLE_S:
            self.fail("7", f"the raise of {grant.site} rests on a head measurement {record.now - head.received:.0f} s old")
        fault, since = self.world.head_fault, self.world.now - self.world.head_fault_since
        if fault == "x1000" and abs(head.power_w) < 1.3 * self.world.plant.elements()[HEAD].rating_w:
            fault = ""  # near zero a thousand times too much is not much
        watched = min(since, self.world.now - self.led_since[process.name, record.epoch])
        if (fault in ("nan", "x1000") and since > 2 * CYCLE_S) or (fault == "frozen" and watched > FROZEN_S + 3 * CYCLE_S):
            self.fail("7", f"the raise of {grant.site} rests on a head measurement that is {fault} for {since:.0f} s")

    def tick(self) -> None:
        """Look at everything once a second."""
        for site in self.world.sites.values():
            self._site(site)
        self._elements()
        self._reservations()
        self._ladders()
        self._remembered()

    def _must_obey(self, site: str, grace_s: float = 0.0) -> Limit:
        held = self.held.get(site)
        return FAILSAFE if held is None or self.world.now > held.ends + SLACK_S + grace_s else held.grant.limit

    def _site(self, site: SimulatedSite) -> None:
        limit, now = site.limit_in_force(), self.world.now
        if not limit.within(FLEXIBLE):
            self.fail("3", f"{site.site} obeys {limit}, above its nameplate")
        held = self.held.get(site.site)
        lent = held is not None and now <= held.ends + SLACK_S
        if not limit.within(FAILSAFE) and not lent:
            rule = "1" if held is not None and now - held.answered_at > LEASE_S + 2 * CYCLE_S else "4"
            self.fail(rule, f"{site.site} obeys {limit} outside a valid grant")
        for order, since in self.ordered.values():
            # A silent site keeps its lease; then it falls to its failsafe, which a cap below it does not reach.
            if order.concerns(site.site) and now - since > LEASE_S + 3 * CYCLE_S and order.kind in (CAP, ORDERED_FAILSAFE):
                most = (order.limit or FAILSAFE).cover(FAILSAFE)
                if not limit.within(most):
                    self.fail("3", f"{site.site} obeys {limit}, above {order.name}: {most}")
        if lent and held is not None and not limit.within(held.grant.limit.cover(FAILSAFE)):
            self.fail("3", f"{site.site} obeys {limit}, above its grant {held.grant.limit}")

    def _elements(self) -> None:
        """5 no element stays above its rating longer than the time to safe; 6 nor would it if all used their limits."""
        plant, sites = self.world.plant, self.world.sites
        for name, element in plant.elements().items():
            base = plant.base_w(name)
            inside = [sites[site] for site in element.sites]
            self._over(f"5 {name}", abs(plant.flows[name]) / element.rating_w)
            able = [site.limit_in_force() for site in inside]
            self._over(f"6 {name} import", (base + sum(limit.import_w for limit in able)) / element.rating_w)
            self._over(f"6 {name} export", (sum(limit.export_w for limit in able) - base) / element.rating_w)

    def _over(self, key: str, loading: float) -> None:
        if loading <= 1.0:
            self.over_since.pop(key, None)
            return
        since = self.over_since.setdefault(key, self.world.now)
        if key.startswith("5"):
            self.worst_over = max(self.worst_over, loading - 1.0)
            self.longest_over_s = max(self.longest_over_s, self.world.now - since)
        if self.world.now - since > TIME_TO_SAFE_S + SLACK_S:
            self.fail(
                key.split(maxsplit=1)[0],
                f"{key[2:]} above its rating for {self.world.now - since:.0f} s, {100 * loading:.1f} %",
            )
            self.over_since[key] = self.world.now

    def _reservations(self) -> None:
        """6 the centre leaves room for whatever a site may be doing."""
        for process in self.world.leaders():
            engine = process.engine
            assert engine is not None
            for name, site in self.world.sites.items():
                limit, reserved = site.limit_in_force(), engine.books[name].may_be_doing(process.clock.monotonic())
                if not limit.within(reserved):
                    self.fail("6", f"{name} obeys {limit}; the leader reserves only {reserved}")
                elif site.obeys(self.world.now) and not reserved.allows(site.power_w, 1.0):
                    self.fail("6", f"{name} is still at {site.power_w:.0f} W; the leader reserves only {reserved}")

    def _ladders(self) -> None:
        """The ladder: a site that is heard and stays above its limit is locked, and a locked site is at its failsafe."""
        leaders = self.world.leaders()
        for process in self.world.processes:
            if process not in leaders:
                for key in [key for key in self.over_since if f"ladder {process.name} " in key]:
                    del self.over_since[key]
        for process in leaders:
            engine = process.engine
            assert engine is not None
            now = process.clock.monotonic()
            for name, site in self.world.sites.items():
                key, stage = f"ladder {process.name} {name}", engine.ladders[name].stage
                over = site.limit_in_force().excess_w(site.power_w) > 0.03 * max(FLEXIBLE.import_w, FLEXIBLE.export_w)
                if not (over and site.meter == "good" and engine.books[name].fresh(now)) or stage is Stage.LOCKED:
                    self.over_since.pop(key, None)
                elif self.world.now - self.over_since.setdefault(key, self.world.now) > LOCK_S + TIME_TO_SAFE_S:
                    self.fail(
                        "ladder", f"{name} is above its limit and heard for {LOCK_S + TIME_TO_SAFE_S:.0f} s, and is {stage}"
                    )
                locked = stage is Stage.LOCKED and engine.books[name].fresh(now)
                if not locked or site.limit_in_force().within(FAILSAFE):
                    self.over_since.pop(f"locked {key}", None)
                elif self.world.now - self.over_since.setdefault(f"locked {key}", self.world.now) > LEASE_S + 2 * CYCLE_S:
                    self.fail("ladder", f"{name} is locked and obeys {site.limit_in_force()}")

    def _remembered(self) -> None:
        """A lock outlives its leader: four hours, or two people's order; no take-over lets a site up earlier."""
        for process in self.world.leaders():
            engine = process.engine
            assert engine is not None
            store = self.world.store
            for name, ladder in engine.ladders.items():
                stored = name in store.ladders and store.ladders[name][1]["stage"] == Stage.LOCKED.value
                key = f"store {process.name} {name}"
                if ladder.stage is Stage.LOCKED:
                    self.locked.setdefault(name, self.world.now)
                    self.knew.add((process.name, process.incarnation, name))
                    if stored or store.out or store.full or store.locked or store.slow_s:
                        self.over_since.pop(key, None)
                    elif self.world.now - self.over_since.setdefault(key, self.world.now) > 4 * CYCLE_S:
                        self.fail("ladder", f"{name} is locked, and the database, which works, does not know it")
                    continue
                self.over_since.pop(key, None)
                since = self.locked.get(name)
                knew = (process.name, process.incarnation, name) in self.knew
                if since is None or not (stored or knew):
                    continue  # whoever knew died, or could not write it down: this one cannot know
                if self.world.now - since < RESET_S - 2 * CYCLE_S:
                    self.fail("ladder", f"{name} was locked {self.world.now - since:.0f} s ago and is {ladder.stage} again")
                del self.locked[name]
                self.knew = {key for key in self.knew if key[2] != name}


def summary(violations: Sequence[Violation]) -> str:
    """Return the first few violations as lines."""
    return "\n".join(str(item) for item in violations[:5])
