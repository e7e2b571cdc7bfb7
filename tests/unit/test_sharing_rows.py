"""Sharing rules on linear rows: bystanders, prices against finite differences, many rows against few, the bound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from derms.grid import alpha_fair as fair
from derms.grid.bystanders import BYSTANDER, caps_alone, without_bystanders
from derms.grid.sharing_bound import priced_bound
from derms.grid.sharing_rules import Demand, divide, most_in_all

EVEN = ("equal", "pro_rata_capacity", "pro_rata_need")


def problem(seed: int, sites: int, rows: int, least: float = 0.1) -> tuple[Demand, np.ndarray, np.ndarray]:
    """Return sites of 10..60 kW without floors, and rows in which nobody is a bystander unless `least` is small."""
    generator = np.random.default_rng(seed)
    cap = generator.uniform(10e3, 60e3, sites)
    slopes = np.exp(generator.uniform(np.log(least), 0.0, (rows, sites))) * 1e-6
    room = slopes @ cap * generator.uniform(0.2, 0.9, rows)
    demand = Demand(np.zeros(sites), cap, generator.uniform(5e3, 60e3, sites), generator.permutation(sites))
    return demand, slopes, room


def near_and_far(seed: int, sites: int) -> tuple[Demand, np.ndarray, np.ndarray]:
    """Return sites with a row each that the others hardly touch, and one row of all."""
    generator = np.random.default_rng(seed)
    cap = generator.uniform(10e3, 60e3, sites)
    slopes = np.vstack([1e-3 * generator.uniform(0.1, 1.0, (sites, sites)) + np.eye(sites), np.ones(sites)]) * 1e-5
    room = np.append(1e-5 * cap * generator.uniform(0.3, 1.2, sites), 1e-5 * cap.sum() * 0.5)
    return Demand(np.zeros(sites), cap, cap, generator.permutation(sites)), slopes, room


@pytest.fixture(scope="module")
def sharp() -> Iterator[None]:
    """Let interior points go on: a site at its cap and one a little below are then told apart."""
    before, fair.SOLVED = fair.SOLVED, 1e-10
    yield
    fair.SOLVED = before


@given(seed=some.integers(0, 10_000), sites=some.integers(1, 12), rows=some.integers(1, 6))
@settings(max_examples=80, deadline=None)
@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize("rule", [*EVEN, "last_in_first_off", "alpha_fair"])
def test_a_shadow_price_is_what_a_little_more_room_gives_to_all(rule: str, seed: int, sites: int, rows: int) -> None:
    demand, slopes, room = problem(seed, sites, rows)
    found = divide(rule, demand, slopes, room)
    for row in range(rows):
        step = 1e-3 * room[row]
        rooms = (room + part * step * np.eye(rows)[row] for part in (1.0, 0.5, -0.5, -1.0))
        up, half_up, half_down, down = (divide(rule, demand, slopes, other).watts.sum() for other in rooms)
        slope, half = up - down, 2.0 * (half_up - half_down)
        even = 0.5 * abs(up - 2.0 * found.watts.sum() + down) + abs(slope - half)
        # At a corner (another site or row comes in) there is no one price.
        scale = max(abs(slope), 2e-5 * found.watts.sum())
        if even <= 0.01 * scale:
            assert found.price[row] * 2.0 * step == pytest.approx(slope, abs=0.05 * scale)


@given(seed=some.integers(0, 10_000), sites=some.integers(3, 40), rule=some.sampled_from(["last_in_first_off", *EVEN]))
@settings(max_examples=60, deadline=None)
def test_a_full_service_transformer_stops_its_own_site_and_not_the_feeder(seed: int, sites: int, rule: str) -> None:
    demand, slopes, room = near_and_far(seed, sites)
    room = room.copy()
    room[-1] = slopes[-1] @ demand.cap * 2.0  # nothing but each site's own row
    present = 0.5 * caps_alone(demand.floor, demand.cap, slopes, room)
    found = divide(rule, demand, slopes, room, present=present)
    others = slopes[:-1] @ demand.cap * 1e5 - demand.cap
    alone = np.minimum(demand.cap, room[:-1] * 1e5)
    assert (found.watts >= alone - 1.2 * others - 1.0).all()


@given(seed=some.integers(0, 10_000), sites=some.integers(2, 40), part=some.floats(0.0, 1.0))
@settings(max_examples=80, deadline=None)
def test_rows_without_bystanders_take_no_more_than_the_rows_have(seed: int, sites: int, part: float) -> None:
    """Where bystanders stay at what they were counted at, what the cleared rows allow the whole rows allow."""
    demand, slopes, room = near_and_far(seed, sites)
    present = part * caps_alone(demand.floor, demand.cap, slopes, room)
    cleared, left, origin = without_bystanders(demand.floor, demand.cap, slopes, room, present, at_caps=False)
    assert (cleared <= slopes[origin]).all()
    for row in range(len(slopes)):
        mine = np.flatnonzero(origin == row)
        away = slopes[row] < BYSTANDER * slopes[row].max()
        if len(mine) == 1:
            assert left[row] + slopes[row][away] @ present[away] == pytest.approx(room[row])
        else:
            assert left[mine].sum() <= room[row] * (1.0 + 1e-12)
            assert cleared[mine].sum(axis=0) == pytest.approx(slopes[row])


@given(seed=some.integers(0, 10_000), sites=some.integers(2, 60), rows=some.integers(1, 30), alpha=some.floats(0.25, 3.0))
@settings(max_examples=50, deadline=None)
def test_many_rows_by_their_prices_give_what_interior_points_give(seed: int, sites: int, rows: int, alpha: float) -> None:
    demand, slopes, room = problem(seed, sites, rows, least=0.03)
    floor, cap = demand.floor, demand.cap
    inside, _, _ = fair.alpha_fair(floor, cap, slopes, room, alpha)
    most, fair.MOST_ROWS = fair.MOST_ROWS, 0
    try:
        prices, _, _ = fair.alpha_fair(floor, cap, slopes, room, alpha)
    finally:
        fair.MOST_ROWS = most
    assert (slopes @ prices <= room * 1.01).all()
    assert prices.sum() == pytest.approx(inside.sum(), rel=0.01)


@given(seed=some.integers(0, 10_000), sites=some.integers(2, 40), rows=some.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_the_bound_by_prices_is_never_below_the_programme_and_close_to_it(seed: int, sites: int, rows: int) -> None:
    demand, slopes, room = problem(seed, sites, rows, least=0.01)
    exact = most_in_all(demand, slopes, room)
    assume(exact.price.any())
    present = 0.9 * exact.watts
    quick = most_in_all(demand, slopes, room, present)
    for price in (exact.price, quick.price, np.zeros(rows), np.ones(rows)):
        assert priced_bound(demand.floor, demand.cap, slopes, room, price) >= exact.watts.sum() * (1.0 - 1e-9)
    assert priced_bound(demand.floor, demand.cap, slopes, room, exact.price) <= exact.watts.sum() * 1.02
