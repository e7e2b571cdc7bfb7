"""An OpenDSS context of its own, one command at a time, its collections walked by their cursor; for `opendss` only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derms.errors import LocalError, ModelRefused, NotConverged

CONTROLS_HUNT = 485
"""OpenDSS's own number for "Max Control Iterations Exceeded"."""


def new_context() -> Any:
    """Return a fresh context that changes no folder, opens no window and runs no command."""
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


def solve_to_rest(context: Any, hour: int) -> None:
    """Solve study hour `hour` with the controls running; raises NotConverged where they find no rest."""
    from dss import DSSException

    context.Solution.Hour(hour)
    context.Solution.Seconds(0.0)
    try:
        context.Solution.Solve()
    except DSSException as error:
        number = error.args[0] if error.args else "?"
        if number != CONTROLS_HUNT:
            raise LocalError(f"OpenDSS reports error {number}", where=f"hour {hour}") from None
        raise NotConverged(
            "regulators and capacitors find no rest", where=f"hour {hour}",
            remedy="Two controls undo each other: look at their bands and delays.",
        ) from None  # fmt: skip


def each(collection: Any) -> Iterator[None]:
    """Walk an OpenDSS collection by its cursor."""
    found = collection.First()
    while found:
        yield None
        found = collection.Next()
