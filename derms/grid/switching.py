"""A feeder's model in another switching state: the same text with elements opened and closed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from derms.errors import InputError

_NAME = re.compile(r'(line|transformer)\.[^"\s=~!/]+')


def switched(text: str, opened: Iterable[str], closed: Iterable[str]) -> str:
    """Return the emitted model text with `closed` elements closed and then `opened` ones opened at terminal 1.

    Names as in `Circuit.elements` ("line.switch_13_152"); raises InputError for one that the model does not have.
    """
    to_open, to_close = [name.lower() for name in opened], [name.lower() for name in closed]
    both = set(to_open) & set(to_close)
    if both:
        raise InputError(f"{sorted(both)[0]} cannot be open and closed", where="switching")
    lines = []
    for verb, names in (("close", to_close), ("open", to_open)):
        for name in names:
            if not _NAME.fullmatch(name) or f'new "{name}"' not in text.lower():
                raise InputError(
                    f"the model has no element {name!r}", where="switching", remedy="The feeder's page lists its elements."
                )
            lines.append(f'{verb} "{name}" 1')
    return text if not lines else text.rstrip("\n") + "\n" + "\n".join(lines) + "\n"
