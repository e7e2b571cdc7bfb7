"""All resources of the utility server behind one function: importing this registers them."""

from __future__ import annotations

from telemetry.protocols.ieee2030_5 import device_handlers, mirror_handlers, program_handlers
from telemetry.protocols.ieee2030_5.web import RATES, Answer, Request, handle

__all__ = ["RATES", "Answer", "Request", "device_handlers", "handle", "mirror_handlers", "program_handlers"]
