"""SCADA's point map and its values: stable places, no overlap, never a frozen number that looks good."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from derms.errors import InputError
from telemetry.protocols.dnp3 import scada_points as p
from telemetry.protocols.dnp3.quiet import AT_MOST, Sparing
from telemetry.protocols.dnp3.scada_state import FeederState, Head, House, ScadaLimit, SiteState, values

no_deadline = hypothesis_settings(deadline=None)  # no time in a test

FEEDERS = [p.Subject("north", 0, 2000.0, 1750.0), p.Subject("south", 3, 800.0, 0.0)]
SITES = [p.Subject("depot", 0, 1500.0, 1500.0), p.Subject("work", 7, 500.0, 250.0), p.Subject("mall", 2, 800.0, 0.0)]
POINTS = p.point_map(FEEDERS, SITES)


def site(name: str = "depot", **more: object) -> SiteState:
    facts: dict = {"heard": True, "silent_s": 2.0, "in_failsafe": False, "stage": "obeys", "power_kw": 200.0,
                   "import_limit_kw": 300.0, "export_limit_kw": 100.0, "charge_percent": 50.0,
                   "available_import_kw": 250.0, "available_export_kw": 80.0, "energy_kwh": 500.0}  # fmt: skip
    return SiteState(name, **(facts | more))


def house(age_s: float | None = 4.0, sites: tuple[SiteState, ...] = (site(),), **more: object) -> House:
    feeder = FeederState("north", age_s, 1_000, "automatic", 2345.6, -78.9, 1.031, 71.0, sites)
    return House(True, 12, feeders={"north": feeder}, **more)  # type: ignore[arg-type]


def told(key: str, made: House, scope: str = p.FEEDER, name: str = "north", kind: str = "AI"):
    point = next(x for x in POINTS if (x.scope, x.subject, x.key, x.kind) == (scope, name, key, kind))
    return values(POINTS, made).get(point.address)


def test_no_two_points_share_an_index_and_every_output_has_a_mirror_of_its_unit() -> None:
    addresses = [point.address for point in POINTS]
    assert len(set(addresses)) == len(addresses)
    by_address = {point.address: point for point in POINTS}
    for point in POINTS:
        assert point.index <= p.LAST_INDEX
        if point.kind in ("AO", "BO"):
            assert point.mirror is not None
            mirror = by_address[point.mirror]
            assert (mirror.scope, mirror.subject, mirror.units, mirror.scale) == (
                point.scope, point.subject, point.units, point.scale,
            )  # fmt: skip
            assert point.kind == "BO" or (point.least is not None and point.most is not None), "an output has a range"


@no_deadline
@given(st.sets(st.integers(0, p.MOST_SITES - 1), min_size=1, max_size=20), st.data())
def test_an_index_depends_on_the_slot_alone_whoever_comes_or_goes(slots: set[int], data: st.DataObject) -> None:
    everyone = [p.Subject(f"s{slot}", slot, 10.0, 10.0) for slot in slots]
    some = data.draw(st.lists(st.sampled_from(everyone), unique=True))
    full = {(point.subject, point.kind, point.key): point.index for point in p.point_map([], everyone)}
    for point in p.point_map([], some):
        assert full[(point.subject, point.kind, point.key)] == point.index


def test_the_first_and_the_last_slot_fit_beside_their_neighbours_blocks() -> None:
    last = p.point_map([p.Subject("f", p.MOST_FEEDERS - 1, 1.0, 1.0)], [p.Subject("s", p.MOST_SITES - 1, 1.0, 1.0)])
    assert max(point.index for point in last if point.scope == p.FEEDER) < p.SITES_AT
    assert max(point.index for point in last) <= p.LAST_INDEX
    assert max(item.offset for item in p.FEEDER_TABLE) < p.FEEDER_WIDTH
    assert max(item.offset for item in p.SITE_TABLE) < p.SITE_WIDTH
    assert max(item.offset for item in p.SYSTEM_TABLE) < p.FEEDERS_AT


@pytest.mark.parametrize("slot", [-1, p.MOST_SITES])
def test_a_slot_outside_the_block_is_refused(slot: int) -> None:
    with pytest.raises(InputError):
        p.point_map([], [p.Subject("s", slot, 1.0, 1.0)])


def test_one_slot_for_two_is_refused() -> None:
    with pytest.raises(InputError, match="belongs to a"):
        p.point_map([], [p.Subject("a", 1, 1.0, 1.0), p.Subject("b", 1, 1.0, 1.0)])


def test_a_feeder_shows_what_the_last_cycle_saw() -> None:
    made = house()
    expected = {"p": 2345.6, "q": -78.9, "import_limit": 300.0, "export_limit": 100.0, "voltage": 1.031, "loading": 71.0}
    assert {key: told(key, made).value for key in expected} == expected
    assert told("mode", made).value == 3.0
    assert told("import_headroom", made).value == 100.0
    assert told("export_headroom", made).value == 300.0
    assert told("flex_import", made).value == 50.0, "what the vehicles can take bounds it, not the limit"
    assert told("flex_export", made).value == 280.0
    assert told("flex_import_kwh", made).value == told("flex_export_kwh", made).value == 500.0
    assert told("p", made).at_ms == 1_000


@no_deadline
@given(st.floats(0, 1e6), st.booleans())
def test_stale_or_silent_is_never_good_and_keeps_its_last_number(age_s: float, heard: bool) -> None:
    made = house(age_s, (site(heard=heard),))
    found = values(POINTS, made)
    for point in POINTS:
        value = found.get(point.address)
        if value is None or point.key in ("age", "stale", "heard") or point.scope == p.SYSTEM:
            continue
        ours = point.key in ("failsafe", "limited", "scada_import", "scada_export", "scada_left", "trip")
        if point.subject == "north" and not ours:
            known = heard or not point.key.endswith("_kwh")  # nobody heard: nobody's energy is known
            assert value.good == (age_s <= 30.0 and known), point.name
        if point.subject == "depot" and not ours:
            assert value.good == (age_s <= 30.0 and (heard or point.key == "locked")), point.name
    assert told("stale", made, kind="BI").value == float(age_s > 30.0)
    assert told("p", made).value == 2345.6


def test_a_feeder_without_a_cycle_says_nothing_but_its_age() -> None:
    made = house(None)
    assert told("p", made) is None
    assert told("age", made).value == 32_767.0
    assert told("stale", made, p.SYSTEM, "DERMS", "BI").value == 1.0


def test_the_mirror_shows_the_limit_in_force_and_the_maximum_when_there_is_none() -> None:
    made = house(feeder_limits={"north": ScadaLimit(import_kw=420.5, left_s=17.9)})
    assert told("scada_import", made).value == 420.5
    assert told("scada_export", made).value == 1750.0
    assert told("scada_left", made).value == 17.0
    assert told("limited", made, kind="BI").value == 1.0
    assert told("limited", made, p.FEEDER, "south", "BI").value == 0.0


def test_an_old_head_measurement_is_not_good() -> None:
    assert told("head_p", house(heads={"north": Head(1.0, 2.0, 30.0, 5)})).good
    assert not told("head_p", house(heads={"north": Head(1.0, 2.0, 30.1, 5)})).good
    assert told("head_p", house()) is None


def test_a_violation_is_an_alarm_and_an_unknown_estimate_is_not_good() -> None:
    made = house()
    over = replace(made, feeders={"north": replace(made.feeders["north"], loading_percent=100.1)})
    low = replace(made, feeders={"north": replace(made.feeders["north"], voltage_pu=0.949)})
    blind = replace(made, feeders={"north": replace(made.feeders["north"], loading_percent=None)})
    assert told("violated", made, kind="BI").value == 0.0
    assert told("violated", over, kind="BI").value == told("violated", low, kind="BI").value == 1.0
    assert not told("violated", blind, kind="BI").good


def test_a_flood_of_log_lines_becomes_a_few_and_a_count() -> None:
    import logging

    now = [0.0]
    sparing = Sparing(lambda: now[0])

    def line() -> logging.LogRecord:
        return logging.LogRecord("py1815", logging.WARNING, "x.py", 7, "bad frame from %s", ("peer",), None)

    assert sum(sparing.filter(line()) for _ in range(1000)) == AT_MOST
    now[0] = 61.0
    last = line()
    assert sparing.filter(last)
    assert "and 995 more" in last.getMessage()
