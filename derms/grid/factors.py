"""Block factors J = L U of a real 2x2-block matrix over nodes, refactored by numbers only, solved sixteen cases at once.

Unknowns are the real and imaginary parts of each node's voltage; a block is four doubles, row by row. No pivoting between
nodes: the matrix is an admittance matrix with load derivatives on it, its pattern symmetric and its diagonal strong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from derms.errors import NotConverged
from derms.grid.elimination import IndexArray, Pattern
from derms.grid.lanes import load, store

FloatArray = NDArray[np.float64]


class Factors(NamedTuple):
    """L (by rows, unit diagonal), U (by rows, without its diagonal) and the inverted diagonal blocks of U.

    A plain tuple of arrays, so that kernels take it whole. `low_by_column` holds L once more in the order of U's
    pattern: the head of a solve scatters by columns. `tail_start`: where each row of L enters the tail.
    """

    row_start: IndexArray
    row: IndexArray
    low_start: IndexArray
    tail_start: IndexArray
    low: IndexArray
    parent: IndexArray
    tail: int
    low_value: FloatArray
    low_by_column: FloatArray
    up: FloatArray
    inverse: FloatArray

    @property
    def blocks(self) -> int:
        """Return how many 2x2 blocks one whole solve multiplies by."""
        return len(self.low) + len(self.row) + len(self.row_start) - 1


@dataclass(frozen=True)
class BlockRows:
    """A matrix of 2x2 blocks by rows (columns ascending, diagonal included): `start`, `column`, `value` (k, 4)."""

    start: IndexArray
    column: IndexArray
    value: FloatArray


def factor(pattern: Pattern, matrix: BlockRows) -> Factors:
    """Return the factors of `matrix`; raises NotConverged when a diagonal block is singular."""
    low = np.zeros((len(pattern.low), 4))
    by_column, up = np.zeros((len(pattern.row), 4)), np.zeros((len(pattern.row), 4))
    inverse = np.zeros((pattern.size, 4))
    failed = _factor(
        pattern.row_start, pattern.row, pattern.low_start, pattern.low,
        matrix.start, matrix.column, matrix.value, low, by_column, up, inverse,
    )  # fmt: skip
    if failed >= 0:
        raise NotConverged("the network's matrix is singular", where=f"node {failed}", remedy="An island without source?")
    return Factors(
        pattern.row_start, pattern.row, pattern.low_start, pattern.tail_start, pattern.low, pattern.parent,
        pattern.tail, low, by_column, up, inverse,
    )  # fmt: skip


@njit(cache=True)
def _factor(row_start, row, low_start, low, start, column, value, out_low, by_column, out_up, inverse):  # type: ignore[no-untyped-def]
    size = row_start.size - 1
    work = np.zeros((size, 4))
    following = row_start[:-1].copy()
    for i in range(size):
        for k in range(start[i], start[i + 1]):
            work[column[k]] += value[k]
        for k in range(low_start[i], low_start[i + 1]):
            j = low[k]
            a, b, c, d = work[j, 0], work[j, 1], work[j, 2], work[j, 3]
            work[j] = 0.0
            p, q, r, s = inverse[j, 0], inverse[j, 1], inverse[j, 2], inverse[j, 3]
            e, f, g, h = a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s
            out_low[k, 0], out_low[k, 1], out_low[k, 2], out_low[k, 3] = e, f, g, h
            by_column[following[j]] = out_low[k]
            following[j] += 1
            for m in range(row_start[j], row_start[j + 1]):
                n = row[m]
                work[n, 0] -= e * out_up[m, 0] + f * out_up[m, 2]
                work[n, 1] -= e * out_up[m, 1] + f * out_up[m, 3]
                work[n, 2] -= g * out_up[m, 0] + h * out_up[m, 2]
                work[n, 3] -= g * out_up[m, 1] + h * out_up[m, 3]
        for m in range(row_start[i], row_start[i + 1]):
            out_up[m] = work[row[m]]
            work[row[m]] = 0.0
        a, b, c, d = work[i, 0], work[i, 1], work[i, 2], work[i, 3]
        work[i] = 0.0
        determinant = a * d - b * c
        if determinant == 0.0 or not np.isfinite(determinant):
            return i
        inverse[i, 0], inverse[i, 1] = d / determinant, -b / determinant
        inverse[i, 2], inverse[i, 3] = -c / determinant, a / determinant
    return -1


@njit(cache=True, nogil=True)
def forward_path(f, path, x):  # type: ignore[no-untyped-def]
    """Forward substitution of the nodes in `path` (ascending, before the tail), scattered by columns into `x` (2n, 16)."""
    for p in range(path.size):
        k = path[p]
        yr, yi = load(x, 2 * k), load(x, 2 * k + 1)
        for m in range(f.row_start[k], f.row_start[k + 1]):
            i = f.row[m]
            store(x, 2 * i, load(x, 2 * i) - f.low_by_column[m, 0] * yr - f.low_by_column[m, 1] * yi)
            store(x, 2 * i + 1, load(x, 2 * i + 1) - f.low_by_column[m, 2] * yr - f.low_by_column[m, 3] * yi)


@njit(cache=True, nogil=True)
def forward_tail(f, x):  # type: ignore[no-untyped-def]
    """Forward substitution of the nodes of the tail, gathered by rows."""
    for i in range(f.tail, f.row_start.size - 1):
        yr, yi = load(x, 2 * i), load(x, 2 * i + 1)
        for k in range(f.tail_start[i], f.low_start[i + 1]):
            j = f.low[k]
            xr, xi = load(x, 2 * j), load(x, 2 * j + 1)
            yr = yr - f.low_value[k, 0] * xr - f.low_value[k, 1] * xi
            yi = yi - f.low_value[k, 2] * xr - f.low_value[k, 3] * xi
        store(x, 2 * i, yr)
        store(x, 2 * i + 1, yi)


@njit(cache=True, nogil=True)
def backward_node(f, i, x):  # type: ignore[no-untyped-def]
    """Backward substitution of one node, whose ancestors are done."""
    yr, yi = load(x, 2 * i), load(x, 2 * i + 1)
    for k in range(f.row_start[i], f.row_start[i + 1]):
        j = f.row[k]
        xr, xi = load(x, 2 * j), load(x, 2 * j + 1)
        yr = yr - f.up[k, 0] * xr - f.up[k, 1] * xi
        yi = yi - f.up[k, 2] * xr - f.up[k, 3] * xi
    store(x, 2 * i, f.inverse[i, 0] * yr + f.inverse[i, 1] * yi)
    store(x, 2 * i + 1, f.inverse[i, 2] * yr + f.inverse[i, 3] * yi)


@njit(cache=True, nogil=True)
def backward(f, first, last, x):  # type: ignore[no-untyped-def]
    """Backward substitution of the nodes last-1 down to first."""
    for i in range(last - 1, first - 1, -1):
        backward_node(f, i, x)


@njit(cache=True, nogil=True)
def solve(f, x):  # type: ignore[no-untyped-def]
    """Solve J x = b for sixteen right-hand sides in place; `x` (2n, 16)."""
    size = f.row_start.size - 1
    for i in range(size):
        yr, yi = load(x, 2 * i), load(x, 2 * i + 1)
        for k in range(f.low_start[i], f.low_start[i + 1]):
            j = f.low[k]
            xr, xi = load(x, 2 * j), load(x, 2 * j + 1)
            yr = yr - f.low_value[k, 0] * xr - f.low_value[k, 1] * xi
            yi = yi - f.low_value[k, 2] * xr - f.low_value[k, 3] * xi
        store(x, 2 * i, yr)
        store(x, 2 * i + 1, yi)
    backward(f, 0, size, x)


@njit(cache=True, nogil=True)
def solve_transposed(f, x):  # type: ignore[no-untyped-def]
    """Solve the transposed system for sixteen right-hand sides in place: adjoints of sixteen constraints at once."""
    size = f.row_start.size - 1
    for i in range(size):
        br, bi = load(x, 2 * i), load(x, 2 * i + 1)
        zr = f.inverse[i, 0] * br + f.inverse[i, 2] * bi
        zi = f.inverse[i, 1] * br + f.inverse[i, 3] * bi
        store(x, 2 * i, zr)
        store(x, 2 * i + 1, zi)
        for k in range(f.row_start[i], f.row_start[i + 1]):
            j = f.row[k]
            store(x, 2 * j, load(x, 2 * j) - f.up[k, 0] * zr - f.up[k, 2] * zi)
            store(x, 2 * j + 1, load(x, 2 * j + 1) - f.up[k, 1] * zr - f.up[k, 3] * zi)
    for i in range(size - 1, -1, -1):
        zr, zi = load(x, 2 * i), load(x, 2 * i + 1)
        for k in range(f.low_start[i], f.low_start[i + 1]):
            j = f.low[k]
            store(x, 2 * j, load(x, 2 * j) - f.low_value[k, 0] * zr - f.low_value[k, 2] * zi)
            store(x, 2 * j + 1, load(x, 2 * j + 1) - f.low_value[k, 1] * zr - f.low_value[k, 3] * zi)


@njit(cache=True, nogil=True)
def solve_scalar(f, x):  # type: ignore[no-untyped-def]
    """Solve J x = b for one right-hand side in place; `x` (2n,)."""
    size = f.row_start.size - 1
    for i in range(size):
        yr, yi = x[2 * i], x[2 * i + 1]
        for k in range(f.low_start[i], f.low_start[i + 1]):
            xr, xi = x[2 * f.low[k]], x[2 * f.low[k] + 1]
            yr -= f.low_value[k, 0] * xr + f.low_value[k, 1] * xi
            yi -= f.low_value[k, 2] * xr + f.low_value[k, 3] * xi
        x[2 * i], x[2 * i + 1] = yr, yi
    for i in range(size - 1, -1, -1):
        yr, yi = x[2 * i], x[2 * i + 1]
        for k in range(f.row_start[i], f.row_start[i + 1]):
            xr, xi = x[2 * f.row[k]], x[2 * f.row[k] + 1]
            yr -= f.up[k, 0] * xr + f.up[k, 1] * xi
            yi -= f.up[k, 2] * xr + f.up[k, 3] * xi
        x[2 * i] = f.inverse[i, 0] * yr + f.inverse[i, 1] * yi
        x[2 * i + 1] = f.inverse[i, 2] * yr + f.inverse[i, 3] * yi
