"""One function a criterion: from a solved state and its base state to margins.

A margin is what is left before the criterion is broken, per unit of its own scale: positive is inside, negative is
broken. `no_worse` masks what the feeder already breaks without the site: there the site may not make it worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derms.errors import InputError
from derms.grid.opendss import Circuit, Snapshot
from derms.units import finite, watts

FloatArray = NDArray[np.float64]

SAME = 1e-5
"""Per unit: what counts as "not worse" when two power flows are compared, unless the settings say more."""


@dataclass(frozen=True, slots=True)
class CriteriaSettings:
    """What the network must keep. Voltages and loadings per unit; reverse power in watts at the head.

    `rule`: "strict"; "no_worse" than the base state; or "masked": what the base state breaks is not looked at again.
    `voltage_scope`: "mv" or "all" nodes.
    `reverse_power_w`: the largest flow out of the feeder at its head; None switches the criterion off.
    `participation`: an element counts as thermal when at least this share of the site's power flows through it; a
    service transformer on another lateral, whose own load only follows the voltage, is that lateral's business.
    0 counts every element. `slack_pu`: by how much a state may differ from the base and still be "no worse".
    `rapid_change_pu`, `rapid_change_lv_pu`: the largest voltage change that a step of the site's own power may make at its
    bus (medium and low voltage). It gives the largest step, and with it a ramp limit; it cuts no power.

    The next are off while None or empty, and then judged and shown all the same (see `judge`):
    `unbalance_pu`: the largest voltage unbalance of a three-phase bus; `regulator_band_share`: how far the site may move a
    regulated voltage, of the regulator's bandwidth; `reverse_regulator_w`: the largest flow back through a regulator whose
    control does not know it; `upstream_import_w`, `upstream_export_w`: what the network above takes and gives at the head,
    one value an hour (1, 24 or 8,760 of them, repeated). Protection: `fault_rise`, `interrupting_share`, `reach_loss`, and
    `fault_current_pu`, what the site's inverters feed into a fault, of their rated current.
    """

    v_low_pu: float = 0.95
    v_high_pu: float = 1.05
    voltage_scope: str = "mv"
    thermal_pu: float = 1.0
    reverse_power_w: int | None = None
    rule: str = "no_worse"
    participation: float = 0.02
    slack_pu: float = SAME
    rapid_change_pu: float = 0.03
    rapid_change_lv_pu: float = 0.05
    unbalance_pu: float | None = None
    regulator_band_share: float | None = None
    reverse_regulator_w: int | None = None
    upstream_import_w: tuple[int, ...] = ()
    upstream_export_w: tuple[int, ...] = ()
    fault_rise: float | None = None
    interrupting_share: float | None = None
    reach_loss: float | None = None
    fault_current_pu: float = 1.2
    interrupting_amps: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not 0.5 < finite(self.v_low_pu, where="v_low_pu") < finite(self.v_high_pu, where="v_high_pu") < 1.5:
            raise InputError("the voltage band is not a band", where="v_low_pu", remedy="For example 0.95 to 1.05.")
        if not 0.1 <= finite(self.thermal_pu, where="thermal_pu") <= 3.0:
            raise InputError(f"thermal limit {self.thermal_pu} pu is outside 0.1..3", where="thermal_pu")
        if self.voltage_scope not in ("mv", "all"):
            raise InputError(f"unknown voltage scope {self.voltage_scope!r}", where="voltage_scope", remedy="mv or all")
        if self.rule not in ("strict", "no_worse", "masked"):
            raise InputError(f"unknown rule {self.rule!r}", where="rule", remedy="strict, no_worse or masked")
        if not 0.0 <= finite(self.participation, where="participation") < 1.0:
            raise InputError("participation is a share in 0..1", where="participation")
        if not 0.0 <= finite(self.slack_pu, where="slack_pu") <= 0.02:
            raise InputError("the slack of 'no worse' is outside 0..0.02 pu", where="slack_pu")
        self._check_extras()

    def _check_extras(self) -> None:
        for name, most in (
            ("unbalance_pu", 0.2), ("regulator_band_share", 2.0), ("fault_rise", 1.0), ("interrupting_share", 1.0),
            ("reach_loss", 1.0), ("fault_current_pu", 5.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0.0 < finite(value, where=name) <= most:
                raise InputError(f"{value:g} is outside 0..{most:g}", where=name)
        for name in ("upstream_import_w", "upstream_export_w"):
            series = tuple(watts(value, where=name) for value in getattr(self, name))
            if len(series) not in (0, 1, 24, 8760):
                raise InputError(f"{len(series)} values", where=name, remedy="Give 1, 24 (a day) or 8,760 (a year).")
            object.__setattr__(self, name, series)
        ratings = tuple(
            (str(name).lower(), finite(amps, where="interrupting_amps")) for name, amps in self.interrupting_amps
        )
        object.__setattr__(self, "interrupting_amps", ratings)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data, for hashing and records."""
        return asdict(self)

    def extras_on(self) -> bool:
        """Say whether a criterion is on that OpenDSS's own search (`Criteria`) does not know."""
        return any(
            value is not None and value != ()
            for value in (
                self.unbalance_pu, self.regulator_band_share, self.reverse_regulator_w, self.upstream_import_w,
                self.upstream_export_w, self.fault_rise, self.interrupting_share, self.reach_loss,
            )
        )  # fmt: skip

    def tightened(self, thermal_pu: float, voltage_pu: float) -> CriteriaSettings:
        """Return the same criteria with a margin kept free on both sides."""
        return replace(
            self,
            v_low_pu=self.v_low_pu + voltage_pu,
            v_high_pu=self.v_high_pu - voltage_pu,
            thermal_pu=self.thermal_pu - thermal_pu,
        )


