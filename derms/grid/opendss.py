"""The only door to OpenDSS: one compiled feeder, solved hour by hour with a site's power put in.

A `Circuit` owns an OpenDSS context of its own. Text reaches it either from our own allow-listed emission (inside the
sandbox's child) or, with `compile_file`, from a file that the caller trusts: OpenDSS text can load native code.

Traps, each seen: a yearly solve advances the clock, so study hour h (value h of the shapes, from 0) is reached from
clock hour h; `SolveNoControl` after `LoadMult` keeps the old load; after one diverged point a warm start never
recovers; `PDElements.AllPctNorm(True)` compares every terminal with terminal 1's rating; 400 A on a line that states no
rating is OpenDSS's default, not a fact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.errors import InputError, ModelRefused, NotConverged
from derms.grid.dss_context import each, new_context, place_bus, run, solve_to_rest
from derms.grid.dss_reading import Bus, longest_shape, read_buses, read_elements
from derms.units import SQRT3

FloatArray = NDArray[np.float64]

ENGINE = "OpenDSS (DSS C-API) through OpenDSSDirect.py"
MEDIUM_VOLTAGE_V = 1000.0
"""Line-to-line volts above which a node counts as medium voltage (IEC 60038)."""
MAX_ITERATIONS = 100
MAX_CONTROL_ITERATIONS = 100
TOLERANCE = 1e-7
"""Convergence in per unit: the default 1e-4 is worth up to 1 kW of hosting capacity."""

LOAD_BANDS = (0.85, 1.15)
"""Per unit: the band in which a study and the control room let loads keep their law (see `widen_load_bands`)."""


@dataclass(frozen=True, slots=True)
class Injection:
    """A site's power at a bus: watts and var over all its phases together, import positive."""

    bus: str
    phases: tuple[int, ...]
    p_w: float
    q_var: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """One solved state. `v_pu` (n nodes), `loading_pu` (m elements, terminal-1 current over normal amps),
    `head_w`, `head_var`: into the feeder positive."""

    v_pu: FloatArray
    loading_pu: FloatArray
    head_w: float
    head_var: float
    losses_w: float
    taps: tuple[float, ...]


_NOT_READ = Snapshot(np.zeros(0), np.zeros(0), math.nan, math.nan, math.nan, ())


