"""The Device Profile that a control centre imports: the library's, less what this outstation refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from xml.etree import ElementTree

from py1815.control import CommandStatus
from py1815.profile import DerOutstation, device_profile

OPERATIONS: Final = ("supportSelectOperate", "supportLatchOn", "supportLatchOff")


def render(
    outstation: DerOutstation, session: Any, *, host: str, port: int, statuses: Sequence[CommandStatus], today: Any
) -> str:
    """Return the Device Profile as XML (schema 2.12.00), dated `today`."""
    identity = device_profile.Identity(
        vendor="Headroom", device="Headroom DERMS", software_version="0.1.0", author="Headroom", host=host, port=port
    )
    root = device_profile.build(outstation, session, identity, statuses=statuses, today=today)
    _tell_the_truth(root)
    return device_profile.render(root)


def _tell_the_truth(root: ElementTree.Element) -> None:
    """Take out of the library's profile what this outstation refuses: it lists every operation for every output."""
    space = f"{{{device_profile.NAMESPACE}}}"
    for operations in root.iter(f"{space}supportedControlOperations"):
        for operation in list(operations):
            if operation.tag.removeprefix(space) not in OPERATIONS:
                operations.remove(operation)
    for note in root.iter(f"{space}note"):
        if note.text and note.text.startswith("Pulse times are accepted"):
            note.text = "Pulses are refused: every output is a latch"
