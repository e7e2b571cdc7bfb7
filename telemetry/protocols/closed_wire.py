"""A site that may not be operated yet, or not any more: nothing is asked of it and nothing is sent to it."""

from __future__ import annotations

from derms.errors import RemoteError
from telemetry.control.grant import Acknowledgement, Grant, Reading


class ClosedWire:
    """The `SitePort` of a site without permission to operate: it stays at its failsafe by itself."""

    def __init__(self, site: str, protocol: str) -> None:
        self.site, self.protocol = site, protocol

    async def read(self) -> Reading:
        """Refuse."""
        raise self._why()

    async def publish(self, grant: Grant) -> Acknowledgement:
        """Refuse."""
        raise self._why()

    def messages(self) -> int:
        """Return 0: nothing goes out."""
        return 0

    async def close(self) -> None:
        """Nothing is open."""

    def _why(self) -> RemoteError:
        return RemoteError(
            "no permission to operate", where=self.site, remedy="Its commissioning test permits it (manage.py commission)."
        )
