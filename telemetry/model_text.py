"""The text of a feeder's model in a switching state, as the control room solves it."""

from __future__ import annotations

from collections.abc import Sequence

from derms.grid.switching import switched
from derms.grid.switching_states import SwitchingState as Declared
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


def text_of_cycle(version: FeederVersion, feeder: str, state: str) -> str:
    """Return the model's text in the state that a recorded cycle names, as that state is known today."""
    row = SwitchingState.objects.filter(feeder=feeder, name=state).first()
    if row is None:
        return version.text
    return text_in(version, tuple(row.opened), tuple(row.closed), known_states(version).get(row.name))
