"""Whether regulators and capacitor controls would stay where they are at given voltages, without asking OpenDSS.

Only what is simple is judged here: a voltage regulator without line-drop compensation, a capacitor under current control
without override. Every other control, and every control within a hair of its threshold, counts as not at rest: then OpenDSS
settles that hour. The answer can cost time, never truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.grid.network import FloatArray, Network
from derms.grid.opendss import Circuit

HAIR = 1e-4
"""Relative distance from a threshold below which OpenDSS decides."""
CURRENT_CONTROL = 0


@dataclass(frozen=True)
class _Regulator:
    node: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class _Capacitor:
    row: int
    ratio: float
    least: float
    most: float


class RestTest:
    """The controls of one circuit in its present control state, judged on one network's arrays."""

    def __init__(self, circuit: Circuit, network: Network) -> None:
        self._regulators: list[_Regulator] = []
        self._capacitors: list[_Capacitor] = []
        index = network.index()
        self.judges_all = self._read_regulators(circuit.engine, index) and self._read_capacitors(circuit.engine, network)

    def at_rest(self, volts: NDArray[np.complex128], currents: NDArray[np.complex128]) -> NDArray[np.bool_]:
        """Return for each column of `volts` (n, m) and monitored `currents` (r, m) whether no control would act."""
        calm = np.full(volts.shape[1], self.judges_all)
        for regulator in self._regulators:
            seen = np.abs(volts[regulator.node]) / regulator.ratio
            calm &= (seen > regulator.low * (1 + HAIR)) & (seen < regulator.high * (1 - HAIR))
        for capacitor in self._capacitors:
            amps: FloatArray = np.abs(currents[capacitor.row]) / capacitor.ratio
            calm &= (amps > capacitor.least * (1 + HAIR)) & (amps < capacitor.most * (1 - HAIR))
        return calm

    def _read_regulators(self, dss: Any, index: dict[str, int]) -> bool:
        controls = dss.RegControls
        found = controls.First() if controls.Count() else 0
        while found:
            simple = not (
                controls.ForwardR() or controls.ForwardX() or controls.IsReversible() or controls.MonitoredBus()
                or controls.VoltageLimit()
            )  # fmt: skip
            winding = int(controls.Winding())
            dss.Circuit.SetActiveElement(f"transformer.{controls.Transformer()}")
            bus = dss.CktElement.BusNames()[winding - 1].split(".", 1)[0].lower()
            each = dss.CktElement.NumConductors()
            nodes = dss.CktElement.NodeOrder()[each * (winding - 1) : each * winding]
            # One phase between two live conductors sees their difference: not simple.
            if not simple or len([node for node in nodes if node]) > dss.CktElement.NumPhases() or not nodes[0]:
                return False
            controls.Name(controls.Name())
            half = controls.ForwardBand() / 2.0
            vreg = controls.ForwardVreg()
            self._regulators.append(
                _Regulator(index[f"{bus}.{nodes[0]}"], float(controls.PTRatio()), vreg - half, vreg + half)
            )
            found = controls.Next()
        return True

    def _read_capacitors(self, dss: Any, network: Network) -> bool:
        controls = dss.CapControls
        found = controls.First() if controls.Count() else 0
        first_row = {int(element): row for row, element in reversed(list(enumerate(network.rows.element)))}
        names = {name: number for number, name in enumerate(network.rows.names)}
        while found:
            element = names.get(controls.MonitoredObj().lower())
            simple = int(controls.Mode()) == CURRENT_CONTROL and not controls.UseVoltOverride()
            if element is None or not simple or int(controls.MonitoredTerm()) != 1:
                return False
            name = controls.Capacitor()
            dss.Capacitors.Name(name)
            states = tuple(dss.Capacitors.States())
            if len(set(states)) != 1:
                return False
            closed = bool(states[0])
            self._capacitors.append(
                _Capacitor(
                    first_row[element], float(controls.CTRatio()),
                    float(controls.OFFSetting()) if closed else -1.0, np.inf if closed else float(controls.ONSetting()),
                )
            )  # fmt: skip
            found = controls.Next()
        return True
