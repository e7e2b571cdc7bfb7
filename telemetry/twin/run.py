"""One run of the story: a day of the feeder with its sites, in lock-step, over real sockets, as a process of its own.

The plant (the feeder in OpenDSS) and the control room (engine, envelope, DNP3 master, SunSpec client) are the product's
own; each site is a process with its wire. Every ten seconds of story time: sites live, the plant is solved, the control
room runs one cycle. `python -m telemetry.twin.run` reads a configuration on standard input and prints progress and the
result.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from derms.agreement import Terms
from derms.clock import VirtualClock
from derms.errors import HeadroomError, RemoteError
from derms.grid.criteria import CriteriaSettings
from derms.sandbox.feeder_process import FeederProcess
from telemetry.control.grant import Grant
from telemetry.control.settings import ControlSettings
from telemetry.control.state import CycleRecord, HeadReading
from telemetry.engine import ControlEngine
from telemetry.protocols.dnp3.master import Dnp3Master
from telemetry.protocols.ports import SitePort
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.solver import FeederEnvelopeSolver
from telemetry.twin.link import Link

PROJECT = Path(__file__).resolve().parents[2]
OVERLOAD_PU = 1.0 + 1e-5
SAMPLE_S = 60.0
RECONNECT_S = 20.0
METER_NOISE_W = 50.0
EDGE = 0.25
"""Share of an hour in which the loads pass from one hour's value to the next."""


@dataclass
class Site:
    """A site's process, its link and its last answer."""

    name: str
    config: dict[str, Any]
    process: asyncio.subprocess.Process
    link: Link | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    volts: float = 1.0

    async def step(self, now: float) -> None:
        """Let the site live until `now`."""
        await self._send({"now": now, "v": self.volts})
        self.answer = await self._receive()

    async def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((json.dumps(message) + "\n").encode())
        await self.process.stdin.drain()

    async def _receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(await self.process.stdout.readline()))

    @classmethod
    async def start(cls, config: dict[str, Any]) -> Site:
        """Start the process and, when it has a wire, the link to it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "telemetry.twin.site_process", cwd=PROJECT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        site = cls(config["site"], config, process)
        await site._send(config)
        port = (await site._receive())["port"]
        if port:
            site.link = Link(port)
            await site.link.open()
        return site


@dataclass
class Tally:
    """What the feeder suffered, and samples for the pictures."""

    overload_s: float = 0.0
    peak_pu: float = 0.0
    peak_element: str = ""
    v_min: float = 9.0
    v_max: float = 0.0
    samples: list[list[float]] = field(default_factory=list)

    def take(self, plant: dict[str, Any], seconds: float) -> None:
        """Take one step of the plant."""
        if plant["loading_pu"] > OVERLOAD_PU:
            self.overload_s += seconds
        if plant["loading_pu"] > self.peak_pu:
            self.peak_pu, self.peak_element = plant["loading_pu"], plant["element"]
        self.v_min, self.v_max = min(self.v_min, plant["v_min_pu"]), max(self.v_max, plant["v_max_pu"])


class Recorder:
    """Keeps the last record and checks on the way that no acknowledged limit is looser than its grant."""

    def __init__(self) -> None:
        self.last: CycleRecord | None = None
        self.problems = 0

    async def audit(self, grants: Sequence[Grant]) -> bool:
        """The story keeps no audit log."""
        return True

    def record(self, record: CycleRecord) -> None:
        """Take a cycle's record."""
        self.last = record
        self.problems += bool(record.problem)


class AloneInCharge:
    """There is one engine in a story: it leads under epoch 1."""

    def epoch(self) -> int | None:
        """Return the epoch."""
        return 1


