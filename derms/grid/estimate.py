"""From the measured feeder head and the known sites to the state of the feeder.

Level "head": the hour's loads are scaled together until the model's head power equals the measured one, with each known
site at its measured power. What a silent site does is not known; its whole range gives two scales, and each direction of
the envelope uses the one that is worse for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derms.errors import NotConverged
from derms.grid.opendss import Circuit, Injection, Snapshot

LOWEST, HIGHEST = 0.02, 3.0
TOLERANCE_W = 200.0
MOST_STEPS = 12


@dataclass(frozen=True, slots=True)
class Estimate:
    """The load scale that explains the measured head, and the solved state with controls at rest."""

    load_scale: float
    state: Snapshot


def scale_to_head(
    circuit: Circuit, hour: int, head_w: float, sites: Sequence[Injection], *, first: float = 1.0
) -> Estimate:
    """Return the scale of the hour's loads at which the head draws `head_w` (into the feeder positive).

    Raises NotConverged when no scale between 0.02 and 3 explains the measurement: then the state is not known.
    """
    at = min(HIGHEST, max(LOWEST, first))
    state = circuit.settle(hour, load_scale=at, injections=sites)
    error = state.head_w - head_w
    slope = max(state.head_w - sum(site.p_w for site in sites), 1000.0) / at
    for _ in range(MOST_STEPS):
        if abs(error) <= TOLERANCE_W:
            return Estimate(at, state)
        following = at - error / slope
        if not LOWEST <= following <= HIGHEST:
            break
        state_after = circuit.settle(hour, load_scale=following, injections=sites, from_present_controls=True)
        error_after = state_after.head_w - head_w
        if following != at and abs(error_after - error) > 1.0:
            slope = max((error_after - error) / (following - at), 1000.0)
        at, state, error = following, state_after, error_after
    if abs(error) <= max(TOLERANCE_W, 0.005 * abs(head_w)):
        return Estimate(at, state)  # a regulator's step keeps the last watts out of reach: within 0.5 %
    raise NotConverged(
        f"no load level explains {head_w / 1000:.1f} kW at the head",
        where=f"hour {hour}",
        remedy="Check the head's measurement, the switching state and the sites' readings.",
    )
