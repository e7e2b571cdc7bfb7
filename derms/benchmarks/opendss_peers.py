"""OpenDSS used carefully, and as most scripts use it: the peers of the fast engine.

Both search one site's largest import and export in one settled hour: doubling from 1 kW, then bisection. The careful
one edits one element through the API, reads arrays and compares them with numpy; the ordinary one edits by text and
walks the elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.grid.criteria import CriteriaSettings
from derms.grid.opendss import Circuit
from derms.units import SQRT3

NAME = "headroom_site_bench"
RESOLUTION_W = 1000.0


@dataclass(frozen=True)
class Broken:
    """What a trial broke: places among nodes (low, high) and elements; None when the power flow has no solution."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    thermal: NDArray[np.int64]

    def __bool__(self) -> bool:
        return bool(len(self.low) or len(self.high) or len(self.thermal))


class Peer:
    """One circuit with a trial load; call `hour` after the circuit was settled without it, then `limit`."""

    def __init__(self, circuit: Circuit, settings: CriteriaSettings) -> None:
        self.circuit, self.settings = circuit, settings
        self._dss = circuit.engine
        self._text(f'new "load.{NAME}" bus1={next(iter(circuit.buses))}.1 phases=1 kv=1 kw=0 kvar=0 model=1 '
                   "vminpu=0.5 vmaxpu=1.5 status=fixed")  # fmt: skip
        self._nodes = circuit.phase_nodes if settings.voltage_scope == "all" else circuit.medium_voltage_nodes
        self._columns = circuit.element_columns

    def _text(self, command: str) -> None:
        self._dss.Text.Command(command)

    def place(self, bus: str, phases: tuple[int, ...]) -> None:
        """Move the trial load to a bus (three phases, or one; two phases are not measured)."""
        volts = self.circuit.buses[bus].base_v * (SQRT3 if len(phases) == 3 else 1.0) / 1000.0
        nodes = ".".join(map(str, phases))
        self._text(f'edit "load.{NAME}" bus1={bus}.{nodes} phases={len(phases)} kv={volts:.9g} kw=0 kvar=0')
        self._solve(0.0)
        volts_pu, loading = self._read()
        settings = self.settings
        self._low = np.where(volts_pu < settings.v_low_pu, 0.0, settings.v_low_pu)
        self._high = np.where(volts_pu > settings.v_high_pu, np.inf, settings.v_high_pu)
        self._most = np.where(loading > settings.thermal_pu, np.inf, settings.thermal_pu)

    def _solve(self, watts: float) -> bool:
        loads, solution = self._dss.Loads, self._dss.Solution
        loads.Name(NAME)
        loads.kW(watts / 1000.0)
        loads.kvar(0.0)
        solution.SolveNoControl()
        if not solution.Converged():
            # After one diverged point a warm start never recovers: start again, and try once more.
            solution.SolveDirect()
            solution.SolveNoControl()
        good = bool(solution.Converged())
        if not good:
            solution.SolveDirect()
        return good

    def _read(self) -> tuple[Any, Any]:
        volts = np.asarray(self._dss.Circuit.AllBusMagPu(), dtype=np.float64)[self._nodes]
        percent = np.asarray(self._dss.PDElements.AllPctNorm(False), dtype=np.float64)[self._columns]
        return volts, percent / 100.0

    def trial(self, watts: float) -> Broken | None:
        """Return what a power breaks; None where there is no solution."""
        if not self._solve(watts):
            return None
        volts, loading = self._read()
        return Broken(
            np.flatnonzero(volts < self._low), np.flatnonzero(volts > self._high), np.flatnonzero(loading > self._most)
        )

    def holds(self, watts: float) -> bool:
        """Say whether a power breaks nothing: the careful way."""
        broken = self.trial(watts)
        return broken is not None and not broken

    def holds_by_loops(self, watts: float) -> bool:
        """Say whether a power breaks nothing: by text, and element by element, as scripts do."""
        self._text(f"load.{NAME}.kw={watts / 1000.0}")
        self._text(f"load.{NAME}.kvar=0")
        self._dss.Solution.SolveNoControl()
        if not self._dss.Solution.Converged():
            self._dss.Solution.SolveDirect()
            return False
        return self._volts_hold() and self._loadings_hold()

    def _volts_hold(self) -> bool:
        dss, place, good = self._dss, {int(node): k for k, node in enumerate(self._nodes)}, True
        number = 0
        for bus in dss.Circuit.AllBusNames():
            dss.Circuit.SetActiveBus(bus)
            for magnitude in dss.Bus.puVmagAngle()[0::2]:
                at = place.get(number)
                number += 1
                if at is not None and not self._low[at] <= magnitude <= self._high[at]:
                    good = False
        return good

    def _loadings_hold(self) -> bool:
        dss, good = self._dss, True
        for number, element in enumerate(self.circuit.elements):
            dss.Circuit.SetActiveElement(element.name)
            flows = dss.CktElement.CurrentsMagAng()[0 : 2 * dss.CktElement.NumPhases() : 2]
            if max(flows) / element.normal_amps > self._most[number]:
                good = False
        return good

    def limit(self, sign: float, cap_w: float, holds: Callable[[float], bool] | None = None,
              resolution_w: float = RESOLUTION_W) -> tuple[float, float]:  # fmt: skip
        """Return the last good and the first bad magnitude in watts (equal where the cap holds)."""
        holds = holds or self.holds
        good, bad = 0.0, RESOLUTION_W
        while holds(sign * bad):
            good = bad
            if bad >= cap_w:
                return cap_w, cap_w
            bad = min(2.0 * bad, cap_w)
        while bad - good > resolution_w:
            middle = 0.5 * (good + bad)
            if holds(sign * middle):
                good = middle
            else:
                bad = middle
        return good, bad

    def remove(self) -> None:
        """Switch the trial load off, before another hour is settled."""
        self._text(f'edit "load.{NAME}" kw=0 kvar=0')
