"""Reading one site: whatever it or its wire does, the worst is that this one site is silent."""

from __future__ import annotations

import logging

from derms.errors import HeadroomError, RemoteError
from telemetry.control.grant import Reading
from telemetry.protocols.ports import SitePort

LOG = logging.getLogger(__name__)
BAD_ANSWER = (HeadroomError, ValueError, ArithmeticError)
"""What a device's nonsense raises in a decoder: nothing of it may end the control of the other sites."""


async def read_site(site: str, port: SitePort | None) -> Reading | None:
    """Return a fresh reading, or None for a site that is silent or answers nonsense."""
    if port is None:
        return None
    try:
        return await port.read()
    except RemoteError:
        return None
    except BAD_ANSWER:
        LOG.exception("%s answers what cannot be read: it counts as silent", site)
        return None
