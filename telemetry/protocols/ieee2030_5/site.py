"""The engine's end of IEEE 2030.5: a grant becomes controls that the client fetches; readings and answers come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError, transaction

from derms.clock import Clock
from derms.errors import OutcomeUnknown, Refused, RemoteError
from derms.limits import Limit
from telemetry import utility_services
from telemetry.control.grant import Acknowledgement, Grant, Need, Outcome, Reading
from telemetry.database import fresh
from telemetry.protocols.ieee2030_5 import outbox
from telemetry.utility_desk import SiteView, UtilityDesk
from telemetry.utility_models import Control

DATABASE_S = 3.0
MOST_W = 1e9
"""A wrong multiplier is a power of ten: what is beyond a gigawatt is no reading."""


class UtilitySite:
    """One site over IEEE 2030.5 (a `SitePort`). The wire is a table: the utility server serves it, the client polls.

    `stale_s`: how old the newest reading may be; an older one is silence, as on any other wire.
    """

    protocol = "ieee2030_5"

    def __init__(
        self, site: str, failsafe: Limit, clock: Clock, *, pen: int, desk: UtilityDesk | None = None, stale_s: float = 30.0
    ) -> None:
        self.site = site
        self._failsafe = failsafe
        self._clock = clock
        self._pen = pen
        self._stale_s = stale_s
        self._desk = desk or UtilityDesk(clock)
        self._desk.sites.add(site)
        self._messages = 0

    async def begin(self) -> None:
        """Make the failsafe limit the default control of the site's device."""
        await self._stored(self._default, int(self._clock.now().timestamp()))

    async def read(self) -> Reading:
        """Return the last power that the site posted, with its age, and the limit whose start it confirmed."""
        self._messages += 1
        try:
            await asyncio.wait_for(self._desk.look(), DATABASE_S)
        except (DatabaseError, TimeoutError) as error:
            raise RemoteError("the database does not answer", where=self.site) from error
        found = self._desk.views.get(self.site)
        if found is None or found.power_w is None or found.power_at is None:
            raise RemoteError(
                "the site has posted no power", where=self.site, remedy="It needs a site MirrorUsagePoint in W."
            )
        age = max(0.0, self._clock.now().timestamp() - found.power_at)
        if age > self._stale_s:
            raise RemoteError(f"the site's newest reading is {age:.0f} s old", where=self.site)
        if not abs(found.power_w) <= MOST_W:
            raise RemoteError(f"no site draws {found.power_w:g} W", where=self.site, remedy="Look at its multiplier.")
        return self._reading(found, age)

    def _reading(self, found: SiteView, age: float) -> Reading:
        now, wall = self._clock.monotonic(), self._clock.now().timestamp()
        assert found.power_w is not None
        held = found.held
        return Reading(
            site=self.site,
            received=now - age,
            power_w=found.power_w,
            reactive_var=found.reactive_var,
            voltage_pu=found.voltage_pu,
            limit_in_force=held.limit if held else self._failsafe,
            in_failsafe=held is None,
            state_of_charge_percent=found.state_of_charge_percent,
            available_import_w=found.available_import_w,
            available_export_w=found.available_export_w,
            needs=tuple(
                Need(item.energy_wh, item.power_w, now + item.start - wall, now + item.end - wall, item.name)
                for item in found.wanted
            ),
            epoch=held.epoch if held else None,
            sequence=held.sequence if held else None,
        )

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Put the grant where the client fetches it. Its answer comes later, so the outcome is not known yet."""
        self._messages += 1
        now = int(self._clock.now().timestamp())
        try:
            lent = await self._stored(self._lend, grant, now)
        except Refused as error:
            return Acknowledgement(grant, Outcome.REFUSED, None, error.what)
        if not lent:
            raise RemoteError("no 2030.5 device speaks for this site", where=self.site, remedy="Register one for it.")
        return Acknowledgement(grant, Outcome.UNKNOWN, None, "waits for the client's poll")

    async def _stored(self, work: Callable[..., Any], *facts: Any) -> Any:
        """Write to the tables that are the wire; raises OutcomeUnknown when they do not answer: the loop goes on."""
        try:
            return await asyncio.wait_for(sync_to_async(fresh(work))(*facts), DATABASE_S)
        except (DatabaseError, TimeoutError) as error:
            raise OutcomeUnknown("the database does not answer", where=self.site) from error

    def _default(self, now: int) -> None:
        with transaction.atomic():
            outbox.enqueue(utility_services.serve_failsafe(self.site, self._failsafe), now)

    def _lend(self, grant: Grant, now: int) -> list[Control]:
        """Write the controls and what their subscribers are told, together."""
        with transaction.atomic():
            rows = utility_services.lend(grant, now=now, pen=self._pen)
            changed = {f"/edev/{row.device_id}/derp/{row.program_id}/derc" for row in rows if row.creation >= now}
            outbox.enqueue(changed, now)
        return rows

    async def withdraw(self) -> None:
        """Cancel what was lent and still runs or waits: the client is back at the default control at its next poll."""
        await sync_to_async(self._withdraw)(int(self._clock.now().timestamp()))

    def _withdraw(self, now: int) -> None:
        with transaction.atomic():
            rows = utility_services.withdraw(self.site, now=now)
            outbox.enqueue({f"/edev/{row.device_id}/derp/{row.program_id}/derc" for row in rows}, now)

    def messages(self) -> int:
        """Return how often the wire was used from this end."""
        return self._messages

    async def close(self) -> None:
        """Nothing is held open."""
