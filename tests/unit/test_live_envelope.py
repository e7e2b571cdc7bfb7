"""The control room's envelope on arrays beside the exact one; levels, rules, corners; the same bytes in any process."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from derms.errors import InputError, NotConverged
from derms.feeders import shipped
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.dss_text import read_model
from derms.grid.envelope import EnvelopeRequest, Site, _state, envelope
from derms.grid.live import live_envelope
from derms.grid.live_request import canonical, question
from derms.grid.opendss import Circuit, Injection
from derms.grid.outlook import outlook
from derms.grid.plant import participants
from derms.limits import NOTHING, Limit
from derms.sandbox.feeder_process import FeederProcess

ABC = (1, 2, 3)
FIRM = Limit(474_400, 86_600)
TEXT = read_model(shipped()["ieee123"]).text
DEPOT_W = 400_000.0


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return Circuit.compile(TEXT)


@pytest.fixture(scope="module")
def elements(circuit: Circuit) -> tuple[str, ...]:
    places = [["250", list(ABC), 150e3], ["66", list(ABC), 70e3]]
    return tuple(participants(circuit, {"sites": places})["elements"])


def depot(**changes: Any) -> Site:
    return replace(Site("depot", "250", ABC, DEPOT_W, 0.0, FIRM, Limit(1_500_000, 1_500_000), FIRM, FIRM, True), **changes)


def other(**changes: Any) -> Site:
    most = Limit(700_000, 700_000)
    return replace(Site("other", "66", ABC, 0.0, 0.0, NOTHING, most, NOTHING, NOTHING, True, rank=1), **changes)


def request(circuit: Circuit, elements: tuple[str, ...], hour: int, *sites: Site, scale: float = 0.9) -> EnvelopeRequest:
    state = circuit.settle(hour, load_scale=scale, injections=[Injection("250", ABC, DEPOT_W)])
    return EnvelopeRequest(hour, state.head_w, sites, CriteriaSettings(), elements, 0.03, 0.002)


def ask(asked: EnvelopeRequest, **changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rules": {}, "meters": (), "volts_pu": [site.v_pu for site in asked.sites],
        "need": [site.need for site in asked.sites], "rank": [site.rank for site in asked.sites],
        "study": (0.7, 1.3), "scale": (0.05, 2.5), "least_margin_factor": 0.5,
    }  # fmt: skip
    return dict(json.loads(canonical(question(asked, **(facts | changes)))))


def live(circuit: Circuit, asked: dict[str, Any]) -> dict[str, Any]:
    """Ask, with the limits as limits."""
    answer = live_envelope(circuit, asked)
    for item in answer["granted"].values():
        item["limit"] = Limit(**item["limit"])
    return answer


@pytest.mark.parametrize("hour", [300, 490, 498, 4000])
def test_both_engines_say_the_same_within_half_a_percent(circuit: Circuit, elements: tuple[str, ...], hour: int) -> None:
    asked = request(circuit, elements, hour, depot(), other())
    exact, arrays = envelope(circuit, asked), live(circuit, ask(asked))
    assert (arrays["engine"], arrays["level"]) == ("arrays", "head")
    for name, granted in exact.granted.items():
        found = arrays["granted"][name]
        for side in ("import_w", "export_w"):
            one, two = getattr(granted.limit, side), getattr(found["limit"], side)
            assert two == pytest.approx(one, rel=0.005, abs=2_000), (name, side)
        assert found["import_element"] == granted.import_element


@pytest.mark.parametrize("rule", ["pro_rata_capacity", "last_in_first_off", "equal", "maximum_total"])
def test_all_nine_corners_hold_without_margins_by_every_rule(
    circuit: Circuit, elements: tuple[str, ...], rule: str
) -> None:
    asked = request(circuit, elements, 498, depot(), other())
    answer = live(circuit, ask(asked, rules={"": rule}))
    limits = {name: item["limit"] for name, item in answer["granted"].items()}
    # Regulators rest where they came from: the same way to the present state, then the corners with them at rest.
    circuit.start_afresh()
    _, base, _ = _state(circuit, asked, "export", 1.0)
    criteria = Criteria(circuit, CriteriaSettings()).only(elements)
    for signs in product((1, -1, 0), repeat=2):
        pair = [
            Injection(bus, ABC, float(sign * (limits[name].import_w if sign > 0 else limits[name].export_w)))
            for (name, bus), sign in zip((("depot", "250"), ("other", "66")), signs, strict=True)
        ]
        assert criteria.holds(circuit.solve(pair), base), (rule, signs)
    assert FIRM.within(limits["depot"]), "the firm floor always stands"


def test_mixed_corners_of_thirty_sites_on_single_phases_hold_without_margins(
    circuit: Circuit, elements: tuple[str, ...]
) -> None:
    """Some at import, some at export, some at nothing: unbalance and reversal that no uniform pattern shows."""
    generator = np.random.default_rng(5)
    buses = [bus for bus in circuit.buses.values() if bus.base_v > 2000.0 and bus.name not in circuit.source_bus]
    chosen = generator.choice(len(buses), 30, replace=False)
    sites = tuple(
        Site(
            f"s{n}",
            buses[at].name,
            (buses[at].phases[0],),
            0.0,
            0.0,
            NOTHING,
            Limit(80_000, 80_000),
            NOTHING,
            NOTHING,
            True,
        )
        for n, at in enumerate(chosen)
    )
    head_w = circuit.settle(300, load_scale=0.9).head_w
    asked = EnvelopeRequest(300, head_w, sites, CriteriaSettings(), elements, 0.03, 0.002)
    answer = live(circuit, ask(asked, rank=range(30)))
    limits = [answer["granted"][site.name]["limit"] for site in sites]
    assert answer["corners"] > 2
    assert sum(limit.import_w for limit in limits) > 100_000
    circuit.start_afresh()
    _, base, _ = _state(circuit, asked, "export", 1.0)
    criteria = Criteria(circuit, CriteriaSettings()).only(elements)
    for _ in range(60):
        signs = generator.integers(-1, 2, 30)
        corner = [
            Injection(site.bus, site.phases, float(sign * (limit.import_w if sign > 0 else limit.export_w)))
            for site, limit, sign in zip(sites, limits, signs, strict=True)
        ]
        assert criteria.holds(circuit.solve(corner), base), signs


def test_the_rule_of_the_element_that_binds_is_used(circuit: Circuit, elements: tuple[str, ...]) -> None:
    asked = request(circuit, elements, 498, depot(), other())
    even = live(circuit, ask(asked))["granted"]
    turn = live(circuit, ask(asked, rules={"line.section_149_1": "last_in_first_off"}))["granted"]
    assert even["other"]["limit"].import_w > 50_000
    assert turn["other"]["limit"].import_w == 0, "the last in the queue is the first off"
    assert turn["depot"]["limit"].import_w > even["depot"]["limit"].import_w


def test_more_meters_climb_to_wls_and_narrow_the_margin_which_is_shown_in_watts(
    circuit: Circuit, elements: tuple[str, ...]
) -> None:
    asked = request(circuit, elements, 300, depot(), other())
    state = circuit.settle(300, load_scale=0.9, injections=[Injection("250", ABC, DEPOT_W)])
    volts = {bus: float(state.v_pu[circuit.nodes.index(f"{bus}.1")]) for bus in ("250", "66")}
    metered = replace(asked, sites=(depot(v_pu=volts["250"]), other(v_pu=volts["66"])))
    head, wls = live(circuit, ask(asked)), live(circuit, ask(metered))
    assert (head["level"], wls["level"]) == ("head", "wls")
    assert 0.015 <= wls["thermal_margin"] < head["thermal_margin"] == 0.03
    assert 0 < wls["margin_w"][0] < head["margin_w"][0]
    liar = replace(asked, sites=(depot(v_pu=1.19), other(v_pu=volts["66"])))
    lied = live(circuit, ask(liar))["granted"]["depot"]["limit"]
    honest = wls["granted"]["depot"]["limit"]
    assert lied.import_w <= 1.02 * honest.import_w, "a lying voltmeter gives nobody more"


def test_without_a_head_the_studys_whole_band_is_kept_free(circuit: Circuit, elements: tuple[str, ...]) -> None:
    asked = request(circuit, elements, 300, depot(), other(), scale=1.0)
    known = live(circuit, ask(asked))
    blind = live(circuit, ask(replace(asked, head_w=float("nan"))))
    assert blind["level"] == "study"
    for name in ("depot", "other"):
        assert blind["granted"][name]["limit"].import_w < known["granted"][name]["limit"].import_w


def test_loads_far_from_the_study_are_no_state(circuit: Circuit, elements: tuple[str, ...]) -> None:
    asked = request(circuit, elements, 300, depot())
    with pytest.raises(NotConverged, match="times the study"):
        live(circuit, ask(asked, scale=(0.95, 2.5)))


def test_an_unknown_rule_is_refused(circuit: Circuit, elements: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="unknown sharing rule"):
        live(circuit, ask(request(circuit, elements, 300, depot()), rules={"": "mine"}))


def test_a_silent_site_keeps_its_reservation(circuit: Circuit, elements: tuple[str, ...]) -> None:
    asked = request(circuit, elements, 498, depot(), other())
    found = []
    for reserved in (Limit(0, 0), Limit(60_000, 0), Limit(120_000, 0)):
        silent = other(p_w=None, controllable=False, reserved=reserved)
        answer = live(circuit, ask(replace(asked, sites=(depot(), silent))))["granted"]
        assert set(answer) == {"depot"}, "it gets nothing"
        found.append(answer["depot"]["limit"].import_w)
    taken = [found[0] - found[1], found[1] - found[2]]
    assert taken == pytest.approx([60_000, 60_000], rel=0.1), "watt by watt what it may be doing is kept free"


def test_the_same_question_gives_the_same_bytes_in_another_process_whatever_was_asked_before(
    circuit: Circuit, elements: tuple[str, ...]
) -> None:
    questions = [ask(request(circuit, elements, hour, depot(v_pu=1.0), other())) for hour in (300, 498, 4000, 300)]
    with FeederProcess(TEXT) as one, FeederProcess(TEXT) as two:
        first = [canonical(one.call("live_envelope", item)) for item in questions]
        second = [canonical(two.call("live_envelope", item)) for item in reversed(questions)]
    assert first == second[::-1]
    assert first[0] == first[3]


def test_an_outlook_follows_the_studys_shapes_and_is_at_the_failsafe_where_nothing_is_known(
    circuit: Circuit, elements: tuple[str, ...]
) -> None:
    silent = other(p_w=None, controllable=False)
    asked = ask(request(circuit, elements, 490, depot(), silent))
    hours = [490, 498, 503, 300]
    found = outlook(circuit, {"question": asked, "load_scale": 1.0, "hours": hours})["hours"]
    assert [item["hour"] for item in found] == hours
    expected = [item["sites"]["depot"][0] for item in found]
    assert min(expected) == expected[1] >= FIRM.import_w, "498 is the tightest hour of the year"
    assert found[1]["sites"]["depot"][2:] == ["thermal", "line.section_149_1"]
    assert all(item["sites"]["other"][:3] == [0, 0, "failsafe"] for item in found)
    absurd = outlook(circuit, {"question": asked, "load_scale": 40.0, "hours": [498]})["hours"][0]
    assert absurd["sites"]["depot"][:3] == [*vars_of(FIRM), "failsafe"]


def vars_of(limit: Limit) -> tuple[int, int]:
    return limit.import_w, limit.export_w
