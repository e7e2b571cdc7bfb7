"""The circuits that ship with Headroom: IEEE test feeders in files of our own making, and a year of load shapes."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def shipped() -> dict[str, Path]:
    """Return the master file of each shipped feeder by its name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.dss"))}
