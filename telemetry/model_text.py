"""The text of a feeder's model in a switching state, as the control room solves it."""

from __future__ import annotations

from collections.abc import Sequence

from derms.errors import Conflict
from derms.grid.switching import switched
from derms.grid.switching_states import SwitchingState as Declared
from derms.grid.switching_states import meaning_sha256
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import FeederVersion
from interconnection.services.switching import known_states
from telemetry.cycle_models import SwitchingState


def text_in(version: FeederVersion, opened: Sequence[str], closed: Sequence[str], declared: Declared | None) -> str:
    """Return the model's text in a state; one that the desk knows (`declared`: with ties) is put together in a child."""
    if declared is None:
        return switched(version.text, opened, closed)
    with FeederProcess(version.text) as feeder:
        found = feeder.call("state_text", {"text": version.text, "state": declared.to_dict()})
    return str(found["text"])


def desk_state(version: FeederVersion, row: SwitchingState) -> Declared | None:
    """Return what the desk knows of a declared state, None where it knows nothing of it.

    What was declared holds: a name that the desk gave a meaning later is not that state. Raises Conflict where ties or
    ratings were declared that the desk does not know, for the model would lack them.
    """
    known, plain = known_states(version).get(row.name), meaning_sha256(row.opened, row.closed)
    if not row.state_sha256:
        same = known is not None and meaning_sha256(known.opened, known.closed) == plain
        return known if same else None
    if known is not None and known.sha256() == row.state_sha256:
        return known
    if row.state_sha256 == plain:
        return None
    raise Conflict(
        f"state {row.name!r} was declared with ties or ratings that the desk does not know for this model",
        where=version.feeder.name, remedy="Declare a state that it knows.",
    )  # fmt: skip


def meaning_of(version: FeederVersion, row: SwitchingState | None) -> str:
    """Return the hash of what a declared state is; None is the model's own."""
    if row is None:
        return meaning_sha256()
    if row.state_sha256:
        return row.state_sha256
    known = desk_state(version, row)
    return meaning_sha256(row.opened, row.closed) if known is None else known.sha256()


def text_of_cycle(version: FeederVersion, feeder: str, state: str) -> str:
    """Return the model's text in the state that a recorded cycle names, as that state is known today."""
    row = SwitchingState.objects.filter(feeder=feeder, name=state).first()
    if row is None:
        return version.text
    return text_in(version, tuple(row.opened), tuple(row.closed), desk_state(version, row))
