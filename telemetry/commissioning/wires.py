"""The three wires as the commissioning test opens and closes them itself, apart from the control room's own."""

from __future__ import annotations

from dataclasses import replace

from asgiref.sync import sync_to_async

from derms.agreement import Terms
from derms.clock import Clock
from derms.errors import RemoteError
from telemetry.protocols.dnp3 import points as p
from telemetry.protocols.dnp3.dialect import Dialect
from telemetry.protocols.dnp3.master import Dnp3Master, Dnp3Site
from telemetry.protocols.dnp3.probe import probe
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.protocols.ports import SitePort
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.utility_identity import site_identity

POLLS, LOOKS = 2.5, 6.0
"""What a client that fetches its controls and posts its readings by turns may add, both ways, in its own periods; and how
often the test looks in one."""


class Dnp3Wire:
    """DNP3: probed first, then an association of its own, in a master process of its own."""

    protocol = "dnp3"
    patience_s, every_s = 1.0, 1.0

    def __init__(self, terms: Terms, host: str, port: int, clock: Clock, *, stack: str = "yadnp3") -> None:
        self._terms, self._host, self._port, self._clock = terms, host, port, clock
        self._master = Dnp3Master(stack=stack)
        self._started = False
        self._site: Dnp3Site | None = None
        self.dialect: Dialect | None = None

    async def identity(self) -> dict[str, str]:
        """Probe the device: edition, ratings, what it takes."""
        found = await probe(self._host, self._port, where=self._terms.site)
        self.dialect = found.dialect()
        if not self.dialect.reversion:
            raise RemoteError(
                "the device takes no reversion time-out (AO85)", where=self._terms.site,
                remedy="Nothing would end what it is lent: it can only have its failsafe limit.",
            )  # fmt: skip
        charge, generation = found.analogs.get(p.AI_CHARGE_RATING_W, 0.0), found.analogs.get(p.AI_GENERATION_RATING_W, 0.0)
        return {
            "edition": f"{found.edition / 100:.2f}", "lease points": "yes" if self.dialect.leased else "no",
            "import_w": str(int(abs(charge))), "export_w": str(int(abs(generation))),
            **{name: answer for name, answer in found.answers.items() if answer != "SUCCESS"},
        }  # fmt: skip

    async def open(self) -> SitePort:
        """Open the association."""
        assert self.dialect is not None
        if not self._started:
            await self._master.start()
            self._started = True
        self._site = await self._master.site(
            self._terms.site, self._host, self._port, self._clock, failsafe=self._terms.failsafe, dialect=self.dialect
        )
        return self._site

    async def prove_sides(self, swapped: bool) -> None:
        """Take AO87 as the charging side, or AO88; the meter decides which stands."""
        assert self.dialect is not None
        assert self._site is not None
        self.dialect = replace(self.dialect, proven=True, swapped=swapped)
        self._site.dialect = self.dialect

    async def withdraw(self) -> bool:
        """Say no: a lower grant takes the place of what was lent."""
        return False

    async def volt_var(self) -> str | None:
        """Return None: the common points of both editions show no state of a curve."""
        return None

    async def close(self) -> None:
        """End the master process."""
        if self._started:
            await self._master.close()


class SunSpecWire:
    """SunSpec Modbus."""

    protocol = "sunspec"
    patience_s, every_s = 1.0, 1.0

    def __init__(self, terms: Terms, host: str, port: int, clock: Clock) -> None:
        self._terms, self._host, self._port, self._clock = terms, host, port, clock
        self._facts: dict[str, str] = {}

    def _site(self) -> SunSpecSite:
        return SunSpecSite(self._terms.site, self._host, self._port, self._terms.failsafe, self._clock)

    async def identity(self) -> dict[str, str]:
        """Read models 1 and 702."""
        site = self._site()
        try:
            self._facts = await site.describe()
        finally:
            await site.close()
        return self._facts

    async def open(self) -> SitePort:
        """Open a connection of its own."""
        return self._site()

    async def prove_sides(self, swapped: bool) -> None:
        """Nothing to prove: the sign of WSet says which side it is. A meter that disagrees fails the step."""

    async def withdraw(self) -> bool:
        """Say no: a lower grant takes the place of what was lent."""
        return False

    async def volt_var(self) -> str | None:
        """Return the state of model 705, None where the device has none."""
        return self._facts.get("volt_var")

    async def close(self) -> None:
        """Nothing stays open."""


class UtilityWire:
    """IEEE 2030.5: the site polls; what it was lent ends with its events."""

    protocol = "ieee2030_5"

    def __init__(self, terms: Terms, clock: Clock, *, pen: int) -> None:
        self._terms, self._clock, self._pen = terms, clock, pen
        self._site: UtilitySite | None = None
        self.patience_s = POLLS * terms.telemetry_s
        self.every_s = max(1.0, terms.telemetry_s / LOOKS)

    async def identity(self) -> dict[str, str]:
        """Return the devices that are registered for the site, their certificates, and what they say they can do."""
        facts = await sync_to_async(site_identity)(self._terms.site)
        if not facts:
            raise RemoteError("no device is registered for this site", where=self._terms.site, remedy="Register its LFDI.")
        return facts

    async def open(self) -> SitePort:
        """Serve the failsafe as default, and take the readings that the site posts."""
        self._site = UtilitySite(
            self._terms.site, self._terms.failsafe, self._clock, pen=self._pen, stale_s=self.patience_s
        )
        await self._site.begin()
        return self._site

    async def prove_sides(self, swapped: bool) -> None:
        """Nothing to prove: opModImpLimW and opModExpLimW say which side they are."""

    async def withdraw(self) -> bool:
        """Cancel the controls that were lent: the client finds them cancelled at its next poll."""
        if self._site is not None:
            await self._site.withdraw()
        return self._site is not None

    async def volt_var(self) -> str | None:
        """Return the curve that the device says it follows, as it reported it; None where it reported none."""
        return (await sync_to_async(site_identity)(self._terms.site)).get("volt-var")

    async def close(self) -> None:
        """Nothing stays open."""
