"""A site behind IEEE 2030.5 for tests: a client over mutual TLS, written from the standard alone, and chargers behind it.

It follows links from the door, obeys the events that it has fetched to their end (CSIP: also while the link is down), then
the default control, answers received and started, and posts the mean power of each period. Its failsafe is in its own
non-volatile memory; events are not.

`python -m tests.wire.utility_client PKI NAME PORT WANTS --period 10` runs one in real time: it writes 0 to
the file WANTS (it wants nothing), then wants the watts that stand there; `boot` there is a loss of supply.
"""

from __future__ import annotations

import http.client
import math
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from derms.limits import Limit
from telemetry.protocols.ieee2030_5 import codec, xml

MEAN_W, SITE = {"uom": 38, "kind": 37, "dataQualifier": 2, "powerOfTenMultiplier": 0}, "03"


@dataclass
class Link:
    """One kept connection of mutual TLS; opened again when it was cut."""

    folder: Path
    name: str
    port: int
    _held: http.client.HTTPSConnection | None = None

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        for last in (False, True):
            if self._held is None:
                made = ssl.create_default_context(cafile=str(self.folder / "serca.pem"))
                made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
                made.set_ciphers("ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0")
                made.load_cert_chain(self.folder / f"{self.name}-chain.pem", self.folder / f"{self.name}.key")
                self._held = http.client.HTTPSConnection("localhost", self.port, context=made, timeout=30)
            try:
                self._held.request(method, path, body.encode() or None, {"Content-Type": xml.MEDIA_TYPE})
                answer = self._held.getresponse()
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            except (OSError, http.client.HTTPException):
                self.close()
                if last:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Drop the connection."""
        if self._held is not None:
            self._held.close()
            self._held = None


@dataclass(frozen=True)
class Event:
    """A DERControl as it was fetched; seconds UTC."""

    mrid: str
    start: int
    end: int
    creation: int
    limit: Limit
    reply: str


@dataclass
class Client:
    """Fetches, obeys, answers, posts. `now`: whole seconds UTC, from the site's own clock."""

    link: Link
    now: Callable[[], int]
    failsafe: Limit
    rating: Limit
    lfdi: str
    device: str = ""
    events: dict[str, Event] = field(default_factory=dict)
    told: set[tuple[str, int]] = field(default_factory=set)
    point: str = ""

    def tree(self, path: str) -> etree._Element:
        """GET a resource, a list as a whole."""
        status, _, body = self.link.ask("GET", path)
        assert status == 200, (path, status, body)
        return etree.fromstring(body)

    def send(self, method: str, path: str, kind: str, content: dict) -> str:
        """POST or PUT a document of ours; return where it stands."""
        status, headers, body = self.link.ask(method, path, xml.document(kind, content))
        assert status in (200, 201, 204), (path, status, body)
        return headers.get("location", "")

    def begin(self) -> None:
        """Find oneself, and say what one is."""
        devices = self.tree(_link(self.tree("/dcap"), "EndDeviceListLink") + "?l=9")
        self.device = next(item.get("href") for item in devices if item.findtext("{*}lFDI") == self.lfdi)
        power = {name: codec.active_power(watts) for name, watts in (
            ("setMaxW", self.rating.export_w), ("setMaxChargeRateW", self.rating.import_w),
            ("setMaxDischargeRateW", self.rating.export_w))}  # fmt: skip
        facts = {"updatedTime": self.now(), "setGradW": 100, "modesEnabled": "00800000", **power}
        self.send("PUT", f"{self.device}/der/1/derg", "DERSettings", facts)

    def poll(self) -> None:
        """Take the default control and the events of every program; answer what is new or has begun."""
        if not self.device:
            self.begin()
        fresh: dict[str, Event] = {}
        for group in self.tree(_link(self.tree(self.device), "FunctionSetAssignmentsListLink") + "?l=9"):
            for program in self.tree(_link(group, "DERProgramListLink") + "?l=20"):
                default = self.tree(_link(program, "DefaultDERControlLink")).find("{*}DERControlBase")
                if default is not None and len(default):
                    self.failsafe = _limit(default)
                for item in self.tree(_link(program, "DERControlListLink") + "?l=50"):
                    event = _event(item)
                    if item.findtext("{*}EventStatus/{*}currentStatus") in ("0", "1"):
                        fresh[event.mrid] = event
        self.take(fresh)
        for event in self.events.values():
            self.tell(event, 1)
            if event.start <= self.now() < event.end:
                self.tell(event, 2)

    def take(self, fresh: dict[str, Event]) -> None:
        """Go over to what is listed now: what is not there any more, or cancelled, is over."""
        self.events = fresh

    def tell(self, event: Event, status: int) -> None:
        """Answer once."""
        if (event.mrid, status) not in self.told:
            self.told.add((event.mrid, status))
            content = {"createdDateTime": self.now(), "endDeviceLFDI": self.lfdi, "status": status, "subject": event.mrid}
            self.send("POST", event.reply, "DERControlResponse", content)

    def limit(self) -> Limit:
        """Return what is obeyed now: the event that runs, the newest if several do, else the default."""
        running = [event for event in self.events.values() if event.start <= self.now() < event.end]
        return max(running, key=lambda event: event.creation).limit if running else self.failsafe

    def post(self, mean_w: float, seconds: int) -> None:
        """Post the mean power of the period that ends now, import positive."""
        stream, period = self.lfdi[:24] + "00012345", {"start": self.now() - seconds, "duration": seconds}
        if not self.point:
            kind = {"mRID": stream, "ReadingType": MEAN_W}
            point = {"mRID": self.lfdi[1:25] + "00012345", "roleFlags": SITE, "serviceCategoryKind": 0, "status": 1,
                     "deviceLFDI": self.lfdi, "MirrorMeterReading": [kind]}  # fmt: skip
            self.point = self.send("POST", _link(self.tree("/dcap"), "MirrorUsagePointListLink"), "MirrorUsagePoint", point)
        reading = {"mRID": stream, "Reading": {"value": round(mean_w), "timePeriod": period}}
        self.send("POST", self.point, "MirrorMeterReading", reading)

    def boot(self) -> None:
        """Come up after a loss of supply: what was fetched is forgotten, the failsafe is not."""
        self.events = {}
        self.link.close()


