"""Electrical distance: the impedance of the path from the source, in per cent voltage for one megavolt-ampere."""

from __future__ import annotations

import numpy as np

from derms.grid.network import FloatArray, Network

BASE_VA = 1e6


def path_impedance(network: Network) -> FloatArray:
    """Return each node's path impedance from the source (n,), per unit on 1 MVA of three phases; inf where none leads.

    The least sum of series impedances, taken from the off-diagonal admittances between neighbouring buses: lines and
    transformers alike, so it grows from the substation to the last service.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import dijkstra

    start, column, value = network.admittance.start, network.admittance.column, network.admittance.value
    row = np.repeat(np.arange(network.size), np.diff(start))
    bus = np.unique([name.rsplit(".", 1)[0] for name in network.nodes], return_inverse=True)[1]
    joined = (bus[row] != bus[column]) & (np.abs(value) > 0.0)
    row, column, value = row[joined], column[joined], value[joined]
    step = BASE_VA / (3.0 * np.abs(value) * network.base_v[row] * network.base_v[column])
    graph = sparse.csr_matrix((step, (row, column)), shape=(network.size, network.size))
    distance: FloatArray = dijkstra(graph, directed=False, indices=network.source_nodes, min_only=True)
    return distance


def nearest_primary(network: Network, node: int) -> int:
    """Return the medium-voltage node that is electrically nearest to `node`: itself if it is one."""
    from scipy import sparse
    from scipy.sparse.csgraph import dijkstra

    if network.medium_voltage[node]:
        return node
    start, column, value = network.admittance.start, network.admittance.column, network.admittance.value
    row = np.repeat(np.arange(network.size), np.diff(start))
    joined = (row != column) & (np.abs(value) > 0.0)
    step = BASE_VA / (3.0 * np.abs(value) * network.base_v[row] * network.base_v[column])
    graph = sparse.csr_matrix((step[joined], (row[joined], column[joined])), shape=(network.size, network.size))
    distance = dijkstra(graph, directed=False, indices=node)
    return int(np.where(network.medium_voltage & network.phase_node, distance, np.inf).argmin())
