"""The leader's wires: opened to permitted sites that have an address, closed when either ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error

from derms.agreement import Terms
from derms.clock import Clock
from derms.errors import LocalError
from interconnection.queries import permitted_sites
from telemetry import queries
from telemetry.control.site_book import SiteBook
from telemetry.database import fresh
from telemetry.models import SiteEndpoint
from telemetry.protocols.closed_wire import ClosedWire
from telemetry.protocols.dnp3.dialect import OURS, Dialect
from telemetry.protocols.dnp3.master import Dnp3Pool
from telemetry.protocols.ieee2030_5.site import UtilitySite
from telemetry.protocols.ports import SitePort
from telemetry.protocols.sunspec.client import SunSpecSite
from telemetry.site_reading import BAD_ANSWER

LOG = logging.getLogger(__name__)
WAIT_S = 2.0
CLOSE_S = 3.0


class SiteWires:
    """Keeps one feeder's ports in step with what is permitted and where the sites are."""

    def __init__(self, terms: Sequence[Terms], clock: Clock, master: Dnp3Pool) -> None:
        self._terms, self._clock, self._master = terms, clock, master
        self._ports: dict[str, SitePort] = {}
        self._places: dict[str, tuple[str, str, int]] = {}

    async def open(self, ports: dict[str, SitePort], books: Mapping[str, SiteBook]) -> None:
        """Open the wires of permitted sites that have an address; let go of those that may not be operated any more.

        Only the leader talks to sites. A site without permission is at its failsafe by itself, and its wire is free for
        the commissioning test. A site whose wire cannot be opened is silent; the others are controlled. `books`: they say
        how old a site's reading may be.
        """
        self._ports, names = ports, [item.site for item in self._terms]
        try:
            look = sync_to_async(fresh(_permitted_places), thread_sensitive=False)
            permitted, found = await asyncio.wait_for(look(names), WAIT_S)
        except (Error, TimeoutError):
            LOG.exception("where the sites' wires end could not be read: they stay as they are")
            return
        for name in [name for name, port in ports.items() if name not in permitted and not isinstance(port, ClosedWire)]:
            port, ports[name] = ports[name], ClosedWire(name, ports[name].protocol)
            await let_go(port)
        for item in self._terms:
            place = found.get(item.site)
            if item.site not in permitted or place is None:
                continue
            open_now = item.site in ports and not isinstance(ports[item.site], ClosedWire)
            address = (place.protocol, place.host, place.port)
            if open_now and self._places.get(item.site) == address:
                continue
            if open_now:  # the site moved: its old wire leads nowhere, or to somebody else
                await let_go(ports.pop(item.site))
            try:
                ports[item.site] = await self._open(item, place, books[item.site].stale_s)
            except (*BAD_ANSWER, OSError):
                LOG.exception("the wire of %s could not be opened: it is tried again in the next cycle", item.site)
                continue
            self._places[item.site] = address

    async def close(self) -> None:
        """Let go of all wires."""
        ports = list(self._ports.values())
        self._ports.clear()
        self._places.clear()
        await asyncio.gather(*(let_go(port) for port in ports))

    async def _open(self, item: Terms, place: SiteEndpoint, stale_s: float) -> SitePort:
        protocol, host, port = place.protocol, place.host, place.port
        if protocol == "dnp3":
            dialect = Dialect.parse(place.device) if place.device else OURS
            return await self._master.site(item.site, host, port, self._clock, failsafe=item.failsafe, dialect=dialect)
        if protocol == "sunspec":
            return SunSpecSite(item.site, host, port, item.failsafe, self._clock)
        if protocol == "ieee2030_5":
            utility = UtilitySite(item.site, item.failsafe, self._clock, pen=settings.UTILITY_PEN, stale_s=stale_s)
            await utility.begin()
            return utility
        raise LocalError(f"no wire is named {protocol!r}", where=item.site)


async def let_go(port: SitePort) -> None:
    """Close a wire; one that fails or hangs over it is left behind, and nobody waits for it."""
    try:
        await asyncio.wait_for(port.close(), CLOSE_S)
    except Exception:
        LOG.exception("the wire of %s did not close", port.site)


def _permitted_places(names: list[str]) -> tuple[set[str], dict[str, SiteEndpoint]]:
    return set(permitted_sites(names)), queries.endpoints(names)
