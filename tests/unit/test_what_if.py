"""The what-if answer and the criteria on arrays, each against OpenDSS itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from derms.errors import InputError
from derms.feeders import shipped
from derms.grid.capacity import study_hours
from derms.grid.criteria import CriteriaSettings
from derms.grid.devices import devices
from derms.grid.dss_text import read_model
from derms.grid.hosting import one_bus
from derms.grid.opendss import Circuit, Injection
from derms.grid.protection import protection
from derms.grid.site_year import fast_engine
from derms.grid.study_request import StudyRequest
from derms.grid.what_if import what_if

HOURS = (60, 498, 3000, 4866, 7000)
BUS, PHASES = "250", (1, 2, 3)


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    found = Circuit.compile(read_model(shipped()["ieee123"]).text)
    found.widen_load_bands()
    return found


def ask(circuit: Circuit, import_kw: float, export_kw: float, **more: Any) -> dict[str, Any]:
    request = StudyRequest(BUS, PHASES, int(import_kw * 1e3), int(export_kw * 1e3), HOURS, **more)
    # As it reaches the child: through JSON.
    return what_if(circuit, json.loads(json.dumps({"request": request.to_dict()})))


def entry(answer: dict[str, Any], side: str, criterion: str) -> dict[str, Any]:
    return next(item for item in answer[side]["criteria"] if item["criterion"] == criterion)


def solved(circuit: Circuit, hour: int, p_w: float) -> tuple[dict[str, float], dict[str, complex], dict[str, float]]:
    """Return OpenDSS's own magnitudes (pu) and voltages, and the loadings, with the site at a power."""
    circuit.settle(hour)
    state = circuit.solve([Injection(BUS, PHASES, p_w)])
    raw = np.asarray(circuit.engine.Circuit.YNodeVArray())
    names = [name.lower() for name in circuit.engine.Circuit.YNodeOrder()]
    volts = dict(zip(names, raw[0::2] + 1j * raw[1::2], strict=True))
    loading = dict(zip(circuit.element_names, state.loading_pu, strict=True))
    return dict(zip(circuit.nodes, state.v_pu, strict=True)), volts, loading


@pytest.mark.parametrize(("side", "sign"), [("import", 1.0), ("export", -1.0)])
def test_each_criterion_shows_the_value_that_opendss_has_at_the_asked_power(
    circuit: Circuit, side: str, sign: float
) -> None:
    answer = ask(circuit, 700.0, 700.0)
    for criterion in ("undervoltage", "overvoltage"):
        found = entry(answer, side, criterion)
        pu, _, _ = solved(circuit, found["hour"], sign * 700e3)
        assert found["value"] == pytest.approx(pu[found["element"]], abs=1e-5)
        worst = min if criterion == "undervoltage" else max
        medium = [circuit.nodes[node] for node in circuit.medium_voltage_nodes]
        assert found["value"] == pytest.approx(worst(pu[node] for node in medium), abs=1e-5)
    found = entry(answer, side, "thermal")
    assert found["value"] == pytest.approx(solved(circuit, found["hour"], sign * 700e3)[2][found["element"]], rel=1e-4)
    found = entry(answer, side, "unbalance")
    _, volts, _ = solved(circuit, found["hour"], sign * 700e3)
    a, b, c = (volts[f"{found['element']}.{phase}"] for phase in (1, 2, 3))
    lines = np.abs([a - b, b - c, c - a])
    assert found["value"] == pytest.approx(np.abs(lines - lines.mean()).max() / lines.mean(), abs=2e-6)
    found = entry(answer, side, "rapid_change")
    pu, _, _ = solved(circuit, found["hour"], sign * 700e3)
    before, _, _ = solved(circuit, found["hour"], 0.0)
    assert found["value"] == pytest.approx(abs(pu[found["element"]] - before[found["element"]]), abs=2e-6)


def test_power_back_through_a_regulator_and_the_head_is_opendsss_own(circuit: Circuit) -> None:
    answer = ask(circuit, 0.0, 1500.0)
    found = entry(answer, "export", "reverse_power")
    assert found["element"] == "feeder head"
    solved(circuit, found["hour"], -1500e3)
    circuit.engine.Circuit.SetActiveElement(devices(circuit).head)
    assert found["value"] == pytest.approx(-1e3 * sum(circuit.engine.CktElement.Powers()[0:6:2]), abs=200.0)
    assert not found["passes"]
    assert not found["in_use"]


