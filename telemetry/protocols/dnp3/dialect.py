"""What one device speaks: edition, lease points or none, reversion or none, which output is charging.

AN2018-001 and IEEE 1815.2 share their numbers up to AO460, but word AO87 and AO88 the other way round, and neither makes
AO85 (reversion) mandatory. So a dialect is found out (AI0, a SELECT that moves nothing), proven at commissioning (one side
is limited and the meter watched), stored with the site's address, and obeyed from then on. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from derms.errors import InputError
from telemetry.protocols.dnp3 import points as p

Header = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One device's way to say a limit.

    `leased`: it has the vendor points of a lease (50000 …). `reversion`: AO85 is taken. `swapped`: AO87 limits generation
    and AO88 charging. `edition`: AI0, hundredths; 0 unknown. `proven`: the meter showed which side is which.
    """

    leased: bool = True
    reversion: bool = True
    swapped: bool = False
    edition: int = p.EDITION
    proven: bool = True

    @property
    def import_output(self) -> int:
        """Return the output that limits charging."""
        return p.AO_EXPORT_LIMIT if self.swapped else p.AO_IMPORT_LIMIT

    @property
    def export_output(self) -> int:
        """Return the output that limits generation."""
        return p.AO_IMPORT_LIMIT if self.swapped else p.AO_EXPORT_LIMIT

    @property
    def import_mirror(self) -> int:
        """Return the input that shows the charging limit in force."""
        return p.AI_EXPORT_LIMIT_IN_FORCE if self.swapped else p.AI_IMPORT_LIMIT_IN_FORCE

    @property
    def export_mirror(self) -> int:
        """Return the input that shows the generation limit in force."""
        return p.AI_IMPORT_LIMIT_IN_FORCE if self.swapped else p.AI_EXPORT_LIMIT_IN_FORCE

    @property
    def poll(self) -> tuple[Header, ...]:
        """Return what one poll asks for: (group, variation, first, last)."""
        return p.POLL if self.leased else p.POLL_STANDARD

    def document(self) -> dict[str, Any]:
        """Return what is stored with the site's address."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Dialect:
        """Rebuild a stored dialect; raises InputError if it is not one."""
        try:
            made = cls(**document)
        except TypeError as error:
            raise InputError(f"not a DNP3 dialect: {error}", where="device", remedy="Commission the site anew.") from error
        if not all(isinstance(getattr(made, name), bool) for name in ("leased", "reversion", "swapped", "proven")):
            raise InputError("a DNP3 dialect says yes or no", where="device", remedy="Commission the site anew.")
        return made


OURS: Final = Dialect()
"""A site controller with Headroom's lease points."""
