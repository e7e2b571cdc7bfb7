"""What a device can do, whatever the wire: the control room knows sites only by this."""

from __future__ import annotations

from typing import Protocol

from telemetry.control.grant import Acknowledgement, Grant, Reading


class SitePort(Protocol):
    """One site at the far end of one wire.

    Both calls are bounded in time by the adapter and raise nothing but leaves of `derms.errors.RemoteError`.
    """

    site: str
    protocol: str

    async def read(self) -> Reading:
        """Return a fresh reading (power, limit in force, stamp); raises RemoteError when the site is silent."""
        ...

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Send a grant, rounded down to the wire's resolution, and read back what the device obeys."""
        ...

    def messages(self) -> int:
        """Return how many requests went over this wire so far."""
        ...

    async def close(self) -> None:
        """Let go of the wire."""
        ...
