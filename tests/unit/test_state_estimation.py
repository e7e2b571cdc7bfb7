"""Weighted least squares on the shipped feeder: truth made by OpenDSS's loads with other multipliers, meters with noise."""

from __future__ import annotations

import numpy as np
import pytest

from derms.errors import InputError
from derms.feeders import shipped
from derms.grid.dss_text import read_model
from derms.grid.fast import FastEngine, HourState
from derms.grid.hosting import row_currents
from derms.grid.least_squares import Meter, StateEstimate, estimate_state
from derms.grid.opendss import Circuit
from derms.grid.powerflow import newton


@pytest.fixture(scope="module")
def state() -> HourState:
    return FastEngine(Circuit.compile(read_model(shipped()["ieee123"]).text)).hour_state(498)


def truth(state: HourState, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    theta = generator.uniform(0.75, 1.2) * generator.uniform(0.6, 1.4, len(state.network.branches))
    inverse = state.reference.branches.inverse_v2
    solved = newton(state.network, state.reference.p / inverse * theta, state.reference.q / inverse * theta, state.volts)
    return solved.volts.view(np.complex128)


def meters(state: HourState, volts: np.ndarray, seed: int) -> list[Meter]:
    """The head's P and Q by phase, three voltages, two currents, with half a percent of noise."""
    generator, network = np.random.default_rng(seed + 1), state.network
    currents = row_currents(network, volts)
    head = [row for row, element in enumerate(network.rows.element) if network.rows.names[element] == "line.section_149_1"]
    found = []
    for row in head:
        power = volts[network.rows.own[row]] * currents[row].conjugate()
        for kind, value in (("active_power", power.real), ("reactive_power", power.imag)):
            sigma = 0.005 * abs(power)
            found.append(Meter(f"head {kind} {row}", kind, row, value + sigma * generator.standard_normal(), sigma))
    index = network.index()
    for name in ("83.1", "250.2", "66.3"):
        place, sigma = index[name], 0.002 * network.base_v[index[name]]
        value = abs(volts[place]) + sigma * generator.standard_normal()
        found.append(Meter(f"volts {name}", "voltage", place, value, sigma))
    for name in ("line.section_13_52", "line.section_60_61"):
        rows = [row for row, element in enumerate(network.rows.element) if network.rows.names[element] == name]
        for row in rows[:1]:
            sigma = 0.005 * abs(currents[row]) + 0.05
            found.append(
                Meter(f"amps {name}", "current", row, abs(currents[row]) + sigma * generator.standard_normal(), sigma)
            )
    return found


def worst_error(state: HourState, volts: np.ndarray, other: np.ndarray) -> float:
    return float((np.abs(np.abs(volts) - np.abs(other)) / state.network.base_v).max())


@pytest.mark.parametrize("seed", range(5))
def test_the_state_comes_closer_to_the_truth_than_the_hours_own_loads(state: HourState, seed: int) -> None:
    real = truth(state, seed)
    found = estimate_state(state, meters(state, real, seed))
    assert found.rejected == ()
    assert worst_error(state, found.volts, real) < 0.6 * worst_error(state, state.volts, real) + 2e-4


def test_what_the_estimate_says_of_itself_covers_its_error_on_currents(state: HourState) -> None:
    inside = total = 0
    for seed in range(6):
        real = truth(state, seed)
        found = estimate_state(state, meters(state, real, seed))
        ours, theirs = row_currents(state.network, found.volts), row_currents(state.network, real)
        for row in range(0, len(ours), 23):
            if abs(theirs[row]) > 5.0:
                total += 1
                inside += abs(abs(ours[row]) - abs(theirs[row])) <= 3.0 * found.sigma_of("current", row) + 0.2
    assert inside / total > 0.97


@pytest.mark.parametrize("spoil", [lambda v: v * 1000, lambda v: -v, lambda v: v * 0.2, lambda v: v + 9e5])
def test_one_gross_error_is_taken_out_by_name(state: HourState, spoil: object) -> None:
    real = truth(state, 3)
    good = meters(state, real, 3)
    bad = [Meter(m.name, m.kind, m.place, spoil(m.value), m.sigma) if n == 2 else m for n, m in enumerate(good)]  # type: ignore[operator]
    found: StateEstimate = estimate_state(state, bad)
    assert bad[2].name in found.rejected
    assert worst_error(state, found.volts, real) < 0.02


def test_sensitivities_are_those_of_the_power_flow(state: HourState) -> None:
    """A load 1 % higher moves each kind of meter as its row says."""
    from derms.grid.least_squares import _sensitivities, _values

    places = [("voltage", 100), ("current", 40), ("active_power", 0), ("reactive_power", 0)]
    inverse, loads = state.reference.branches.inverse_v2, len(state.network.branches)
    rows = _sensitivities(state.network, state.reference, places, loads)
    before = _values(state.network, state.volts, places)
    for load in range(0, loads, 17):
        theta = np.ones(loads)
        theta[load] += 1e-2
        after = newton(state.network, state.reference.p / inverse * theta, state.reference.q / inverse * theta, state.volts)
        moved = _values(state.network, after.volts.view(np.complex128), places) - before
        assert moved == pytest.approx(rows[:, load] * 1e-2, rel=0.02, abs=2e-3)


def test_a_meter_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        Meter("m", "voltage", 0, float("nan"), 1.0)
