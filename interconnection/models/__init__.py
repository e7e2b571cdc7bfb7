"""What the planning desk keeps, a file a subject.

Only `interconnection.services` writes; constraints stand in the database too.
"""

from interconnection.models.certificates import Certificate
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
from interconnection.models.versions import ApplicationVersion

__all__ = [
    "PROTOCOLS", "Agreement", "Application", "ApplicationVersion", "Certificate", "CommissioningResult", "Event", "Feeder",
    "FeederVersion", "Frozen", "Offer", "Study",
]  # fmt: skip