def test_the_largest_power_is_that_of_the_study_and_passing_is_said_only_where_it_passes(circuit: Circuit) -> None:
    answer = ask(circuit, 1500.0, 100.0)
    request = StudyRequest(BUS, PHASES, 1_500_000, 100_000, HOURS)
    firm = min(hour.import_w for hour in study_hours(circuit, request, HOURS).hours)
    assert answer["import"]["largest_kw"] == pytest.approx(firm / 1e3, abs=0.2)
    assert not answer["import"]["passes"]
    assert answer["export"]["passes"]
    assert answer["export"]["largest_kw"] > 100.0
    below = ask(circuit, answer["import"]["largest_kw"], 100.0)
    assert all(item["passes"] for item in below["import"]["criteria"] if item["in_use"])
    above = ask(circuit, answer["import"]["largest_kw"] + 5.0, 100.0)
    assert not above["import"]["passes"]


@pytest.mark.parametrize(
    ("criterion", "settings"),
    [
        ("reverse_power", {"reverse_power_w": 0}),
        ("reverse_power", {"reverse_regulator_w": 100_000}),
        ("unbalance", {"unbalance_pu": 0.0085, "rule": "strict"}),
        ("regulator_band", {"regulator_band_share": 0.5}),
        ("upstream", {"upstream_export_w": (50_000,)}),
    ],
)
def test_a_criterion_in_use_stops_the_export_at_its_own_limit(
    circuit: Circuit, criterion: str, settings: dict[str, Any]
) -> None:
    free = ask(circuit, 0.0, 2500.0, criteria=CriteriaSettings(voltage_scope="mv", v_high_pu=1.2))
    held = ask(circuit, 0.0, 2500.0, criteria=CriteriaSettings(voltage_scope="mv", v_high_pu=1.2, **settings))
    assert held["export"]["criterion"] == criterion
    limit = held["export"]["largest_kw"]
    assert limit < free["export"]["largest_kw"]
    at = ask(circuit, 0.0, limit, criteria=CriteriaSettings(v_high_pu=1.2, **settings))
    assert entry(at, "export", criterion)["passes"]
    beyond = ask(circuit, 0.0, limit + 60.0, criteria=CriteriaSettings(v_high_pu=1.2, **settings))
    assert not entry(beyond, "export", criterion)["passes"]


def test_an_upstream_series_holds_hour_by_hour(circuit: Circuit) -> None:
    """Hours 60, 3000, 4866 and 7000 fall on other hours of the day than 498: a day's series limits only that one."""
    series = tuple(10_000_000 if hour != 498 % 24 else 1 for hour in range(24))
    answer = ask(circuit, 1000.0, 0.0, criteria=CriteriaSettings(upstream_import_w=series))
    by_hour = dict(zip(answer["import"]["hourly"]["hour"], answer["import"]["hourly"]["kw"], strict=True))
    assert by_hour[498] == 0.0  # "no worse": the hour takes more already, the site adds nothing
    assert by_hour[60] > 0.0


def test_volt_watt_counts_as_a_limit_on_export_where_the_voltage_is_high(circuit: Circuit) -> None:
    criteria = CriteriaSettings(v_high_pu=1.3, thermal_pu=3.0)
    plain = ask(circuit, 0.0, 4000.0, criteria=criteria)
    held = ask(circuit, 0.0, 4000.0, criteria=criteria, volt_watt=True)
    assert plain["export"]["passes"]
    assert held["export"]["criterion"] == "volt_watt"
    pu, _, _ = solved(circuit, held["export"]["hour"], -held["export"]["largest_kw"] * 1e3)
    most = max(pu[f"{BUS}.{phase}"] for phase in PHASES)
    left = 4000.0 * float(np.interp(most, [1.06, 1.10], [1.0, 0.2]))
    assert held["export"]["largest_kw"] == pytest.approx(left, abs=1.0)


def test_the_full_reversal_is_the_step_between_the_two_powers(circuit: Circuit) -> None:
    found = ask(circuit, 700.0, 700.0)["rapid_change"]["reversal"]
    high, _, _ = solved(circuit, found["hour"], -700e3)
    low, _, _ = solved(circuit, found["hour"], 700e3)
    assert found["pu"] == pytest.approx(abs(high[found["node"]] - low[found["node"]]), abs=1e-5)
    assert found["largest_step_kw"] == pytest.approx(1400.0 * 0.03 / found["pu"], rel=2e-3)


