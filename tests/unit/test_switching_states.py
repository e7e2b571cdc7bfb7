"""Switching states: the text of a state is the feeder as it is then, and what has no supply is named and taken out."""

from __future__ import annotations

from typing import Any

import pytest

from derms.errors import InputError
from derms.grid.capacity import study
from derms.grid.opendss import Circuit
from derms.grid.study_request import StudyRequest
from derms.grid.switching_states import SwitchingState, month_hour_table, text_of_state

RING = """clear
new "circuit.ring" basekv=12.47 phases=3
new "line.head" bus1="sourcebus" bus2="a" length=1 units=km r1=0.3 x1=0.4 normamps=300
new "line.near" bus1="a.1.2.3" bus2="b.1.2.3" length=1 units=km r1=0.3 x1=0.4 normamps=300
new "line.far" bus1="b.1.2.3" bus2="c.1.2.3" length=1 units=km r1=0.3 x1=0.4 normamps=300
new "line.side" bus1="a.1.2.3" bus2="d.1.2.3" length=4 units=km r1=0.3 x1=0.4 normamps=200
new "transformer.service" phases=3 windings=2 buses=("c" "s") kvs=(12.47 0.48) kvas=(500 500) xhl=4
new "load.middle" bus1="b.1.2.3" phases=3 kv=12.47 kw=200 vminpu=0.8 vmaxpu=1.2
new "load.end" bus1="s" phases=3 kv=0.48 kw=100 vminpu=0.8 vmaxpu=1.2
new "load.aside" bus1="d.1.2.3" phases=3 kv=12.47 kw=50 vminpu=0.8 vmaxpu=1.2
set voltagebases=(12.47 0.48)
calcvoltagebases
setbusxy bus="c" x=1 y=2"""


def test_what_a_state_leaves_without_supply_is_named_and_the_rest_can_be_studied() -> None:
    found = text_of_state(RING, SwitchingState("lost-far", opened=("line.far",)))
    assert found.dead_buses == ("c", "s")
    circuit = Circuit.compile(found.text)
    assert not circuit.islands
    assert "load.end" not in {name.lower() for name in circuit.engine.Circuit.AllElementNames()}
    assert circuit.settle(0).head_w == pytest.approx(250e3, rel=0.02)
    result = study(circuit, StudyRequest("b", (1, 2, 3), 8_000_000, 0, (0,)))
    assert 0 < result.firm.import_w < 8_000_000


def test_a_transfer_feeds_the_lost_part_through_the_tie_at_the_tie_s_own_limit() -> None:
    normal = study(Circuit.compile(RING), StudyRequest("c", (1, 2, 3), 8_000_000, 0, (0,)))
    state = SwitchingState("transfer", opened=("line.near",), ties=(("d", "c"),))
    found = text_of_state(RING, state)
    assert found.dead_buses == ()
    circuit = Circuit.compile(found.text)
    assert circuit.settle(0).head_w == pytest.approx(350e3, rel=0.02)
    transferred = study(circuit, StudyRequest("c", (1, 2, 3), 8_000_000, 0, (0,)))
    assert transferred.firm.import_w < normal.firm.import_w
    assert transferred.binding("import")["element"] in ("line.side", "c.1", "c.2", "c.3", "b.1", "b.2", "b.3")


def test_closing_brings_back_what_the_model_has_switched_off() -> None:
    off = RING.replace('new "line.far" ', 'new "line.far" enabled=no ')
    state = SwitchingState("closed", closed=("line.far",))
    assert text_of_state(off, state).dead_buses == ()


@pytest.mark.parametrize(
    "raw",
    [
        {"name": "No Good"},
        {"name": "x", "opened": ["load.end"]},
        {"name": "x", "opened": ['line.a" enabled=no\nset editor=sh']},
        {"name": "x", "ties": [["a", "a"]]},
        {"name": "x", "ties": [["a b", "c"]]},
        {"name": "x", "thermal_pu": 5.0},
        {"name": "x", "command": "shell"},
        {},
    ],
)
def test_a_state_that_is_no_state_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SwitchingState.from_dict(raw)


@pytest.mark.parametrize("state", [SwitchingState("x", opened=("line.nowhere",)), SwitchingState("x", ties=(("a", "zz"),))])
def test_a_state_of_another_feeder_is_refused_by_name(state: SwitchingState) -> None:
    with pytest.raises(InputError):
        text_of_state(RING, state)


def test_the_table_has_the_least_of_each_month_and_hour_and_nothing_where_nothing_was_studied() -> None:
    result = study(Circuit.compile(RING), StudyRequest("b", (1, 2, 3), 100_000, 50_000, (0,)))
    table = month_hour_table(result)
    assert table["import_kw"][0][0] == 100.0
    assert table["export_kw"][0][0] == 50.0
    assert table["import_kw"][11][23] is None
