"""Rule packs: a jurisdiction's requirements, screens and clocks as data, read from YAML, checked, compared.

A pack is a file `NAME.yaml`: shipped ones stand beside `schema.json`, a utility's own in a folder of its choice, which
comes first. Nothing is evaluated from a pack but numbers and names that the program knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from derms.errors import InputError, NotFound
from interconnection.completeness import REQUIREMENTS
from interconnection.request import DOCUMENT_KINDS, Difference, differences
from interconnection.screens import MEASURES, Screen

SHIPPED = Path(__file__).parent / "rule_packs"
DEFAULT = "us-sgip-like"
MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Completeness:
    """What a complete application holds: requirements by name, documents by kind, standards by place of the inverter."""

    required: tuple[str, ...]
    documents: tuple[str, ...] = ()
    standards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clock:
    """A deadline: it starts with one action, ends with any of some, counts business or calendar days."""

    id: str
    title: str
    starts: str
    ends: tuple[str, ...]
    days: int
    kind: str = "business"
    owner: str = "utility"
    citation: str = ""
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Calendar:
    """Whose public holidays count: a country of the `holidays` library, days added and days taken away (ISO dates)."""

    country: str
    subdivision: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RulePack:
    """One pack: its name, version, and what it asks."""

    name: str
    title: str
    version: int
    jurisdiction: str
    calendar: Calendar
    completeness: Completeness
    clocks: tuple[Clock, ...]
    screens: tuple[Screen, ...]
    note: str = ""

    def unverified(self) -> list[str]:
        """Return the ids of screens and clocks whose numbers nobody has read in their source."""
        found = [item.id for item in self.screens if not item.verified]
        return found + [item.id for item in self.clocks if not item.verified]


class _Strict(yaml.SafeLoader):
    """YAML in which a key stands once: a second one would silently win."""


def _once(loader: _Strict, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=deep)  # type: ignore[no-untyped-call]
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)


def names(folders: tuple[Path, ...] = (SHIPPED,)) -> list[str]:
    """Return the names of the packs in some folders."""
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def pack(name: str, folders: tuple[Path, ...] = (SHIPPED,)) -> RulePack:
    """Return a pack by name, from the first folder that has it; raises NotFound, or InputError naming file and key."""
    if name not in names(folders):
        known = ", ".join(names(folders))
        raise NotFound(f"no rule pack is named {name!r}", where="rule_pack", remedy=f"One of {known}.")
    path = next(folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").is_file())
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read(path: Path, changed: int) -> RulePack:
    found = parse(path.read_text(), path.name)
    if found.name != path.stem:
        raise InputError(f"the file is named {path.stem}, the pack {found.name}", where=f"{path.name}: name")
    return found


def parse(text: str, source: str) -> RulePack:
    """Read a pack's YAML; raises InputError whose `where` is "FILE: key.of.the.fault"."""
    raw = load(text, source)
    asks = raw["completeness"]
    calendar = raw["calendar"]
    return RulePack(
        name=raw["name"], title=raw["title"], version=raw["version"], jurisdiction=raw["jurisdiction"],
        note=raw.get("note", ""),
        calendar=Calendar(calendar["country"], calendar.get("subdivision", ""), calendar.get("extra", {}),
                          tuple(calendar.get("not", ()))),
        completeness=Completeness(
            tuple(asks["required"]), tuple(asks.get("documents", ())),
            {place: tuple(standards) for place, standards in asks.get("standards", {}).items()},
        ),
        clocks=tuple(Clock(**{**item, "ends": tuple(item["ends"])}) for item in raw["clocks"]),
        screens=tuple(Screen(**item) for item in raw["screens"]),
    )  # fmt: skip


def load(text: str, source: str) -> dict[str, Any]:
    """Return a pack's YAML as plain data after every check."""
    if len(text) > MOST_BYTES:
        raise InputError(f"the pack is longer than {MOST_BYTES} bytes", where=source)
    try:
        raw = yaml.load(text, Loader=_Strict)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"no YAML: {getattr(error, 'problem', error)}", where=f"{source}:{place}") from error
    faults = sorted(_validator().iter_errors(raw), key=lambda fault: (len(fault.absolute_path), str(fault.absolute_path)))
    if faults:
        key = ".".join(str(part) for part in faults[0].absolute_path) or "the whole"
        raise InputError(faults[0].message, where=f"{source}: {key}", remedy="The rule-pack guide lists every key.")
    _check_names(raw, source)
    return dict(raw)


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads((SHIPPED / "schema.json").read_text()))


def _check_names(raw: dict[str, Any], source: str) -> None:
    from interconnection.states import BY_ACTION

    asks = raw["completeness"]
    for key, known in (("required", REQUIREMENTS), ("documents", DOCUMENT_KINDS)):
        for place, name in enumerate(asks.get(key, [])):
            _known(name, known, f"{source}: completeness.{key}.{place}")
    for kind in ("screens", "clocks"):
        ids = [item["id"] for item in raw[kind]]
        for place, name in enumerate(ids):
            if name in ids[:place]:
                raise InputError(f"the id {name!r} stands twice", where=f"{source}: {kind}.{place}.id")
    _check_screens(raw, source)
    for place, item in enumerate(raw["clocks"]):
        for word in (item["starts"], *item["ends"]):
            _known(word, BY_ACTION, f"{source}: clocks.{place}")
        if item["verified"] and not item.get("citation"):
            raise InputError("a verified number names where it stands", where=f"{source}: clocks.{place}.citation")


def _check_screens(raw: dict[str, Any], source: str) -> None:
    for place, item in enumerate(raw["screens"]):
        where = f"{source}: screens.{place}"
        _known(item["measure"], MEASURES, f"{where}.measure")
        measure = MEASURES[item["measure"]]
        if measure.needs_threshold and "threshold" not in item:
            raise InputError("this measure needs a threshold", where=f"{where}.threshold")
        for name in item.get("parameters", {}):
            _known(name, measure.parameters, f"{where}.parameters.{name}")
        if item["verified"] and not item.get("citation"):
            raise InputError("a verified number names where it stands", where=f"{where}.citation")


def _known(value: Any, known: Any, where: str) -> None:
    if value not in known:
        raise InputError(f"unknown {value!r}", where=where, remedy=f"One of {', '.join(known) or 'none'}.")


def compare(
    one: str, two: str, folders: tuple[Path, ...] = (SHIPPED,), others: tuple[Path, ...] | None = None
) -> list[Difference]:
    """Return what differs between two packs, by dotted key; screens and clocks are matched by id.

    `others`: the folders of the second one, where they are not the first one's: two versions of one name.
    """
    return differences(_by_id(one, folders), _by_id(two, folders if others is None else others))


def _by_id(name: str, folders: tuple[Path, ...]) -> dict[str, Any]:
    pack(name, folders)
    path = next(folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").is_file())
    raw = load(path.read_text(), path.name)
    for kind in ("screens", "clocks"):
        raw[kind] = {item["id"]: {k: v for k, v in item.items() if k != "id"} for item in raw[kind]}
    return raw