def test_the_profile_runs_from_the_source_outwards(circuit: Circuit) -> None:
    nodes = ask(circuit, 700.0, 0.0)["import"]["profile"]["nodes"]
    distance = [node[1] for node in nodes]
    assert distance == sorted(distance)
    assert nodes[0][0].startswith("150.")
    assert {node[0] for node in nodes} == {circuit.nodes[node] for node in circuit.medium_voltage_nodes}


def test_a_bus_that_is_not_there_is_said_with_what_is_near(circuit: Circuit) -> None:
    request = StudyRequest("nowhere", PHASES, 1000, 0, HOURS)
    with pytest.raises(InputError, match="no bus 'nowhere'"):
        what_if(circuit, {"request": request.to_dict()})


# -- protection ---------------------------------------------------------------------------------------------------------


def faulted(where: str, phases: tuple[int, ...], site_amps: float, angle: float, phase: int) -> tuple[complex, complex]:
    """Return OpenDSS's own current at the breaker and in the fault, in one phase, without loads."""
    circuit = Circuit.compile(read_model(shipped()["ieee123"]).text)
    circuit.settle(0)
    dss = circuit.engine
    dss.Text.Command("batchedit load..* enabled=no")
    nodes = ".".join(map(str, phases))
    dss.Text.Command(
        f"new fault.f bus1={where}.{nodes} bus2={where}.{'.'.join('0' * len(phases))} phases={len(phases)} r=1e-7"
    )
    if site_amps:
        for number, turn in zip(PHASES, (0.0, -120.0, 120.0), strict=True):
            dss.Text.Command(
                f"new isource.s{number} bus1={BUS}.{number} phases=1 amps={site_amps:.9g} angle={angle + turn:.9g}"
            )
    dss.Text.Command("set controlmode=off mode=snap loadmodel=admittance")
    dss.Solution.SolveDirect()

    def current(element: str, place: int) -> complex:
        dss.Circuit.SetActiveElement(element)
        raw = dss.CktElement.Currents()
        return complex(raw[2 * place], raw[2 * place + 1])

    return current(devices(circuit).breaker or "", phase - 1), current("fault.f", phases.index(phase))


def test_fault_current_and_loss_of_reach_are_those_of_a_fault_placed_in_opendss(circuit: Circuit) -> None:
    watts = 1_000_000.0
    circuit.settle(0)
    engine = fast_engine(circuit)
    network = engine.hour_state(0).network
    rise, _, reach = protection(network, devices(circuit), CriteriaSettings(), one_bus(network, BUS, PHASES), watts)
    amps = 1.2 * watts / 3 / circuit.bus(BUS).base_v
    where, phase = reach.element.rsplit(".", 1)
    single = (int(phase),)
    quiet, _ = faulted(where, single, 0.0, 0.0, single[0])
    change = [abs(faulted(where, single, amps, angle, single[0])[0] - quiet) for angle in (0.0, 90.0)]
    # By superposition the change has one size at every angle.
    assert change[0] == pytest.approx(change[1], rel=1e-3)
    assert reach.value == pytest.approx(change[0] / abs(quiet), rel=0.03)
    assert abs(quiet) == pytest.approx(reach.amps, rel=2e-3)
    bus, named = rise.element.rsplit(".", 1)
    _, before = faulted(bus, PHASES, 0.0, 0.0, int(named))
    _, after = faulted(bus, PHASES, amps, 0.0, int(named))
    assert rise.amps == pytest.approx(abs(before), rel=2e-3)
    assert rise.value == pytest.approx(abs(after - before) / abs(before), rel=0.03)


def test_protection_limits_grow_with_the_rating_and_shrink_with_the_current_fed(circuit: Circuit) -> None:
    network = fast_engine(circuit).hour_state(0).network
    site, found = one_bus(network, BUS, PHASES), devices(circuit)

    def limits(**settings: Any) -> list[float]:
        return [item.limit_w for item in protection(network, found, CriteriaSettings(**settings), site, 1e6)]

    assert limits(fault_current_pu=1.0) == pytest.approx([1.2 * most for most in limits()], rel=1e-6)
    device = next(item.name for item in circuit.elements if BUS in (item.bus1, item.bus2))
    some, more = (limits(interrupting_amps=((device, amps),))[1] for amps in (8000.0, 9000.0))
    assert 0.0 <= some < more < np.inf
