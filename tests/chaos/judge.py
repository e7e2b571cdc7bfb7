"""The judge beside a chaos run: knows the feeder's truth, feeds SCADA's measurement, and watches what sites obey.

U1  a site obeys more than its failsafe although nothing was granted for a lease and a second
U2  (epoch, sequence) that a site accepted did not rise
U3  an element is, or would be if all sites used their limits, above its rating for longer than the time to safe
U4  a raise was accepted that is not in the audit log
U5  a cycle or a grant of an older epoch was written after one of a newer: a stale write

A judge that died would find nothing: what ends it is unsafe too.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from derms.sandbox.feeder_process import FeederProcess
from tests.chaos.house import CYCLE_S, QUICK, SITES, House

SLACK_S = 8.0  # the judge looks once a second, and solves the feeder three times for it
STEP_S = 1.0
OVER = 1.0 + 1e-4


@dataclass
class Judge:
    """Solves the feeder once a second in a thread of its own until stopped."""

    house: House
    unsafe: list[str] = field(default_factory=list)
    loading: float = 0.0
    possible: float = 0.0
    worst_loading: float = 0.0
    worst_possible: float = 0.0
    steps: int = 0
    writes_failed: int = 0
    head_fault: str = ""
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _raised_s: int = 0
    _since: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _over_since: dict[str, float] = field(default_factory=dict)
    _orders: dict[str, list[int]] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _raised: list[tuple[str, int, int, float]] = field(default_factory=list)
    _lent: dict[str, list[int]] = field(default_factory=dict)

    def start(self) -> None:
        """Begin."""
        self.facts = {name: json.loads((self.house.folder / f"{name}.json").read_text()) for name in SITES}
        self._thread = threading.Thread(target=self._guarded, daemon=True)
        self._thread.start()

    @property
    def time_to_safe_s(self) -> float:
        """Return the run's own bound, as failsafe.md sums it: stale telemetry, a cycle, lease, response, ramp."""
        slowest = max(
            item["lease_s"] + item["response_s"]
            + max(most - low for most, low in zip(item["nameplate"], item["failsafe"], strict=True)) / item["ramp_w_per_s"]
            for item in self.facts.values()
        )  # fmt: skip
        return float(QUICK["stale_s"] + CYCLE_S + slowest + SLACK_S)

    @property
    def power(self) -> float:
        """Return the share of its looks, since `begin`, in which some site was above its failsafe limit."""
        looks = self.steps - self._since
        return round(self._raised_s / looks, 3) if looks else 0.0

    def begin(self) -> None:
        """The room is warm: what follows counts."""
        self._since, self._raised_s = self.steps, 0

    def stop(self) -> None:
        """End; then check the audit log against what the sites took."""
        self._stop.set()
        self._thread.join(30)
        self._audited()
        self._in_order()

    def _guarded(self) -> None:
        try:
            self._live()
        except Exception:  # noqa: BLE001  (whatever ends the judge must be seen)
            self.unsafe.append(f"the judge ended: {traceback.format_exc()}")

    def _live(self) -> None:
        text = (self.house.folder / "model.dss").read_text()
        with FeederProcess(text) as model:
            places = [[facts["bus"], [1, 2, 3], 250_000.0] for facts in self.facts.values()]
            elements = model.call("participants", {"sites": places})["elements"]
            while not self._stop.is_set():
                began = time.monotonic()
                seen = {name: self.house.seen(name) for name in SITES}
                self._sites(seen, began)
                self._feeder(model, elements, seen, began)
                self.steps += 1
                self._stop.wait(max(0.05, STEP_S - (time.monotonic() - began)))

    def _feeder(self, model: FeederProcess, elements: list[str], seen: dict[str, Any], now: float) -> None:
        hour = _hour(datetime.now(UTC))

        def solve(powers: dict[str, float]) -> dict[str, Any]:
            sites = [[self.facts[name]["bus"], [1, 2, 3], powers[name], 0.0] for name in SITES]
            return dict(model.call("plant", {"hour": hour, "load_scale": 1.0, "sites": sites, "elements": elements}))

        limits = {name: _limit(seen[name], self.facts[name]) for name in SITES}
        truth = solve({name: (seen[name] or {"power_w": 0.0})["power_w"] for name in SITES})
        taking = solve({name: float(limits[name][0]) for name in SITES})
        giving = solve({name: -float(limits[name][1]) for name in SITES})
        self._over("really", truth["loading_pu"], now)
        self._over("taking all", taking["loading_pu"], now)
        self._over("giving all", giving["loading_pu"], now)
        self.loading, self.possible = truth["loading_pu"], max(taking["loading_pu"], giving["loading_pu"])
        self.worst_loading = max(self.worst_loading, self.loading)
        self.worst_possible = max(self.worst_possible, self.possible)
        self._measure(truth["head_w"], truth["head_var"])

    def _over(self, what: str, loading: float, now: float) -> None:
        if loading <= OVER:
            self._over_since.pop(what, None)
            return
        since = self._over_since.setdefault(what, now)
        if now - since > self.time_to_safe_s:
            self.unsafe.append(f"U3 {what}: {100 * loading:.1f} % for {now - since:.0f} s")
            self._over_since[what] = now

    def _measure(self, power_w: float, reactive_var: float) -> None:
        """Write the head's row as SCADA would, over a connection of its own that may fail."""
        if self.head_fault == "stale":
            return
        shown = {"x1000": power_w * 1000.0, "sign": -power_w}.get(self.head_fault, power_w)
        try:
            with psycopg.connect(
                self.house.cluster.connection, connect_timeout=1, options="-c statement_timeout=800"
            ) as link:
                link.execute(
                    "insert into telemetry_headmeasurement (feeder, at, power_w, reactive_var) values (%s, now(), %s, %s) "
                    "on conflict (feeder) do update set at = excluded.at, power_w = excluded.power_w, "
                    "reactive_var = excluded.reactive_var",
                    ("ieee123", shown, reactive_var),
                )
        except psycopg.Error:
            self.writes_failed += 1

    def _sites(self, seen: dict[str, Any], now: float) -> None:
        raised = 0
        for name in SITES:
            self._follow(name)
            state, facts = seen[name], self.facts[name]
            if state is None or not self.house.alive(f"site {name}"):
                continue
            lent = self._lent.get(name)
            above = state["limit"][0] > facts["failsafe"][0] or state["limit"][1] > facts["failsafe"][1]
            if above and (lent is None or state["t"] - lent[0] > facts["lease_s"] + 1.0):
                self.unsafe.append(f"U1 {name} obeys {state['limit']}, its last grant is {lent}")
            raised += int(above)
        self._raised_s += int(raised > 0)

    def _follow(self, name: str) -> None:
        """Read what a site wrote down since the last look."""
        path = Path(self.house.folder / f"{name}.log")
        if not path.exists():
            return
        lines = path.read_text().splitlines()
        for line in lines[self._read.get(name, 0) :]:
            entry = json.loads(line)
            if entry["what"] != "grant" or entry["verdict"] != "ACCEPTED":
                continue
            if entry["order"] <= self._orders.get(name, [-1, -1]):
                self.unsafe.append(f"U2 {name} took {entry['order']} after {self._orders[name]}")
            before = self._lent.get(name, [0.0, *self.facts[name]["failsafe"]])
            held = (
                before[1:] if entry["t"] - before[0] < self.facts[name]["lease_s"] + 5.0 else self.facts[name]["failsafe"]
            )
            if any(new > max(old, floor) for new, old, floor in
                   zip(entry["limit"], held, self.facts[name]["failsafe"], strict=True)):  # fmt: skip
                self._raised.append((name, entry["order"][0], entry["order"][1], entry["t"]))
            self._orders[name], self._lent[name] = entry["order"], [entry["t"], *entry["limit"]]
        self._read[name] = len(lines)

    def _audited(self) -> None:
        with psycopg.connect(self.house.cluster.connection) as link:
            rows = link.execute("select site, epoch, sequence from telemetry_grantrow").fetchall()
        known = {(str(site), int(epoch), int(sequence)) for site, epoch, sequence in rows}
        missing = [item for item in self._raised if item[:3] not in known]
        self.unsafe += [f"U4 the raise {item[:3]} at {item[3]:.0f} s is not in the audit log" for item in missing[:5]]

    def _in_order(self) -> None:
        with psycopg.connect(self.house.cluster.connection) as link:
            for table in ("telemetry_cyclerow", "telemetry_grantrow"):
                epochs = [int(row[0]) for row in link.execute(f"select epoch from {table} order by id")]
                late = sum(1 for before, after in pairwise(epochs) if after < before)
                if late:
                    self.unsafe.append(f"U5 {late} rows of {table} were written under an epoch that was over")

    @property
    def raises(self) -> int:
        """Return how many raises the sites took."""
        return len(self._raised)


def _limit(state: dict[str, Any] | None, facts: dict[str, Any]) -> list[int]:
    return state["limit"] if state is not None else facts["failsafe"]


def _hour(now: datetime) -> int:
    return int((now - datetime(now.year, 1, 1, tzinfo=UTC)).total_seconds() // 3600) % 8760
