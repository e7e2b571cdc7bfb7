"""What the criteria must know of a circuit beside its arrays: head, substation bank, and voltage regulators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derms.grid.electrical_distance import electrical_distance
from derms.grid.opendss import Circuit


@dataclass(frozen=True, slots=True)
class Regulator:
    """One voltage regulator: its transformer, the node that it regulates, its setting per unit of the node's base.

    `band_pu`: whole bandwidth; `reversible`: its control knows reverse flow; `simple`: it looks at its own winding
    without line-drop compensation.
    """

    name: str
    element: str
    node: str
    set_pu: float
    band_pu: float
    reversible: bool
    simple: bool


@dataclass(frozen=True, slots=True)
class Devices:
    """`head`: the first rated element on the way from the source; `bank`: the substation transformer (None where none is
    modelled); `breaker`: where the feeder's relay looks: the first rated line, else the head."""

    head: str | None
    bank: str | None
    breaker: str | None
    regulators: tuple[Regulator, ...]
    distance: Mapping[str, float]
    """Electrical distance of each bus from the source, percent on 1 MVA."""


def devices(circuit: Circuit) -> Devices:
    """Return the circuit's devices, read once."""
    if "devices" not in circuit.kept:
        circuit.kept["devices"] = Devices(
            head_element(circuit),
            bank_element(circuit),
            breaker_element(circuit),
            tuple(_regulators(circuit)),
            electrical_distance(circuit),
        )
    found: Devices = circuit.kept["devices"]
    return found


def head_element(circuit: Circuit) -> str | None:
    """Return the element through which the whole feeder is fed: the first rated one on the way from the source."""
    rated = {item.name for item in circuit.elements}
    for element, _, _ in _from_source(circuit):
        if element in rated:
            return element
    return None


def breaker_element(circuit: Circuit) -> str | None:
    """Return the first rated line on the way from the source up to and at the first branching; else the head."""
    rated = {item.name for item in circuit.elements}
    lines = [name for name, _, _ in _from_source(circuit) if name.startswith("line.") and name in rated]
    return lines[0] if lines else head_element(circuit)


def bank_element(circuit: Circuit) -> str | None:
    """Return the transformer that lowers the voltage between the source and the first branching of the feeder."""
    rated = {item.name for item in circuit.elements}
    regulated = {item.element for item in _regulators(circuit)}
    for element, near, far in _from_source(circuit):
        ratio = circuit.buses[near].base_v / max(circuit.buses[far].base_v, 1.0)
        if element.startswith("transformer.") and element not in regulated and not 0.8 < ratio < 1.25:
            return element if element in rated else None
    return None


def _from_source(circuit: Circuit) -> list[tuple[str, str, str]]:
    """Return the elements on the one way out from the source up to the first branching: name, near bus, far bus."""
    ends: dict[str, list[tuple[str, str]]] = {}
    dss = circuit.engine
    for name in dss.PDElements.AllNames():
        dss.Circuit.SetActiveElement(name)
        buses = [bus.split(".", 1)[0].lower() for bus in dss.CktElement.BusNames()]
        if dss.CktElement.Enabled() and len(set(buses[:2])) == 2:
            for near, far in (buses[:2], buses[1::-1]):
                ends.setdefault(near, []).append((name.lower(), far))
    found: list[tuple[str, str, str]] = []
    at, seen = circuit.source_bus, {circuit.source_bus}
    while True:
        onward = {far: name for name, far in ends.get(at, []) if far not in seen}
        if len(onward) == 1:
            far, name = next(iter(onward.items()))
            found.append((name, at, far))
            seen.add(far)
            at = far
            continue
        if not any(name.startswith(("line.", "transformer.")) for name, _, _ in found):
            found += [(name, at, far) for far, name in onward.items()]
        return found


def _regulators(circuit: Circuit) -> list[Regulator]:
    dss, found = circuit.engine, []
    controls = dss.RegControls
    at = controls.First() if controls.Count() else 0
    while at:
        found.append(_regulator(circuit, dss))
        at = controls.Next()
    return found


def _regulator(circuit: Circuit, dss: Any) -> Regulator:
    controls = dss.RegControls
    name, element = str(controls.Name()).lower(), f"transformer.{controls.Transformer()}".lower()
    monitored, winding = str(controls.MonitoredBus()).lower(), int(controls.Winding())
    ratio, volts, band = float(controls.PTRatio()), float(controls.ForwardVreg()), float(controls.ForwardBand())
    compensated = bool(controls.ForwardR() or controls.ForwardX())
    reversible = bool(controls.IsReversible())
    dss.Circuit.SetActiveElement(element)
    bus, _, rest = dss.CktElement.BusNames()[winding - 1].lower().partition(".")
    node = f"{bus}.{rest.split('.')[0] or '1'}"
    if monitored:
        bus, _, rest = monitored.partition(".")
        node = f"{bus}.{rest.split('.')[0] or node.rsplit('.', 1)[1]}"
    controls.Name(name)
    base = circuit.buses[bus].base_v if bus in circuit.buses else 0.0
    scale = ratio / base if base else 0.0
    return Regulator(name, element, node, volts * scale, band * scale, reversible, not (compensated or monitored))