@dataclass
class Plant:
    """Chargers behind a client: they want what they are told to, move at a ramp, and keep inside the client's limit."""

    client: Client
    period_s: int
    ramp_w_per_s: float
    wants_w: float = 0.0
    power_w: float = 0.0
    meter: float = 1.0
    since: float = 0.0
    gathered: float = 0.0

    def step(self, seconds: float = 1.0) -> None:
        """Live for a second or less."""
        target, reach = self.obeyed().clamp(self.wants_w), self.ramp_w_per_s * seconds
        self.power_w += max(-reach, min(reach, target - self.power_w))
        self.since += seconds
        self.gathered += self.meter * self.power_w * seconds

    def obeyed(self) -> Limit:
        """Return the limit that the chargers keep."""
        return self.client.limit()

    def due(self) -> bool:
        """Say whether a period is over."""
        return self.since >= self.period_s

    def speak(self) -> None:
        """Post and poll, once a period."""
        mean, seconds = self.gathered / self.since, math.floor(self.since)
        self.since = self.gathered = 0.0
        self.client.post(mean, seconds)
        self.client.poll()


def _link(tree: etree._Element, name: str) -> str:
    found = tree.find(f"{{*}}{name}")
    assert found is not None, name
    return str(found.get("href"))


def _limit(base: etree._Element) -> Limit:
    powers = [part for part in base if len(part)]
    modes = {part.tag.split("}")[1]: {leaf.tag.split("}")[1]: int(leaf.text) for leaf in part} for part in powers}
    return codec.limit_of(modes)


def _event(item: etree._Element) -> Event:
    start, length = (int(item.findtext(f"{{*}}interval/{{*}}{name}")) for name in ("start", "duration"))
    base = item.find("{*}DERControlBase")
    return Event(
        item.findtext("{*}mRID"), start, start + length, int(item.findtext("{*}creationTime")), _limit(base),
        str(item.get("replyTo")),
    )  # fmt: skip


def main() -> None:
    """Run one in real time until it is ended."""
    folder, name, port, wants = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    period = int(sys.argv[sys.argv.index("--period") + 1]) if "--period" in sys.argv else 60
    pem = (folder / f"{name}.pem").read_text()
    lfdi = codec.lfdi_of(ssl.PEM_cert_to_DER_cert(pem))
    client = Client(Link(folder, name, port), lambda: int(time.time()), Limit(0, 0), Limit(1_000_000, 1_000_000), lfdi)
    plant = Plant(client, period, 50_000.0)
    wants.write_text("0")
    while True:
        word = wants.read_text().strip()
        if word == "boot":
            client.boot()
            plant.power_w = 0.0
            wants.write_text("0")
        elif word:
            plant.wants_w = float(word)
        plant.step()
        if plant.due():
            try:
                plant.speak()
            except OSError as error:
                print(f"not reached: {error}", flush=True)
        time.sleep(1.0)


if __name__ == "__main__":
    main()
