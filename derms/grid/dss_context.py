"""An OpenDSS context of its own, one command at a time, its collections walked by their cursor; for `opendss` only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derms.errors import LocalError, ModelRefused


def new_context() -> Any:
    import opendssdirect  # 0.3 s and 40 MB: only where it is used

    context = opendssdirect.NewContext()
    context.Basic.AllowChangeDir(False)
    context.Basic.AllowForms(False)
    context.Basic.AllowEditor(False)
    context.Basic.AllowDOScmd(False)
    return context


def place_bus(context: Any, command: str) -> None:
    """Give a bus its coordinates; files list buses that the circuit does not have, which is no fault."""
    from dss import DSSException

    try:
        context.Text.Command(command)
    except DSSException:
        return


def run(context: Any, command: str, *, where: str) -> None:
    """Run one command; an engine error becomes ModelRefused without the engine's text, which quotes file lines."""
    from dss import DSSException

    try:
        context.Text.Command(command)
    except DSSException as error:
        number = error.args[0] if error.args else "?"
        raise ModelRefused(f"OpenDSS refuses this line (error {number})", where=where) from None
    if context.Error.Number():
        raise LocalError(f"OpenDSS reports error {context.Error.Number()}", where=where)


def each(collection: Any) -> Iterator[None]:
    """Walk an OpenDSS collection by its cursor."""
    found = collection.First()
    while found:
        yield None
        found = collection.Next()
