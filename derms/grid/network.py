"""The network as arrays: what `extraction` takes out of OpenDSS once, and everything else works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derms.grid.elimination import IndexArray, Pattern
from derms.grid.load_law import Branches

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True)
class MonitoredRows:
    """Terminal-1 phase currents of rated lines and transformers, I = coefficient · V, by rows.

    `start` (r+1,), `node`, `coefficient` (complex siemens), `element` (r,) index into `names`; `own` (r,) the terminal's
    node; `amps` (elements,).
    """

    start: IndexArray
    node: IndexArray
    coefficient: ComplexArray
    element: IndexArray
    own: IndexArray
    names: tuple[str, ...]
    amps: FloatArray


@dataclass(frozen=True)
class Admittance:
    """The linear part of the network for one control state: complex rows, columns ascending, diagonal included."""

    start: IndexArray
    column: IndexArray
    value: ComplexArray

    def times(self, volts: ComplexArray) -> ComplexArray:
        """Return Y V."""
        return np.add.reduceat(self.value * volts[self.column], self.start[:-1])


@dataclass(frozen=True)
class Network:
    """One feeder in one control state; nodes are in elimination order.

    `nodes`: names "bus.phase"; `base_v` (n,) line to neutral; `to_circuit` (n,) place of each node among the circuit's;
    `source` (n,) current injected by the voltage source, amperes; `phase_node`: a live phase conductor (1, 2 or 3);
    `medium_voltage`: above 1 kV line to line.
    """

    nodes: tuple[str, ...]
    base_v: FloatArray
    to_circuit: IndexArray
    phase_node: NDArray[np.bool_]
    medium_voltage: NDArray[np.bool_]
    admittance: Admittance
    source: ComplexArray
    pattern: Pattern
    branches: Branches
    rows: MonitoredRows
    source_nodes: IndexArray
    source_y: ComplexArray
    """Nodes of the voltage source and its primitive admittance on them, (m, m) siemens."""
    shape_of: IndexArray
    """(k,) the shape that scales each branch: index into `shapes`; -1 for 1.0 always, and for PV and the like."""
    shapes_p: FloatArray
    shapes_q: FloatArray
    """(s, hours) multipliers of rated P and Q."""
    follows_scale: NDArray[np.bool_]
    """(k,) whether a load scale (or LoadMult) multiplies the branch."""
    load_mult: float
    """The model's own LoadMult."""

    @property
    def size(self) -> int:
        """Return the number of nodes."""
        return len(self.nodes)

    def head_va(self, volts: ComplexArray) -> ComplexArray:
        """Return the complex power into the feeder at its source for `volts` (n,) or (n, m), VA."""
        at = volts[self.source_nodes]
        source = self.source[self.source_nodes]
        into = (source if volts.ndim == 1 else source[:, None]) - self.source_y @ at
        return (at * into.conj()).sum(axis=0)

    def index(self) -> dict[str, int]:
        """Return each node's place."""
        return {name: place for place, name in enumerate(self.nodes)}

    def multipliers(self, hour: int, load_scale: float = 1.0) -> tuple[FloatArray, FloatArray]:
        """Return what multiplies each branch's rated P and Q at a study hour and load scale."""
        both = []
        scale = np.where(self.follows_scale, self.load_mult * load_scale, 1.0)
        for shapes in (self.shapes_p, self.shapes_q):
            shape = np.ones(len(self.branches))
            has = self.shape_of >= 0
            if has.any():
                shape[has] = shapes[self.shape_of[has], hour % shapes.shape[1]]
            both.append(shape * scale)
        return both[0], both[1]
