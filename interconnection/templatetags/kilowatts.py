"""Watts as people read them: kilowatts, rounded **down** to 0.1: what is shown is never looser than what is signed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template

register = template.Library()


@register.filter
def kw(watts: int) -> str:
    """Return a magnitude in watts as kilowatts with thousands' commas, rounded down to 0.1."""
    tenths = int(watts) // 100
    whole, part = divmod(tenths, 10)
    return f"{whole:,}.{part}" if part else f"{whole:,}"


@register.filter
def kw_signed(watts: float) -> str:
    """Return signed watts as kilowatts with thousands' commas, to 0.1."""
    return f"{float(watts) / 1000:,.1f}"


@register.filter
def figure(value: float | None) -> str:
    """Return a number with thousands' commas to 0.1 at most; a dash where there is none."""
    if value is None or value == "":
        return "–"
    return f"{float(value):,.1f}".removesuffix(".0")


@register.filter
def figure3(value: float | None) -> str:
    """Return a number to three figures after the point at most; a dash where there is none."""
    if value is None or value == "":
        return "–"
    return f"{float(value):,.3f}".rstrip("0").rstrip(".")


@register.filter
def spaced(text: str) -> str:
    """Return a program's name as words: underscores become spaces."""
    return str(text).replace("_", " ")


@register.filter
def at(table: Mapping[Any, Any], key: Any) -> Any:
    """Return a table's entry for a key, nothing when it has none."""
    return table.get(key)


@register.filter
def days_until(start: datetime, end: datetime) -> int:
    """Return whole days between two moments."""
    return (end - start).days
