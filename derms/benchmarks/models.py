"""Which model a measurement runs on."""

from __future__ import annotations

import re
from pathlib import Path

from derms.feeders import shipped
from derms.grid.dss_text import read_model


def model_text(feeder: str, root: str | None = None, regulators: str | None = None) -> str:
    """Return the emitted text of a shipped feeder or a master file; with other regulator settings where asked."""
    path = shipped().get(feeder) or Path(feeder)
    text = read_model(path, Path(root) if root else None).text
    if regulators:
        volts, band = (float(value) for value in regulators.split(":"))
        text = re.sub(r'(?im)^(new "?regcontrol\..*)$', rf"\1 vreg={volts:g} band={band:g}", text)
    return text
