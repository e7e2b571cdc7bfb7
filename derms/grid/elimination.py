"""The order in which nodes are eliminated, and the pattern of the factors that it gives.

Buses are eliminated by least degree, buses without load first among equals: a chain of line segments without load folds
up at no cost. Nodes below which no load hangs come first of all, so that an iteration, whose right-hand side is nonzero
at loads only, touches the tail of the factors (`Pattern.tail`) and the few nodes between a candidate and that tail.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class Pattern:
    """The factors' pattern over nodes in elimination order.

    `row_start`, `row`: upper pattern by rows (columns > row, ascending); the lower pattern is its transpose, also by
    rows in `low_start`, `low` (columns < row), entering the tail at `tail_start`. `parent`: the elimination tree (-1 at
    a root). `tail`: the first node at or above a load.
    """

    size: int
    row_start: IndexArray
    row: IndexArray
    low_start: IndexArray
    tail_start: IndexArray
    low: IndexArray
    parent: IndexArray
    tail: int


def elimination_order(node_bus: IndexArray, edges: IndexArray, loaded: NDArray[np.bool_]) -> IndexArray:
    """Return the nodes in elimination order.

    `node_bus`: (n,) bus number of each node; `edges`: (e, 2) node pairs that are coupled; `loaded`: (n,) whether a
    nonlinear branch hangs at the node.
    """
    buses = int(node_bus.max()) + 1 if len(node_bus) else 0
    neighbours: list[set[int]] = [set() for _ in range(buses)]
    for left, right in np.unique(node_bus[edges], axis=0):
        if left != right:
            neighbours[left].add(int(right))
            neighbours[right].add(int(left))
    bus_loaded = np.zeros(buses, dtype=bool)
    bus_loaded[node_bus[loaded]] = True
    order = _least_degree(neighbours, bus_loaded)
    rank = np.empty(buses, dtype=np.int64)
    rank[order] = np.arange(buses)
    return np.argsort(rank[node_bus], kind="stable")


def _least_degree(neighbours: list[set[int]], loaded: NDArray[np.bool_]) -> list[int]:
    heap = [(_key(bus, neighbours, loaded), bus) for bus in range(len(neighbours))]
    heapq.heapify(heap)
    done, order = np.zeros(len(neighbours), dtype=bool), []
    while heap:
        key, bus = heapq.heappop(heap)
        if done[bus] or key != _key(bus, neighbours, loaded):
            continue
        done[bus] = True
        order.append(bus)
        around = neighbours[bus]
        for other in around:
            neighbours[other].discard(bus)
            neighbours[other] |= around - {other}
        for other in around:
            heapq.heappush(heap, (_key(other, neighbours, loaded), other))
    return order


def _key(bus: int, neighbours: list[set[int]], loaded: NDArray[np.bool_]) -> int:
    """Twice the degree; a bus without load and with at most two neighbours goes before every loaded one."""
    degree = len(neighbours[bus])
    return 0 if degree <= 2 and not loaded[bus] else 2 * degree + int(loaded[bus])


def pattern(size: int, edges: IndexArray, loaded: NDArray[np.bool_]) -> tuple[Pattern, IndexArray]:
    """Return the factors' pattern and the final order, given nodes already in elimination order.

    The order returned puts nodes without a load at or below them first; the pattern is in that order.
    """
    upper, parent = _fill(size, edges)
    carries = loaded.copy()
    for node in range(size):
        if carries[node] and parent[node] >= 0:
            carries[parent[node]] = True
    order = np.concatenate([np.flatnonzero(~carries), np.flatnonzero(carries)])
    place = np.empty(size, dtype=np.int64)
    place[order] = np.arange(size)
    rows = [np.sort(place[np.fromiter(upper[node], dtype=np.int64, count=len(upper[node]))]) for node in order]
    new_parent = np.array([place[parent[node]] if parent[node] >= 0 else -1 for node in order], dtype=np.int64)
    row_start, row = _flat(rows)
    lower: list[list[int]] = [[] for _ in range(size)]
    for node, columns in enumerate(rows):
        for column in columns:
            lower[column].append(node)
    low_start, low = _flat(lower)
    tail = int((~carries).sum())
    tail_start = np.array(
        [start + bisect_left(row, tail) for start, row in zip(low_start, lower, strict=False)], dtype=np.int64
    )
    return Pattern(size, row_start, row, low_start, tail_start, low, new_parent, tail), order


def _fill(size: int, edges: IndexArray) -> tuple[list[set[int]], IndexArray]:
    """Return each node's upper pattern and the elimination tree, children merged into parents."""
    upper: list[set[int]] = [set() for _ in range(size)]
    for left, right in edges:
        if left < right:
            upper[left].add(int(right))
        elif right < left:
            upper[right].add(int(left))
    parent = np.full(size, -1, dtype=np.int64)
    for node in range(size):
        if upper[node]:
            parent[node] = min(upper[node])
            upper[parent[node]] |= upper[node] - {int(parent[node])}
    return upper, parent


def _flat(rows: Sequence[Sequence[int] | IndexArray]) -> tuple[IndexArray, IndexArray]:
    start = np.zeros(len(rows) + 1, dtype=np.int64)
    start[1:] = np.cumsum([len(row) for row in rows])
    flat = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]) if rows else np.zeros(0, dtype=np.int64)
    return start, flat
