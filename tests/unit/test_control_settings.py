"""What an operator may tune is named; a wrong name or value stops the start and says where."""

from __future__ import annotations

import pytest

from derms.errors import InputError
from telemetry.control.settings import ControlSettings


def test_a_setting_is_tuned_by_name_and_the_rest_stays_as_it_was() -> None:
    tuned = ControlSettings.tuned(2.0, {"hold_down_s": 6.0})
    assert (tuned.cycle_s, tuned.hold_down_s) == (2.0, 6.0)
    assert tuned.relax_per_minute == ControlSettings().relax_per_minute


@pytest.mark.parametrize("changes", [{"holddown": 1}, {"stale_s": "10"}, {"stale_s": 0}, {"stale_s": float("nan")}])
def test_a_wrong_name_or_value_is_refused_by_its_name(changes: dict[str, object]) -> None:
    with pytest.raises(InputError) as refused:
        ControlSettings.tuned(10.0, changes)
    assert refused.value.where == next(iter(changes))
