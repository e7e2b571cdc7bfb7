"""Sites that are there already while another is studied: in three ways, of which each hour counts the worst.

All at rest, all at the import they have a right to, all at the export they have a right to; taps and capacitors as the
hour settled without any of them, as for the site itself: a site is faster than a tap. What counts is the firm part, at
unity power factor. The flexible part above it is no right: how it is shared with the newcomer is the rule of sharing's
business (see `sharing`), so the hours found here are what is there before anybody's flexible part is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from derms.errors import InputError
from derms.grid.opendss import Injection
from derms.units import watts

AT_REST, AT_IMPORT, AT_EXPORT = "at rest", "at import", "at export"
BASES = ("agreement", "offer", "study", "request")
"""Where a site's limits come from: signed, offered, found by its own study, or only asked for."""


@dataclass(frozen=True, slots=True)
class ExistingSite:
    """A site that a study counts: place, and the magnitudes in watts that it may hold in every hour."""

    name: str
    bus: str
    phases: tuple[int, ...]
    import_w: int
    export_w: int
    basis: str = "agreement"

    def __post_init__(self) -> None:
        watts(self.import_w, where="existing.import_w")
        watts(self.export_w, where="existing.export_w")
        if not self.phases or set(self.phases) - {1, 2, 3}:
            raise InputError(f"phases {self.phases} are not among 1, 2, 3", where=f"existing site {self.name}")
        if self.basis not in BASES:
            raise InputError(f"unknown basis {self.basis!r}", where=f"existing site {self.name}", remedy=" or ".join(BASES))
        object.__setattr__(self, "bus", self.bus.lower())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ExistingSite:
        """Rebuild a site from `to_dict()` that went through JSON."""
        return cls(**{**raw, "phases": tuple(raw["phases"])})

    def power(self, case: str) -> float:
        """Return the watts of a case, import positive."""
        return {AT_REST: 0.0, AT_IMPORT: float(self.import_w), AT_EXPORT: -float(self.export_w)}[case]


def cases(existing: Sequence[ExistingSite]) -> tuple[str, ...]:
    """Return the cases to look at, the one at rest first; those in which nothing flows are it again."""
    found = [AT_REST]
    if any(site.import_w for site in existing):
        found.append(AT_IMPORT)
    if any(site.export_w for site in existing):
        found.append(AT_EXPORT)
    return tuple(found)


def injections(existing: Sequence[ExistingSite], case: str) -> list[Injection]:
    """Return what the sites draw in a case; nothing at rest."""
    drawn = [Injection(site.bus, site.phases, site.power(case)) for site in existing]
    return [item for item in drawn if item.p_w]


def places(existing: Sequence[ExistingSite]) -> tuple[tuple[str, int], ...]:
    """Return every (bus, phase) at which one of the sites hangs, once, in order."""
    return tuple(sorted({(site.bus, phase) for site in existing for phase in site.phases}))


def powers(existing: Sequence[ExistingSite], case: str) -> dict[tuple[str, int], float]:
    """Return the watts drawn at each of `places`; a site is balanced over its phases, as the newcomer is."""
    drawn = dict.fromkeys(places(existing), 0.0)
    for site in existing:
        for phase in site.phases:
            drawn[site.bus, phase] += site.power(case) / len(site.phases)
    return drawn