class Run:
    """A day."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.clock = VirtualClock(datetime.fromisoformat(config["noon"]))
        self.step_s = float(config["step_s"])
        self.tally, self.recorder = Tally(), Recorder()
        self.chance = random.Random(1)  # noqa: S311  (a meter's noise, the same in every run)
        self.sites: list[Site] = []
        self.ports: dict[str, SitePort] = {}
        self.engine: ControlEngine | None = None
        self.master: Dnp3Master | None = None

    async def play(self) -> dict[str, Any]:
        """Run the day and return the result."""
        with FeederProcess(self.config["text"]) as plant, FeederProcess(self.config["text"]) as model:
            try:
                await self._start(model)
                await self._live(plant)
                return self._result()
            finally:
                await self._stop()

    async def _start(self, model: FeederProcess) -> None:
        self.sites = [await Site.start(config) for config in self.config["sites"]]
        if not self.config["controlled"]:
            return
        self.master = Dnp3Master(timeout_s=5.0)
        await self.master.start()
        for site in self.sites:
            assert site.link is not None
            if site.config["wire"] == "dnp3":
                self.ports[site.name] = await self.master.site(site.name, "127.0.0.1", site.link.port, self.clock)
            else:
                terms = self._terms(site.name)
                self.ports[site.name] = SunSpecSite(site.name, "127.0.0.1", site.link.port, terms.failsafe, self.clock)
        await self._heard([site.name for site in self.sites])
        self.engine = ControlEngine(
            feeder=self.config["feeder"],
            terms=[self._terms(site.name) for site in self.sites],
            ports=self.ports,
            solver=FeederEnvelopeSolver(model, self.config["elements"], CriteriaSettings(**self.config["criteria"])),
            recorder=self.recorder,
            leadership=AloneInCharge(),
            clock=self.clock,
            settings=ControlSettings(cycle_s=self.step_s),
        )

    def _terms(self, site: str) -> Terms:
        return Terms.parse(self.config["terms"][site].encode())

    async def _heard(self, names: Sequence[str]) -> None:
        """Story time waits for sockets: a link that was restored must be found again before the clock moves on."""
        loop = asyncio.get_running_loop()
        end = loop.time() + RECONNECT_S
        for name in names:
            while True:
                try:
                    await self.ports[name].read()
                    break
                except RemoteError:
                    if loop.time() > end:
                        raise
                    await asyncio.sleep(0.05)

    async def _live(self, plant: FeederProcess) -> None:
        steps = round(24 * 3600 / self.step_s)
        for count in range(1, steps + 1):
            await self._links(count * self.step_s)
            self.clock.advance(self.step_s)
            await asyncio.gather(*(site.step(self.clock.elapsed) for site in self.sites))
            state = plant.call("plant", self._plant_arguments())
            for site in self.sites:
                site.volts = state["site_v_pu"][site.config["bus"]]
            self.tally.take(state, self.step_s)
            if self.engine is not None:
                # A real meter's last digits never rest; one whose do is taken for frozen.
                noise = METER_NOISE_W * self.chance.uniform(-1.0, 1.0)
                head = HeadReading(self.clock.monotonic(), state["head_w"] + noise, state["head_var"])
                await self.engine.cycle(head, hour=self._hour()[0])
            if self.clock.elapsed % SAMPLE_S == 0:
                self._sample(state)
            if count % 60 == 0:
                _say({"progress": [count, steps]})

    async def _links(self, now: float) -> None:
        """Cut and restore the depot's link at its hours."""
        cut = self.config.get("cut_s")
        depot = self.sites[0]
        if not cut or depot.link is None:
            return
        if now - self.step_s < cut[0] <= now:
            await depot.link.cut()
        if now - self.step_s < cut[1] <= now:
            await depot.link.open()
            await self._heard([depot.name])

    def _hour(self) -> tuple[int, float]:
        """Return the study hour and how far into it the story is."""
        hours = self.config["first_hour"] + self.clock.elapsed / 3600.0
        return int(hours) % 8760, hours - int(hours)

    def _plant_arguments(self) -> dict[str, Any]:
        hour, part = self._hour()
        return {
            "hour": hour,
            "load_scale": _smooth(self.config["head_profile"], hour - self.config["first_hour"] % 8760, part),
            "sites": [[site.config["bus"], site.config["phases"], site.answer["p"], 0.0] for site in self.sites],
            "elements": self.config["elements"],
        }

    def _sample(self, state: dict[str, Any]) -> None:
        depot = self.sites[0].answer
        self.tally.samples.append(
            [
                self.clock.elapsed / 3600.0,
                round(state["loading_pu"] * 100, 2),
                round(depot["p"] / 1000, 1),
                round(depot["import_w"] / 1000, 1),
                round(depot["export_w"] / 1000, 1),
                int(depot["failsafe"]),
                round(self.sites[1].answer["p"] / 1000, 1) if len(self.sites) > 1 else 0.0,
                round(state["head_w"] / 1000, 1),
            ]
        )

    def _result(self) -> dict[str, Any]:
        depot, answers = self.sites[0].answer, [site.answer for site in self.sites]
        return {
            "overload_minutes": round(self.tally.overload_s / 60.0, 1),
            "peak_percent": round(self.tally.peak_pu * 100.0, 2),
            "peak_element": self.tally.peak_element,
            "vmin_pu": round(self.tally.v_min, 4),
            "vmax_pu": round(self.tally.v_max, 4),
            "vehicles_late": int(depot["late"]),
            "kwh_short": round(depot["short_wh"] / 1000.0, 1),
            "mwh_delivered": round(depot["delivered_wh"] / 1e6, 3),
            "failsafe_minutes": round(depot["failsafe_s"] / 60.0, 1),
            "neighbour_mwh_delivered": round(sum(a["delivered_wh"] for a in answers[1:]) / 1e6, 3),
            "messages": {
                wire: sum(port.messages() for port in self.ports.values() if port.protocol == wire)
                for wire in ("dnp3", "sunspec")
            },
            "cycles": self.engine.cycles if self.engine else 0,
            "cycles_without_a_state": self.recorder.problems,
            "samples": self.tally.samples,
        }

    async def _stop(self) -> None:
        for port in self.ports.values():
            await port.close()
        if self.master is not None:
            await self.master.close()
        for site in self.sites:
            if site.link is not None:
                await site.link.cut()
            if site.process.returncode is None:
                site.process.kill()
            await site.process.wait()


def _smooth(profile: Sequence[float], at: int, part: float) -> float:
    """Return the load scale within an hour: it rises to the hour's value and falls from it, without a step.

    The hour's value is its highest, as in the study; at the change of the hour both sides meet at the lower one.
    """
    here = profile[at]
    before = min(here, profile[at - 1] if at else here) / here
    after = min(here, profile[min(at + 1, len(profile) - 1)]) / here
    if part < EDGE:
        return before + (1.0 - before) * part / EDGE
    if part > 1.0 - EDGE:
        return after + (1.0 - after) * (1.0 - part) / EDGE
    return 1.0


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the configuration, run, print the result."""
    config = json.loads(sys.stdin.readline())
    try:
        _say({"result": asyncio.run(Run(config).play())})
    except HeadroomError as error:
        _say({"error": str(error)})
        sys.exit(1)


def noon_of(peak_hour: int, year: int = 2026) -> tuple[datetime, int]:
    """Return noon (UTC) of the day of a study hour and the study hour at that noon."""
    day = peak_hour // 24
    start = datetime.fromisoformat(f"{year}-01-01T00:00:00+00:00")
    return start + timedelta(days=day, hours=12), day * 24 + 12


if __name__ == "__main__":
    main()
