"""Where rule packs are read from: the utility's own folder first, then the shipped ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from interconnection.rule_packs import SHIPPED, RulePack, names, pack


def folders() -> tuple[Path, ...]:
    """Return the folders in the order in which a name is looked for."""
    own = getattr(settings, "RULE_PACKS", "")
    return (Path(own), SHIPPED) if own else (SHIPPED,)


@dataclass(frozen=True, slots=True)
class Stored:
    """A pack where it stands: `key` names it in an address; `hidden`: shipped, replaced by an own one."""

    key: str
    pack: RulePack
    folders: tuple[Path, ...]
    own: bool
    hidden: bool


def stored() -> list[Stored]:
    """Return every pack that is there: those in use, then shipped ones that a pack of the utility's replaces."""
    own = set(names(folders()[:-1])) if len(folders()) > 1 else set()
    found = [Stored(name, pack(name, folders()), folders(), name in own, False) for name in names(folders())]
    hidden = [Stored(f"{name}@shipped", pack(name), (SHIPPED,), False, True) for name in names() if name in own]
    return found + hidden
