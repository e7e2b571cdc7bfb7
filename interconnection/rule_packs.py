"""Rule packs: a jurisdiction's requirements, screens and clocks as data, read from YAML, checked, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from derms.errors import InputError, NotFound
from interconnection.completeness import REQUIREMENTS
from interconnection.request import DOCUMENT_KINDS

FOLDER = Path(__file__).parent / "rule_packs"
DEFAULT = "us-sgip-like"


@dataclass(frozen=True, slots=True)
class Completeness:
    """What a complete application holds: requirements by name, documents by kind, standards by place of the inverter."""

    required: tuple[str, ...]
    documents: tuple[str, ...] = ()
    standards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RulePack:
    """One pack: its name, version, and what it asks."""

    name: str
    title: str
    version: int
    jurisdiction: str
    completeness: Completeness


def names() -> list[str]:
    """Return the names of the shipped packs."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@lru_cache(maxsize=32)
def pack(name: str) -> RulePack:
    """Return a shipped pack by name; raises NotFound, or InputError naming file and key."""
    path = FOLDER / f"{name}.yaml"
    if name not in names():
        raise NotFound(f"no rule pack is named {name!r}", where="rule_pack", remedy=f"One of {', '.join(names())}.")
    return parse(path.read_text(), path.name)


def parse(text: str, source: str) -> RulePack:
    """Read a pack's YAML; raises InputError with `source` and the key that is wrong."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"no YAML: {error}", where=source) from error
    asks = _mapping(_get(raw, "completeness", source), f"{source}: completeness")
    return RulePack(
        name=str(_get(raw, "name", source)),
        title=str(_get(raw, "title", source)),
        version=int(_get(raw, "version", source)),
        jurisdiction=str(_get(raw, "jurisdiction", source)),
        completeness=Completeness(
            tuple(_known(asks.get("required", []), REQUIREMENTS, f"{source}: completeness.required")),
            tuple(_known(asks.get("documents", []), DOCUMENT_KINDS, f"{source}: completeness.documents")),
            {place: tuple(standards) for place, standards in asks.get("standards", {}).items()},
        ),
    )


def _get(raw: Any, key: str, source: str) -> Any:
    if not isinstance(raw, dict) or key not in raw:
        raise InputError(f"the key '{key}' is missing", where=f"{source}: {key}")
    return raw[key]


def _mapping(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise InputError("this is no mapping", where=where)
    return raw


def _known(values: Any, known: Any, where: str) -> list[str]:
    if not isinstance(values, list):
        raise InputError("this is no list", where=where)
    for value in values:
        if value not in known:
            raise InputError(f"unknown {value!r}", where=where, remedy=f"One of {', '.join(known)}.")
    return values
