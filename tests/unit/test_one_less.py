"""States with one element less are found: a loop through each declared tie, what a mesh can lose, every bank."""

import pytest

from derms.errors import InputError
from derms.feeders import shipped
from derms.grid.dss_text import read_model
from derms.grid.one_less import one_less
from derms.grid.opendss import Circuit
from derms.grid.switching_states import text_of_state
from tests.unit.test_switching_states import RING


def test_every_line_of_the_loop_that_a_tie_closes_can_be_lost_and_nobody_is_without_supply() -> None:
    states, more = one_less(Circuit.compile(RING), [("d", "c")])
    assert {state.opened for state in states} == {("line.near",), ("line.far",), ("line.side",)}
    assert more == 0
    for state in states:
        assert text_of_state(RING, state).dead_buses == ()


def test_a_radial_feeder_without_ties_can_lose_its_banks_only() -> None:
    with_bank = RING.replace(
        "set voltagebases", 'new "capacitor.c1" bus1="b.1.2.3" phases=3 kv=12.47 kvar=300\nset voltagebases'
    )
    (state,) = one_less(Circuit.compile(with_bank))[0]
    assert (state.name, state.opened) == ("lost-capacitor-c1", ("capacitor.c1",))
    lost = Circuit.compile(text_of_state(with_bank, state).text)
    assert lost.settle(0).head_var > Circuit.compile(with_bank).settle(0).head_var + 250e3


def test_a_mesh_can_lose_any_line_of_its_loop_but_not_the_head() -> None:
    mesh = RING.replace(
        "set voltagebases", 'new "line.joint" bus1="d.1.2.3" bus2="c.1.2.3" length=1 units=km\nset voltagebases'
    )
    states, _ = one_less(Circuit.compile(mesh))
    assert {state.opened[0] for state in states} == {"line.near", "line.far", "line.side", "line.joint"}


def test_the_shipped_feeder_s_tie_gives_states_that_all_compile_with_supply() -> None:
    text = read_model(shipped()["ieee123"]).text
    states, more = one_less(Circuit.compile(text), [("151", "300")], most=5)
    assert len(states) == 5
    assert more > 5
    assert len({state.name for state in states}) == 5
    for state in states:
        if state.ties:
            assert text_of_state(text, state).dead_buses == ()


def test_a_tie_to_no_bus_is_refused() -> None:
    with pytest.raises(InputError, match="nowhere"):
        one_less(Circuit.compile(RING), [("nowhere", "c")])
