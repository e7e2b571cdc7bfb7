"""What the planning desk keeps, a file a subject.

Only `interconnection.services` writes; constraints stand in the database too.
"""

from interconnection.models.certificates import Certificate
from interconnection.models.clocks import ClockPause, ClockRun, InformationRequest
from interconnection.models.commissioning import CommissioningResult
from interconnection.models.core import (
    PROTOCOLS,
    Agreement,
    Application,
    Event,
    Feeder,
    FeederVersion,
    Frozen,
    Offer,
    Study,
)
from interconnection.models.queue import Constraint
from interconnection.models.screening import ScreenRun, SectionLoad
from interconnection.models.versions import ApplicationVersion

__all__ = [
    "PROTOCOLS", "Agreement", "Application", "ApplicationVersion", "Certificate", "ClockPause", "ClockRun",
    "CommissioningResult", "Constraint", "Event", "Feeder", "FeederVersion", "Frozen", "InformationRequest", "Offer",
    "ScreenRun", "SectionLoad", "Study",
]  # fmt: skip