class Circuit:
    """One compiled feeder. Not safe for two threads; each has a context of its own."""

    def __init__(self, context: Any) -> None:
        self._dss = context
        self._command("set mode=yearly stepsize=1h number=1 controlmode=static")
        self._command(f"set tolerance={TOLERANCE} maxiterations={MAX_ITERATIONS}")
        self._command(f"set maxcontroliter={MAX_CONTROL_ITERATIONS}")
        self._sites: dict[tuple[str, tuple[int, ...]], tuple[str, ...]] = {}
        self._hour = 0
        self._load_scale = 1.0
        self._file_load_mult = float(context.Solution.LoadMult())
        self._solve_first()
        self.name = str(context.Circuit.Name())
        self.hours = longest_shape(context)
        self._read_nodes()
        self.buses = read_buses(context)
        self.node_base_v = np.array([self.buses[node.rsplit(".", 1)[0]].base_v for node in self.nodes])
        self.elements, self.element_columns = read_elements(context)
        self._initial_controls = self.controls()
        self.widened = 0
        self.load_bands = LOAD_BANDS
        self.kept: dict[str, Any] = {}
        """What the fast engine took out of this circuit: it lives and dies with it."""
        self._check_energised()
        self._index()

    @property
    def engine(self) -> Any:
        """Return the OpenDSS context, for `extraction` only."""
        return self._dss

    @property
    def source_bus(self) -> str:
        """Return the bus of the voltage source."""
        self._dss.Vsources.First()
        self._dss.Circuit.SetActiveElement(f"vsource.{self._dss.Vsources.Name()}")
        return str(self._dss.CktElement.BusNames()[0]).split(".", 1)[0].lower()

    @property
    def initial_controls(self) -> tuple[Any, Any]:
        """Return the control state that every hour starts from."""
        return self._initial_controls

    @property
    def load_mult(self) -> float:
        """Return the model's own LoadMult."""
        return self._file_load_mult

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def compile(cls, text: str) -> Circuit:
        """Compile self-contained text, one command a line (our own emission); raises ModelRefused with the line."""
        context = new_context()
        for number, line in enumerate(text.splitlines(), start=1):
            command = line.strip()
            if command.startswith("setbusxy "):
                place_bus(context, command)
            elif command and not command.startswith(("!", "//")):
                run(context, command, where=f"line {number}")
        if not context.Circuit.Name():
            raise ModelRefused("the text defines no circuit", where="line 1", remedy="Start with 'New Circuit.NAME'.")
        return cls(context)

    @classmethod
    def compile_file(cls, master: Path) -> Circuit:
        """Compile a master file that the caller trusts (tests and our own feeders)."""
        context = new_context()
        run(context, f'compile "{master.resolve()}"', where=master.name)
        return cls(context)

    # -- solving ------------------------------------------------------------------------------------------------

    def settle(
        self,
        hour: int,
        *,
        load_scale: float = 1.0,
        injections: Sequence[Injection] = (),
        from_present_controls: bool = False,
        read: bool = True,
    ) -> Snapshot:
        """Solve study hour `hour` (0-based) from the compiled control state, controls run to rest, then frozen.

        The answer does not depend on what was solved before, unless the controls start `from_present_controls`, as
        they do in the field. With `read` false the state is solved and not read out. Raises NotConverged or InputError.
        """
        if not 0 <= hour < self.hours:
            raise InputError(f"hour {hour} is outside 0..{self.hours - 1}", where="hour")
        if not from_present_controls:
            self.restore_controls(self._initial_controls)
        self._place(injections)
        solution = self._dss.Solution
        self._hour, self._load_scale = hour, load_scale
        solution.LoadMult(self._file_load_mult * load_scale)
        solve_to_rest(self._dss, hour)
        if not solution.Converged():
            self._restart()
            solve_to_rest(self._dss, hour)
        self._check(f"hour {hour}")
        return self._snapshot() if read else _NOT_READ

    def solve(self, injections: Sequence[Injection] = ()) -> Snapshot:
        """Solve the settled hour again with the sites' power replaced and the controls frozen; or NotConverged."""
        self._place(injections)
        solution = self._dss.Solution
        solution.SolveNoControl()
        if not solution.Converged():
            self._restart()
            solution.SolveNoControl()
        self._check(f"hour {self._hour}")
        return self._snapshot()

    def widen_load_bands(self, low_pu: float = LOAD_BANDS[0], high_pu: float = LOAD_BANDS[1]) -> int:
        """Let every load keep its law down to `low_pu` and up to `high_pu`; return how many loads this changes.

        OpenDSS's default band, 0.95 to 1.05 pu, coincides with the study's voltage limits, and a load jumps at its edge:
        there two solutions are valid, up to 4 % of a load apart.
        """
        loads, changed = self._dss.Loads, 0
        for _ in each(loads):
            if loads.Vminpu() > low_pu or loads.Vmaxpu() < high_pu:
                changed += not str(loads.Name()).lower().startswith("headroom_site_")
                loads.Vminpu(min(float(loads.Vminpu()), low_pu))
                loads.Vmaxpu(max(float(loads.Vmaxpu()), high_pu))
        if changed:
            self.widened, self.load_bands = self.widened + changed, (low_pu, high_pu)
            self.kept.clear()
            self.restore_controls(self._initial_controls)
            self._solve_first()
            self._initial_controls = self.controls()
        return changed

    def controls(self) -> tuple[tuple[tuple[str, int, float], ...], tuple[tuple[str, tuple[int, ...]], ...]]:
        """Return the state of regulators and capacitors: (transformer, winding, tap), (capacitor, steps closed)."""
        dss = self._dss
        taps = []
        for _ in each(dss.Transformers):
            for winding in range(1, dss.Transformers.NumWindings() + 1):
                dss.Transformers.Wdg(winding)
                taps.append((dss.Transformers.Name(), winding, float(dss.Transformers.Tap())))
        steps = [(dss.Capacitors.Name(), tuple(dss.Capacitors.States())) for _ in each(dss.Capacitors)]
        return tuple(taps), tuple(steps)

    def restore_controls(self, state: tuple[Any, Any]) -> None:
        """Put regulators and capacitors back to a state from `controls()`."""
        dss = self._dss
        taps, steps = state
        for name, winding, tap in taps:
            dss.Transformers.Name(name)
            dss.Transformers.Wdg(winding)
            if dss.Transformers.Tap() != tap:
                dss.Transformers.Tap(tap)
        for name, states in steps:
            dss.Capacitors.Name(name)
            if tuple(dss.Capacitors.States()) != states:
                dss.Capacitors.States(list(states))

    def start_afresh(self) -> None:
        """Forget what was solved before: controls as compiled, voltages from the direct solution.

        An answer that must be reproduced to the byte starts here; a warm start leaves its trace in the last digits.
        """
        self.restore_controls(self._initial_controls)
        self._place(())
        self._dss.Solution.LoadMult(self._file_load_mult)
        self._dss.Solution.Hour(0)
        self._dss.Solution.Seconds(0.0)
        self._dss.Solution.SolveDirect()

    def bus(self, name: str, phases: Sequence[int] | None = None) -> Bus:
        """Return a bus, checked to exist and to have the phases; raises InputError saying what it has."""
        found = self.buses.get(name.lower())
        if found is None:
            near = [other for other in self.buses if name.lower() in other][:5]
            hint = f"Near it: {', '.join(near)}." if near else "List the buses with 'manage.py import_feeder'."
            raise InputError(f"feeder {self.name} has no bus {name!r}", where="bus", remedy=hint)
        missing = [phase for phase in phases or () if phase not in found.phases]
        if missing:
            has = ".".join(map(str, found.phases))
            raise InputError(
                f"bus {found.name} has phases {has}, not {'.'.join(map(str, missing))}",
                where="phases",
                remedy=f"Ask for phases out of {has}, or for another bus.",
            )
        return found

    # -- inside -------------------------------------------------------------------------------------------------

    def _command(self, text: str) -> None:
        run(self._dss, text, where="setup")

    def _solve_first(self) -> None:
        solve_to_rest(self._dss, 0)
        if not self._dss.Solution.Converged():
            self._restart()
            solve_to_rest(self._dss, 0)
        self._check("the first hour")

    def _restart(self) -> None:
        """Start again from the direct solution: a warm start from a diverged point never recovers."""
        self._dss.Solution.SolveDirect()

    def _check(self, where: str) -> None:
        if not self._dss.Solution.Converged():
            raise NotConverged("the power flow has no solution", where=where, remedy="Check loads and ratings there.")

    def _read_nodes(self) -> None:
        names = [name.lower() for name in self._dss.Circuit.AllNodeNames()]
        self.nodes: tuple[str, ...] = tuple(names)
        bus_names = [name.lower() for name in self._dss.Circuit.AllBusNames()]
        index = {name: number for number, name in enumerate(bus_names)}
        self.node_bus = np.array([index[node.rsplit(".", 1)[0]] for node in names], dtype=np.int64)

    def _check_energised(self) -> None:
        dead = [node for node, volts in zip(self.nodes, self._snapshot().v_pu, strict=True) if volts < 0.05]
        self.islands: tuple[str, ...] = tuple(dead)

    def _index(self) -> None:
        """Note once which nodes and elements the criteria look at: a cycle asks thousands of times."""
        energised = ~np.isin(np.array(self.nodes), np.array(self.islands, dtype=str))
        on_a_phase = np.array([node.rsplit(".", 1)[1] in ("1", "2", "3") for node in self.nodes])
        medium = self.node_base_v * SQRT3 > MEDIUM_VOLTAGE_V
        self.phase_nodes = np.flatnonzero(energised & on_a_phase)
        self.medium_voltage_nodes = np.flatnonzero(energised & on_a_phase & medium)
        self.element_names = tuple(element.name for element in self.elements)
        base_v = {name: bus.base_v for name, bus in self.buses.items()}
        self.element_va = np.array([item.normal_amps * base_v[item.bus1] * min(item.phases, 3) for item in self.elements])

    def _place(self, injections: Sequence[Injection]) -> None:
        """Set every site's load elements; sites not named draw nothing."""
        wanted: dict[str, tuple[float, float]] = {}
        for injection in injections:
            names = self._site(injection)
            share = 1.0 / len(names)
            for name in names:
                before = wanted.get(name, (0.0, 0.0))
                wanted[name] = (before[0] + injection.p_w * share, before[1] + injection.q_var * share)
        loads = self._dss.Loads
        for names in self._sites.values():
            for name in names:
                power_w, reactive_var = wanted.get(name, (0.0, 0.0))
                loads.Name(name)
                loads.kW(power_w / 1000.0)
                loads.kvar(reactive_var / 1000.0)

    def _site(self, injection: Injection) -> tuple[str, ...]:
        """Return the load elements of a place, made on first use; balanced over its phases."""
        phases = tuple(sorted(injection.phases))
        key = (injection.bus.lower(), phases)
        if key not in self._sites:
            bus = self.bus(injection.bus, phases)
            three = phases == (1, 2, 3)
            groups: Iterable[tuple[int, ...]] = [phases] if three else [(phase,) for phase in phases]
            names = []
            for group in groups:
                name = f"headroom_site_{len(self._sites)}_{'_'.join(map(str, group))}"
                volts = bus.base_v * (SQRT3 if three else 1.0) / 1000.0
                nodes = ".".join(map(str, group))
                self._command(
                    f'new "load.{name}" bus1="{bus.name}.{nodes}" phases={len(group)} conn=wye kv={volts:.9g} '
                    "kw=0 kvar=0 model=1 vminpu=0.5 vmaxpu=1.5 status=fixed"
                )
                names.append(name)
            self._sites[key] = tuple(names)
        return self._sites[key]

    def _snapshot(self) -> Snapshot:
        dss = self._dss
        volts = np.asarray(dss.Circuit.AllBusMagPu(), dtype=np.float64)
        percent = np.asarray(dss.PDElements.AllPctNorm(False), dtype=np.float64)
        power = dss.Circuit.TotalPower()
        taps = tuple(tap for _, _, tap in self.controls()[0]) if dss.RegControls.Count() else ()
        if not (np.isfinite(volts).all() and math.isfinite(power[0])):
            raise NotConverged("the solution is not finite", where=f"hour {self._hour}")
        return Snapshot(
            v_pu=volts,
            loading_pu=percent[self.element_columns] / 100.0,
            head_w=-float(power[0]) * 1000.0,
            head_var=-float(power[1]) * 1000.0,
            losses_w=float(dss.Circuit.Losses()[0]),
            taps=taps,
        )
