"""Several sites in one sweep: the arrays and OpenDSS say the same of the same powers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from derms.errors import InputError
from derms.feeders import shipped
from derms.grid.dss_text import read_model
from derms.grid.opendss import Circuit
from derms.grid.together import _by_opendss, together

HOURS = [[0, 3000, 4000, 4500, 5000, 8000], [5200, 5201]]


@pytest.fixture(scope="module", params=["ieee13", "ieee123"])
def circuit(request: pytest.FixtureRequest) -> Circuit:
    found = Circuit.compile(read_model(shipped()[request.param]).text)
    found.widen_load_bands()
    return found


def _sites(circuit: Circuit, chance: random.Random, count: int) -> list[list[Any]]:
    medium = [bus for bus in circuit.buses.values() if 1000 < bus.base_v < 20_000 and bus.phases]
    return [
        [bus.name, list(bus.phases), chance.uniform(0, 100e3) * len(bus.phases), chance.uniform(0, 100e3) * len(bus.phases)]
        for bus in chance.choices(medium, k=count)
    ]


def _scaled(sites: list[list[Any]], factor: float) -> list[list[Any]]:
    return [[bus, phases, factor * one, factor * two] for bus, phases, one, two in sites]


def _edge(circuit: Circuit, sites: list[list[Any]]) -> float:
    """Return the largest factor on all sites that holds, by bisection on the arrays."""
    low, high = 0.0, 64.0
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        good = together(circuit, {"sites": _scaled(sites, middle), "hours": HOURS})["holds"]
        low, high = (middle, high) if good else (low, middle)
    return low


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_arrays_and_opendss_find_the_same_edge_for_random_sites(circuit: Circuit, seed: int) -> None:
    chance = random.Random(seed)
    sites = _sites(circuit, chance, chance.choice((1, 3, 12)))
    edge = _edge(circuit, sites)
    assert 0.0 < edge < 64.0
    for factor, expected in ((0.99, True), (1.01, False)):
        asked = {"sites": _scaled(sites, factor * edge), "hours": HOURS}
        powers = {}
        for bus, phases, one, two in asked["sites"]:
            both = powers.setdefault((bus, tuple(sorted(phases))), [0.0, 0.0])
            both[0] += one
            both[1] += two
        theirs = _by_opendss(circuit, asked, powers)
        ours = together(circuit, asked)
        assert (ours["holds"], ours["engine"]) == (expected, "arrays")
        assert theirs["holds"] == expected, (ours, theirs)


def test_sites_of_one_place_count_as_one(circuit: Circuit) -> None:
    bus = next(bus for bus in circuit.buses.values() if len(bus.phases) == 3 and 1000 < bus.base_v < 20_000)
    one = {"sites": [[bus.name, [1, 2, 3], 600e3, 300e3]], "hours": HOURS}
    two = {"sites": [[bus.name, [3, 1, 2], 200e3, 100e3]] * 3, "hours": HOURS}
    assert together(circuit, one) == together(circuit, two)


def test_more_than_the_feeder_can_ever_carry_is_a_refusal_and_not_an_error(circuit: Circuit) -> None:
    bus = [bus for bus in circuit.buses.values() if len(bus.phases) == 3 and 1000 < bus.base_v < 20_000][-1]
    found = together(circuit, {"sites": [[bus.name, [1, 2, 3], 500e6, 0.0]], "hours": HOURS})
    assert not found["holds"]
    assert found["side"] == "import"


def test_a_place_that_is_not_there_is_named(circuit: Circuit) -> None:
    with pytest.raises(InputError, match="nowhere"):
        together(circuit, {"sites": [["nowhere", [1], 1.0, 1.0]], "hours": HOURS})
