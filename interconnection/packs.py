"""Where rule packs are read from: the utility's own folder first, then the shipped ones."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from interconnection.rule_packs import SHIPPED


def folders() -> tuple[Path, ...]:
    """Return the folders in the order in which a name is looked for."""
    own = getattr(settings, "RULE_PACKS", "")
    return (Path(own), SHIPPED) if own else (SHIPPED,)
