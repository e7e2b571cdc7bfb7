"""Envelopes on the shipped feeder: feasible together at every corner, firm floor, nothing raised into what is reserved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derms.errors import NotConverged
from derms.feeders import shipped
from derms.grid.certificate import certificate
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.dss_text import read_model
from derms.grid.envelope import EnvelopeRequest, Site, envelope
from derms.grid.opendss import Circuit, Injection
from derms.grid.plant import participants
from derms.limits import NOTHING, Limit

ABC = (1, 2, 3)
FIRM, FULL = Limit(470_000, 86_000), Limit(1_500_000, 1_500_000)


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return Circuit.compile(read_model(shipped()["ieee123"]).text)


@pytest.fixture(scope="module")
def elements(circuit: Circuit) -> tuple[str, ...]:
    places = [["250", [1, 2, 3], 150e3], ["66", [1, 2, 3], 150e3]]
    return tuple(participants(circuit, {"sites": places})["elements"])


def ask(circuit: Circuit, elements: tuple[str, ...], hour: int, *sites: Site, scale: float = 1.0) -> EnvelopeRequest:
    known = [Injection(site.bus, site.phases, site.p_w or 0.0) for site in sites]
    head = circuit.settle(hour, load_scale=scale, injections=known).head_w
    return EnvelopeRequest(hour, head, sites, CriteriaSettings(), elements, 0.03, 0.002)


def depot(**changes: object) -> Site:
    return replace(Site("depot", "250", ABC, 400_000.0, 0.0, FIRM, FULL, FULL, FULL, True), **changes)  # type: ignore[arg-type]


def other(**changes: object) -> Site:
    half = Limit(700_000, 700_000)
    return replace(Site("other", "66", ABC, 0.0, 0.0, NOTHING, half, half, half, True), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("hour", [3, 60, 497, 498, 5000])
def test_what_is_granted_is_feasible_together_and_holds_the_firm_floor(
    circuit: Circuit, elements: tuple[str, ...], hour: int
) -> None:
    request = ask(circuit, elements, hour, depot(), other())
    answer = envelope(circuit, request)
    limits = {name: item.limit for name, item in answer.granted.items()}
    assert FIRM.within(limits["depot"])
    assert limits["depot"].within(FULL)
    criteria = Criteria(circuit, CriteriaSettings()).only(elements)
    base = circuit.settle(hour, load_scale=answer.load_scale)
    circuit.settle(hour, load_scale=answer.load_scale, injections=[Injection("250", ABC, 400_000.0)])
    if limits["depot"] == FIRM:
        return
    for first in (1, -1, 0):
        for second in (1, -1, 0):
            pair = []
            for (name, bus), sign in zip((("depot", "250"), ("other", "66")), (first, second), strict=True):
                box = limits[name]
                pair.append(Injection(bus, ABC, sign * (box.import_w if sign > 0 else box.export_w) if sign else 0.0))
            assert criteria.holds(circuit.solve(pair), base), (
                hour,
                first,
                second,
                criteria.worst(circuit.solve(pair), base),
            )


def test_the_head_measurement_finds_the_load_level(circuit: Circuit, elements: tuple[str, ...]) -> None:
    answer = envelope(circuit, ask(circuit, elements, 300, depot(), scale=0.83))
    assert answer.load_scale == pytest.approx(0.83, abs=0.002)


def test_a_head_that_no_load_explains_is_not_an_envelope(circuit: Circuit, elements: tuple[str, ...]) -> None:
    request = ask(circuit, elements, 300, depot())
    for head_w in (-5e7, 5e7):
        with pytest.raises(NotConverged):
            envelope(circuit, replace(request, head_w=head_w))


def test_a_silent_site_keeps_its_reservation_and_gets_nothing(circuit: Circuit, elements: tuple[str, ...]) -> None:
    heard = envelope(circuit, ask(circuit, elements, 498, depot(), other())).granted["depot"].limit
    silent = other(p_w=None, controllable=False, reserved=Limit(400_000, 400_000))
    answer = envelope(circuit, ask(circuit, elements, 498, depot(), silent))
    assert set(answer.granted) == {"depot"}
    assert answer.granted["depot"].limit.import_w <= heard.import_w


def test_nobody_is_raised_into_room_that_another_may_still_be_using(circuit: Circuit, elements: tuple[str, ...]) -> None:
    low = depot(in_force=FIRM, reserved=FIRM)
    late = other(p_w=None, controllable=False, reserved=Limit(700_000, 700_000))
    free = envelope(circuit, ask(circuit, elements, 490, low, other(reserved=NOTHING, in_force=NOTHING)))
    held = envelope(circuit, ask(circuit, elements, 490, low, late))
    assert held.granted["depot"].limit.import_w <= free.granted["depot"].limit.import_w


def test_the_failsafe_certificate_holds_for_the_firm_limit_and_not_for_more(
    circuit: Circuit, elements: tuple[str, ...]
) -> None:
    """Invariant 11: the sum of failsafe limits is feasible in every hour."""
    site = ["250", [1, 2, 3], 474_400, 86_600]
    assert certificate(circuit, {"sites": [site], "elements": elements}) == {"holds": True, "hours": 8760}
    broken = certificate(circuit, {"sites": [site, ["66", [1, 2, 3], 50_000, 0]], "elements": elements})
    assert (broken["holds"], broken["side"], broken["criterion"]) == (False, "import", "thermal")