@dataclass(frozen=True, slots=True)
class Constraints:
    """Margins of one criterion: array (k,), and the index of each entry's node or element."""

    criterion: str
    margin: FloatArray
    index: NDArray[np.int64]


class Criteria:
    """The criteria bound to one circuit: which nodes and elements count, and under which names."""

    def __init__(self, circuit: Circuit, settings: CriteriaSettings) -> None:
        self.settings = settings
        self.nodes = circuit.nodes
        self.elements = circuit.element_names
        self.watched_nodes = circuit.medium_voltage_nodes if settings.voltage_scope == "mv" else circuit.phase_nodes
        self.participating = np.arange(len(self.elements))
        self._element_va = circuit.element_va

    def only(self, elements: Iterable[str]) -> Criteria:
        """Watch the thermal limits of these elements only; returns itself."""
        wanted = set(elements)
        self.participating = np.array([place for place, name in enumerate(self.elements) if name in wanted], dtype=np.int64)

        return self

    def participate(self, base: Snapshot, trials: Sequence[tuple[Snapshot, float]]) -> None:
        """Keep only the elements through which the site's power flows.

        `trials`: solved states with the site importing and exporting, and that power's magnitude in VA. In one of
        the two directions the site's flow adds to what an element carries already, so its current shows the share.
        """
        if self.settings.participation == 0.0 or not trials:
            return
        share = np.zeros(len(self.elements))
        for state, magnitude_va in trials:
            share = np.maximum(share, (state.loading_pu - base.loading_pu) * self._element_va / magnitude_va)
        self.participating = np.flatnonzero(share >= self.settings.participation)

    def margins(self, state: Snapshot, base: Snapshot) -> list[Constraints]:
        """Return the margins of every criterion in use, in a fixed order."""
        found = [self.undervoltage(state, base), self.overvoltage(state, base), self.thermal(state, base)]
        if self.settings.reverse_power_w is not None:
            found.append(self.reverse_power(state, base))
        return found

    def undervoltage(self, state: Snapshot, base: Snapshot) -> Constraints:
        """Voltage above the lower limit, per unit of nominal."""
        limit = np.full(len(self.watched_nodes), self.settings.v_low_pu)
        if self.settings.rule == "no_worse":
            limit = np.minimum(limit, base.v_pu[self.watched_nodes] - self.settings.slack_pu)
        elif self.settings.rule == "masked":
            limit = np.where(base.v_pu[self.watched_nodes] < limit, 0.0, limit)
        return Constraints("undervoltage", state.v_pu[self.watched_nodes] - limit, self.watched_nodes)

    def overvoltage(self, state: Snapshot, base: Snapshot) -> Constraints:
        """Voltage below the upper limit, per unit of nominal."""
        limit = np.full(len(self.watched_nodes), self.settings.v_high_pu)
        if self.settings.rule == "no_worse":
            limit = np.maximum(limit, base.v_pu[self.watched_nodes] + self.settings.slack_pu)
        elif self.settings.rule == "masked":
            limit = np.where(base.v_pu[self.watched_nodes] > limit, np.inf, limit)
        return Constraints("overvoltage", limit - state.v_pu[self.watched_nodes], self.watched_nodes)

    def thermal(self, state: Snapshot, base: Snapshot) -> Constraints:
        """Terminal-1 current below the normal rating, per unit of the rating."""
        limit = np.full(len(self.participating), self.settings.thermal_pu)
        if self.settings.rule == "no_worse":
            limit = np.maximum(limit, base.loading_pu[self.participating] + self.settings.slack_pu)
        elif self.settings.rule == "masked":
            limit = np.where(base.loading_pu[self.participating] > limit, np.inf, limit)
        return Constraints("thermal", limit - state.loading_pu[self.participating], self.participating)

    def reverse_power(self, state: Snapshot, base: Snapshot) -> Constraints:
        """Power out of the feeder at its head below the limit, in megawatts."""
        limit = float(self.settings.reverse_power_w or 0)
        if self.settings.rule == "no_worse":
            limit = max(limit, -base.head_w)
        return Constraints("reverse_power", np.array([(limit + state.head_w) / 1e6]), np.array([0]))

    def name(self, criterion: str, index: int) -> str:
        """Return the node or element that an index of a criterion means."""
        if criterion == "thermal":
            return self.elements[index]
        if criterion == "reverse_power":
            return "feeder head"
        return self.nodes[index]

    def holds(self, state: Snapshot, base: Snapshot) -> bool:
        """Say whether no criterion is broken."""
        return all(item.margin.min(initial=np.inf) >= 0.0 for item in self.margins(state, base))

    def worst(self, state: Snapshot, base: Snapshot) -> tuple[str, str, float]:
        """Return criterion, element and margin of the tightest constraint."""
        worst = ("", "", np.inf)
        for item in self.margins(state, base):
            if len(item.margin):
                place = int(item.margin.argmin())
                if item.margin[place] < worst[2]:
                    name = self.name(item.criterion, int(item.index[place]))
                    worst = (item.criterion, name, float(item.margin[place]))
        return worst

    def violations(self, base: Snapshot) -> Iterator[tuple[str, str, float]]:
        """Yield what the base state itself breaks: criterion, element, value (pu)."""
        settings = self.settings
        for node in self.watched_nodes:
            volts = float(base.v_pu[node])
            if volts < settings.v_low_pu:
                yield "undervoltage", self.nodes[node], volts
            elif volts > settings.v_high_pu:
                yield "overvoltage", self.nodes[node], volts
        for place in np.flatnonzero(base.loading_pu > settings.thermal_pu):
            yield "thermal", self.elements[place], float(base.loading_pu[place])
