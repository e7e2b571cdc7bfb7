"""The one-line form: every bus that is reached has a place of its own, the head leftmost, own coordinates untouched."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interconnection.one_line import one_line, places


def described(joins: list[tuple[int, int]], buses: int, stated: int = 0) -> dict[str, Any]:
    return {
        "buses": [(f"b{n}", [1], 4160.0, float(n) if n < stated else None, 0.0 if n < stated else None, float(n))
                  for n in range(buses)],
        "elements": [(f"line.{n}", "line", 100.0, "own", f"b{one}", f"b{two}", 3) for n, (one, two) in enumerate(joins)],
    }  # fmt: skip


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)))
)
def test_no_two_buses_share_a_place_and_each_stands_one_step_right_of_a_neighbour(
    parents: list[int], loops: list[tuple[int, int]]
) -> None:
    buses = len(parents) + 1
    joins = [(parent % (place + 1), place + 1) for place, parent in enumerate(parents)]
    joins += [(one % buses, two % buses) for one, two in loops]
    found = one_line(described(joins, buses))
    assert set(found) == {f"b{n}" for n in range(buses)}
    assert len(set(found.values())) == buses
    assert found["b0"] == (0.0, -0.0)
    for name, (x, _) in found.items():
        if name != "b0":
            beside = {one if two == int(name[1:]) else two for one, two in joins if int(name[1:]) in (one, two)}
            assert any(found[f"b{other}"][0] == x - 1 for other in beside)


def test_a_part_that_is_not_joined_stands_below_and_a_bus_that_nothing_reaches_is_left_out() -> None:
    found = one_line(described([(0, 1), (2, 3)], 5))
    assert set(found) == {"b0", "b1", "b2", "b3"}
    assert found["b2"][1] < found["b0"][1]


def test_own_coordinates_are_kept_where_half_of_the_buses_state_them() -> None:
    assert places(described([(0, 1), (1, 2), (2, 3)], 4, stated=2)) == ({"b0": (0.0, 0.0), "b1": (1.0, 0.0)}, False)
    assert places(described([(0, 1), (1, 2), (2, 3)], 4, stated=1))[1] is True
