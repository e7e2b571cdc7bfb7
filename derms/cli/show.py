"""Answers for people as tables, for programs as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer


def out(document: Any, as_json: bool, columns: Sequence[str] = ()) -> None:
    """Print a document: JSON, a table of rows, or names and values."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, sort_keys=True))
    elif isinstance(document, list):
        typer.echo(table(document, columns))
    else:
        typer.echo(facts({name: document[name] for name in columns if name in document} or document))


def table(rows: list[dict[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as a table with a header; numbers to the right."""
    names = list(columns) or (list(rows[0]) if rows else [])
    cells = [[_text(row.get(name)) for name in names] for row in rows]
    widths = [max([len(name), *(len(line[at]) for line in cells)]) for at, name in enumerate(names)]
    numeric = [bool(rows) and all(isinstance(row.get(name), int | float) for row in rows) for name in names]

    def line(values: Sequence[str]) -> str:
        made = [v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric, strict=True)]
        return "  ".join(made).rstrip()

    return "\n".join([line(names), line(["-" * width for width in widths]), *(line(values) for values in cells)])


def facts(document: dict[str, Any]) -> str:
    """Return names and values, one a line; inner documents stay out."""
    flat = {name: value for name, value in document.items() if not isinstance(value, dict | list)}
    width = max((len(name) for name in flat), default=0)
    return "\n".join(f"{name.ljust(width)}  {_text(value)}" for name, value in flat.items())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
    return str(value)
