"""The engine's end of IEEE 2030.5: a grant becomes a control that the client fetches; readings and answers come back."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import transaction

from derms.clock import Clock
from derms.errors import RemoteError
from derms.limits import Limit
from telemetry import utility_queries, utility_services
from telemetry.control.grant import Acknowledgement, Grant, Outcome, Reading
from telemetry.protocols.ieee2030_5 import outbox
from telemetry.utility_models import Control


class UtilitySite:
    """One site over IEEE 2030.5 (a `SitePort`). The wire is a table: the utility server serves it, the client polls."""

    protocol = "ieee2030_5"

    def __init__(self, site: str, failsafe: Limit, clock: Clock, *, pen: int) -> None:
        self.site = site
        self._failsafe = failsafe
        self._clock = clock
        self._pen = pen
        self._messages = 0

    async def begin(self) -> None:
        """Make the failsafe limit the default control of the site's device."""
        await sync_to_async(utility_services.serve_failsafe)(self.site, self._failsafe)

    async def read(self) -> Reading:
        """Return the last power that the site posted, with its age, and the limit whose start it confirmed."""
        self._messages += 1
        now = self._clock.now()
        found = await sync_to_async(utility_queries.last_power)(self.site)
        if found is None:
            raise RemoteError(
                "the site has posted no power", where=self.site, remedy="It needs a site MirrorUsagePoint in W."
            )
        power_w, posted = found
        held = await sync_to_async(utility_queries.confirmed)(self.site, int(now.timestamp()))
        return Reading(
            site=self.site,
            received=self._clock.monotonic() - max(0.0, now.timestamp() - posted),
            power_w=power_w,
            limit_in_force=held.limit if held else self._failsafe,
            in_failsafe=held is None,
            epoch=held.epoch if held else None,
            sequence=held.sequence if held else None,
        )

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Put the grant where the client fetches it. Its answer comes later, so the outcome is not known yet."""
        self._messages += 1
        now = int(self._clock.now().timestamp())
        row = await sync_to_async(self._lend)(grant, now)
        if row is None:
            raise RemoteError("no 2030.5 device speaks for this site", where=self.site, remedy="Register one for it.")
        return Acknowledgement(grant, Outcome.UNKNOWN, None, "waits for the client's poll")

    def _lend(self, grant: Grant, now: int) -> Control | None:
        """Write the control and what its subscribers are told, together."""
        with transaction.atomic():
            row = utility_services.lend(grant, now=now, pen=self._pen)
            if row is not None:
                outbox.enqueue([f"/edev/{row.device_id}/derp/{row.program_id}/derc"], now)
        return row

    def messages(self) -> int:
        """Return how often the wire was used from this end."""
        return self._messages

    async def close(self) -> None:
        """Nothing is held open."""
