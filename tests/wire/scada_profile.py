"""The Device Profile of an example installation, as checked in. `python -m tests.wire.scada_profile` writes it anew.

A change of this file is a change of an interface that control centres have configured: say so in the changelog.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from telemetry.protocols.dnp3 import scada_points as p
from telemetry.protocols.dnp3.scada_outstation import ScadaOutstation
from telemetry.protocols.dnp3.scada_ports import Centre
from telemetry.protocols.dnp3.scada_state import House

CHECKED_IN = Path(__file__).resolve().parents[2] / "templates" / "docs" / "dnp3-scada-profile.xml"
FEEDERS = [p.Subject("north", 0, 2000.0, 1750.0), p.Subject("south", 1, 800.0, 0.0)]
SITES = [p.Subject("depot", 0, 1500.0, 1500.0), p.Subject("work", 1, 500.0, 250.0), p.Subject("mall", 2, 800.0, 0.0)]


class QuietDesk:
    """A desk with an empty house."""

    def house(self) -> House:
        return House(True, 0)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a profile orders nothing ({name})")


def document() -> str:
    """Return the profile, dated as the checked-in one is."""
    with ThreadPoolExecutor(1) as executor:
        scada = ScadaOutstation(p.point_map(FEEDERS, SITES), [Centre("main")], QuietDesk(), executor, lambda: 0.0)
        return scada.profile(today=date(2026, 11, 24))


if __name__ == "__main__":
    CHECKED_IN.write_text(document())
