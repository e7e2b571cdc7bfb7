"""The hot list: DERControls from templates, each DERControlBase rendered once. A test compares with `xml.write`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from telemetry.protocols.ieee2030_5 import events, xml
from telemetry.protocols.ieee2030_5.events import Times
from telemetry.protocols.ieee2030_5.resources import SUBSCRIBABLE, base
from telemetry.protocols.ieee2030_5.xml import Profile

Words = Callable[[dict[str, Any]], dict[str, Any]]


def control(row: tuple[Any, ...], root: str, reply: str, now: int, profile: Profile, words: Words | None) -> str:
    """Return one DERControl from a row of `hot_statements.CONTROLS` with its state at `now`, seconds UTC.

    `root`: the list that it stands in, with the profile's mount. `words`: how a profile says the modes, or None for as they
    are. Values are the server's own numbers and hexadecimal digits: nothing in them needs escaping.
    """
    number, mrid, start, duration, creation, cancelled, superseded, begins, lasts, modes = row
    state, since = events.status(
        Times(start, duration, creation, cancelled, superseded, begins is not None or lasts is not None), now
    )
    if words is None:
        inner = _base(modes, profile)
    else:
        inner = xml.write("DERControlBase", base(words(json.loads(modes))), profile)
    return (
        f'<DERControl href="{root}/{number}" replyTo="{reply}" responseRequired="03" subscribable="0"><mRID>{mrid}</mRID>'
        f"<creationTime>{creation}</creationTime><EventStatus><currentStatus>{state}</currentStatus>"
        f"<dateTime>{since}</dateTime><potentiallySuperseded>{'false' if superseded is None else 'true'}"
        f"</potentiallySuperseded></EventStatus><interval><duration>{duration}</duration><start>{start}</start></interval>"
        f"{'' if lasts is None else f'<randomizeDuration>{lasts}</randomizeDuration>'}"
        f"{'' if begins is None else f'<randomizeStart>{begins}</randomizeStart>'}{inner}</DERControl>"
    )


@lru_cache(maxsize=65_536)
def _base(modes: str, profile: Profile) -> str:
    return xml.write("DERControlBase", base(json.loads(modes)), profile)


def control_list(kind: str, href: str, items: list[str], total: int, profile: Profile) -> str:
    """Return a DERControlList around its controls."""
    names = f' xmlns="{xml.SEP}"' + (f' xmlns:c="{profile.csipaus}"' if profile.csipaus else "")
    head = f'<{kind}{names} href="{href}" subscribable="{SUBSCRIBABLE}" all="{total}" results="{len(items)}"'
    return f"{head}>{''.join(items)}</{kind}>" if items else f"{head}/>"
