"""The tables of the manual's SCADA page, from the map itself. `python -m tests.wire.scada_tables` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from telemetry.protocols.dnp3 import scada_points as p

PAGE = Path(__file__).resolve().parents[2] / "templates" / "docs" / "scada.md"
PARTS = {"system": (p.SYSTEM_TABLE, 0), "feeder": (p.FEEDER_TABLE, p.FEEDERS_AT), "site": (p.SITE_TABLE, p.SITES_AT)}


def table(rows: Iterable[p.Template]) -> str:
    """Return a Markdown table of a block."""
    lines = ["| point | name | unit × scale | class, dead-band | range or states | meaning |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda item: ("BI AI BO AO".index(item.kind), item.offset)):
        unit = f"{row.units} × {row.scale:g}" if row.kind in ("AI", "AO") else ""
        event = (
            f"{row.event_class}, {row.deadband}" if row.event_class and row.kind == "AI" else str(row.event_class or "0")
        )
        if row.kind in ("AO", "BO"):
            event = "–"
        span = " / ".join(row.states) if row.states else ""
        if row.least is not None:
            span = f"{row.least:g} … {'flexible limit' if row.most is None else f'{row.most:g}'}"
        lines.append(f"| {row.kind} +{row.offset} | {row.name} | {unit} | {event} | {span} | {row.what} |")
    return "\n".join(lines)


def fill(text: str) -> str:
    """Return the page with its tables made anew."""
    for name, (rows, _) in PARTS.items():
        mark = f"<!-- {name} -->"
        text = re.sub(f"{mark}.*?{mark}", lambda _, m=mark, r=rows: f"{m}\n\n{table(r)}\n\n{m}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text()))
