"""All resources of the utility server behind one function: importing this registers them."""

from __future__ import annotations

from telemetry.protocols.ieee2030_5 import device_handlers, mirror_handlers, price_handlers, program_handlers
from telemetry.protocols.ieee2030_5.directory import RATES
from telemetry.protocols.ieee2030_5.web import Answer, Request, handle

__all__ = [
    "RATES",
    "Answer",
    "Request",
    "device_handlers",
    "handle",
    "mirror_handlers",
    "price_handlers",
    "program_handlers",
]
