"""The story: a fleet asks, the study answers, the offer is signed, and the peak day is lived five times."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from derms.agreement import Terms
from derms.errors import LocalError
from derms.limits import NOTHING, Limit
from derms.sandbox.feeder_process import FeederProcess
from telemetry.twin.fleet import Visit, depot_night, workplace_day
from telemetry.twin.run import PROJECT, noon_of

RUNS = ("unmanaged", "firm", "flexible", "link_cut", "link_cut_hold_last")
CUT_S = (4.5 * 3600.0, 7.5 * 3600.0)
"""16:30 to 19:30, counted from noon."""
NEIGHBOUR_SHARE = 0.02
VOLTAGE_SAME_PU = 0.0005
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Depot:
    """The fleet's site: chargers, their power, the battery behind each."""

    chargers: int
    charger_w: int
    battery_wh: float

    @property
    def nameplate(self) -> Limit:
        """Return the sum of the chargers, each way."""
        return Limit(self.chargers * self.charger_w, self.chargers * self.charger_w)


class Story:
    """The five runs of one peak day on one feeder under one agreement."""

    def __init__(self, text: str, terms: Terms, depot: Depot, peak_hour: int, *, step_s: float = 10.0) -> None:
        self.text, self.terms, self.depot, self.step_s = text, terms, depot, step_s
        self.noon, self.first_hour = noon_of(peak_hour)
        share = int(NEIGHBOUR_SHARE * depot.nameplate.import_w)
        # The neighbour came second in the queue: nothing firm is left, so its failsafe is nothing.
        self.neighbour = replace(
            terms, site="workplace", firm=NOTHING, failsafe=NOTHING, flexible=Limit(share, share), protocol="sunspec"
        )
        with FeederProcess(text) as feeder:
            places = [[terms.bus, list(terms.phases), 0.1 * depot.nameplate.import_w]]
            self.elements = feeder.call("participants", {"sites": places, "hour": self.first_hour})["elements"]
            hours = [hour % 8760 for hour in range(self.first_hour, self.first_hour + 26)]
            self.base = feeder.call("head_profile", {"hours": hours})
        self._children: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()

    def play(self, names: Sequence[str] = RUNS, *, together: int = 2, progress: Progress | None = None) -> dict[str, Any]:
        """Run the named runs, `together` at a time, each in a process of its own; returns their results by name."""
        counts = dict.fromkeys(names, 0)
        steps = round(24 * 3600 / self.step_s)

        def one(name: str) -> dict[str, Any]:
            def report(done: int) -> None:
                with self._lock:
                    counts[name] = done
                    if progress is not None:
                        progress(sum(counts.values()), steps * len(names))

            return self._run(name, report)

        with ThreadPoolExecutor(together) as pool:
            futures = {name: pool.submit(one, name) for name in names}
            try:
                return {name: future.result() for name, future in futures.items()}
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End every run that is still going."""
        with self._lock:
            for child in self._children:
                if child.poll() is None:
                    child.terminate()

    def _run(self, name: str, report: Callable[[int], None]) -> dict[str, Any]:
        child = subprocess.Popen(
            [sys.executable, "-m", "telemetry.twin.run"], cwd=PROJECT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with self._lock:
            self._children.append(child)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(self.config(name)) + "\n")
        child.stdin.flush()
        result, error = None, "it ended without a result"
        for line in child.stdout:
            message = json.loads(line)
            if "progress" in message:
                report(message["progress"][0])
            result = message.get("result", result)
            error = message.get("error", error)
        child.stdin.close()
        child.wait()
        if result is None:
            raise LocalError(f"the run '{name}' failed: {error}", where="story")
        report(round(24 * 3600 / self.step_s))
        return dict(result)

    def config(self, name: str) -> dict[str, Any]:
        """Return the configuration of one run."""
        controlled = name not in ("unmanaged", "firm")
        kind = {"unmanaged": "unmanaged", "link_cut_hold_last": "holds_last"}.get(name, "obeys")
        depot, neighbour = self.depot, self.neighbour.flexible.import_w
        sites = [
            _site(
                self.terms, depot.nameplate, depot_night(depot.chargers), kind, "dnp3" if controlled else "none",
                charger_w=depot.charger_w, battery_wh=depot.battery_wh,
            ),
            _site(
                self.neighbour, self.neighbour.flexible, workplace_day(4), "unmanaged" if name == "unmanaged" else "obeys",
                "sunspec" if controlled else "none", charger_w=neighbour // 4, battery_wh=60_000.0,
            ),
        ]  # fmt: skip
        config = {
            "text": self.text,
            "feeder": self.terms.feeder,
            "noon": self.noon.isoformat(),
            "first_hour": self.first_hour,
            "step_s": self.step_s,
            "sites": sites,
            "controlled": controlled,
            "elements": self.elements,
            "criteria": {},
            "head_profile": self.base["head_w"],
            "terms": {item.site: item.document().decode() for item in (self.terms, self.neighbour)},
        }
        return config | ({"cut_s": CUT_S} if name.startswith("link_cut") else {})

    def claims(self, runs: dict[str, Any]) -> list[tuple[str, bool]]:
        """Return the safety claims and whether the runs bear them out."""
        low = min(0.95, self.base["v_min_pu"]) - VOLTAGE_SAME_PU
        high = max(1.05, self.base["v_max_pu"]) + VOLTAGE_SAME_PU
        found = []
        for name in ("firm", "flexible", "link_cut"):
            run = runs[name]
            found.append((f"{name}: no element above its rating", run["overload_minutes"] == 0))
            found.append(
                (
                    f"{name}: voltage in band, or no worse than without the site",
                    low <= run["vmin_pu"] and run["vmax_pu"] <= high,
                )
            )
        for name in ("flexible", "link_cut"):
            found.append((f"{name}: no vehicle late", runs[name]["vehicles_late"] == 0))
        cut_minutes = (CUT_S[1] - CUT_S[0]) / 60
        lease = (self.terms.lease_s + 2 * self.step_s) / 60
        found.append(
            (
                "link_cut: the site went to its failsafe by itself",
                runs["link_cut"]["failsafe_minutes"] >= cut_minutes - lease,
            )
        )
        return found


def _site(
    terms: Terms, nameplate: Limit, visits: Sequence[Visit], kind: str, wire: str, *, charger_w: int, battery_wh: float
) -> dict[str, Any]:  # fmt: skip
    return {
        "site": terms.site,
        "bus": terms.bus,
        "phases": list(terms.phases),
        "nameplate": [nameplate.import_w, nameplate.export_w],
        "failsafe": [terms.failsafe.import_w, terms.failsafe.export_w],
        "lease_s": terms.lease_s,
        "kind": kind,
        "wire": wire,
        "visits": [[v.arrives_s, v.leaves_s, v.arrives_with, v.leaves_with] for v in visits],
        "charger": [charger_w, charger_w / 10, min(1000.0, charger_w / 20), battery_wh],
    }


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
