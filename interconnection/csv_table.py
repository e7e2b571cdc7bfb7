"""Tables as CSV (RFC 4180) that no spreadsheet takes for formulas. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers, times become ISO 8601."""
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA else cell


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows under a heading as CSV text."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if cell is None else harmless(cell) for cell in row])
    return text.getvalue()
