"""Many sites on one network: where they are, and the network that knows them as branches of constant power."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from derms.grid.load_law import CONSTANT_POWER
from derms.grid.network import FloatArray, Network


@dataclass(frozen=True)
class Sites:
    """s sites on a network: `nodes` (s, 3), -1 for none; `var_per_watt` of what they draw."""

    names: tuple[str, ...]
    nodes: NDArray[np.int64]
    var_per_watt: float = 0.0

    @property
    def phases(self) -> FloatArray:
        """Return how many phases each site has."""
        return (self.nodes >= 0).sum(axis=1).astype(np.float64)


def with_sites(network: Network, nodes: NDArray[np.int64]) -> Network:
    """Return the network with a constant-power branch to ground at each of `nodes`: one power flow knows all sites."""
    branches, count = network.branches, len(nodes)

    def more(array: NDArray, value: float) -> NDArray:  # type: ignore[type-arg]
        return np.concatenate([array, np.full((count, *array.shape[1:]), value, dtype=array.dtype)])

    together = replace(
        branches, a=np.concatenate([branches.a, nodes]), b=more(branches.b, -1), p_w=more(branches.p_w, 0.0),
        q_var=more(branches.q_var, 0.0), base_v=np.concatenate([branches.base_v, network.base_v[nodes]]),
        model=more(branches.model, CONSTANT_POWER), v_min=more(branches.v_min, 0.0), v_max=more(branches.v_max, np.inf),
        exponent_p=more(branches.exponent_p, 0.0), exponent_q=more(branches.exponent_q, 0.0),
        zip_p=more(branches.zip_p, 0.0), zip_q=more(branches.zip_q, 0.0), cut_off=more(branches.cut_off, 0.0),
        owner=more(branches.owner, -1),
    )  # fmt: skip
    return replace(network, branches=together)
