"""Bad telemetry never carries a raise: 100,000 generated values of every kind, and what happens after them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.control.grant import Quality, Reading
from telemetry.control.settings import ControlSettings
from telemetry.control.state import HeadReading
from telemetry.control.telemetry_quality import HELD, MEASURED, NONE, STUDY, HeadWatch, SiteWatch, Verdict
from tests.unit.terms import terms

SETTINGS = ControlSettings()
SITE_W = 800_000.0
KINDS = (
    "nan", "infinite", "factor", "sign", "spike", "stale", "future", "bad", "missing", "site lies", "reactive nan",
    "factor down",
)  # fmt: skip


class Feeder:
    """A feeder head with honest noise, one site behind it, and a fault now and then."""

    def __init__(self, seed: int = 0) -> None:
        self.noise = np.random.default_rng(seed)
        self.watch, self.now, self.load_w = HeadWatch(SETTINGS), 0.0, 3e6

    def honest(self) -> HeadReading:
        self.now += 10.0
        self.load_w *= 1.0 + 0.01 * self.noise.standard_normal()
        self.load_w = min(6e6, max(1.5e6, self.load_w))
        return HeadReading(self.now - 1.0, self.load_w + SITE_W, 0.3 * self.load_w)

    def judge(self, head: HeadReading | None, site_w: float = SITE_W) -> Verdict:
        return self.watch.judge(head, {"depot": site_w}, self.now)

    def calm(self, count: int = 4) -> Verdict:
        for _ in range(count):
            verdict = self.judge(self.honest())
        return verdict


def wounded(kind: str, good: HeadReading, size: float) -> tuple[HeadReading | None, float]:
    """Return a value with a fault (`size` in 0..1 says how bad), and what the site's meter says."""
    value = good.power_w
    if kind == "site lies":
        return good, SITE_W + (1.0 if size > 0.5 else -1.0) * (2.5 + size) * 1e6
    changed: HeadReading | None = {
        "nan": replace(good, power_w=math.nan),
        "infinite": replace(good, power_w=math.copysign(math.inf, size - 0.5)),
        "factor": replace(good, power_w=1000.0 * value),
        "factor down": replace(good, power_w=value / 1000.0),
        "sign": replace(good, power_w=-value),
        "spike": replace(good, power_w=value * (1.6 + 8.0 * size) if size > 0.4 else value * 0.6 * size),
        "stale": replace(good, received=good.received - 31.0 - 1e4 * size),
        "future": replace(good, received=good.received + 2.0 + 1e4 * size),
        "bad": replace(good, quality=Quality.BAD if size > 0.5 else Quality.SUSPECT),
        "missing": None,
        "reactive nan": replace(good, reactive_var=math.nan),
    }[kind]
    return changed, SITE_W


def test_100_000_bad_values_of_every_kind_carry_no_raise() -> None:
    feeder = Feeder()
    sizes = feeder.noise.random(100_000)
    raises = dict.fromkeys(KINDS, 0)
    for count, size in enumerate(sizes):
        kind = KINDS[count % len(KINDS)]
        verdict = feeder.judge(*wounded(kind, feeder.honest(), float(size)))
        raises[kind] += verdict.may_raise
        assert verdict.level != MEASURED, kind
        raises[kind] += feeder.judge(feeder.honest()).may_raise  # one clean value is not enough
        if count % 3 == 0:
            assert feeder.calm(3).may_raise, "the feeder must come back, or the test shows nothing"
    assert sum(raises.values()) == 0, raises


def test_honest_values_carry_raises_from_the_third_on() -> None:
    feeder = Feeder()
    assert [feeder.judge(feeder.honest()).may_raise for _ in range(4)] == [False, False, True, True]
    assert all(feeder.judge(feeder.honest()).may_raise for _ in range(2000)), "noise alone is no fault"


def test_the_sites_own_swing_is_no_fault() -> None:
    feeder = Feeder()
    feeder.calm()
    for swing in (3e6, -3e6, 0.0):
        good = feeder.honest()
        assert feeder.judge(replace(good, power_w=good.power_w + swing), SITE_W + swing).may_raise


def test_one_pair_of_head_and_site_that_were_not_read_in_the_same_instant_does_not_hold_up_all_that_follow() -> None:
    feeder = Feeder()
    feeder.calm()
    feeder.now += 70.0  # nothing was read for a while, so that more is allowed
    assert feeder.judge(feeder.honest(), SITE_W - 2.0e6).level == MEASURED
    assert feeder.judge(feeder.honest(), SITE_W).level == MEASURED, "the samples before that pair explain it"


def test_an_older_good_value_gives_a_step_no_more_room_than_the_newest() -> None:
    feeder = Feeder()
    feeder.calm(6)
    later = feeder.honest()
    assert feeder.judge(replace(later, power_w=1.33 * later.power_w)).level == HELD


def test_a_frozen_head_is_found_after_five_minutes() -> None:
    feeder = Feeder()
    feeder.calm()
    value = feeder.honest()
    seen = []
    for _ in range(32):
        feeder.now += 10.0
        seen.append(feeder.judge(replace(value, received=feeder.now - 1.0)))
    assert [verdict.level for verdict in seen[:29]] == [MEASURED] * 29
    assert seen[31].level == HELD
    assert not seen[31].may_raise


def test_levels_fall_one_after_the_other_and_come_back_after_three_clean_values() -> None:
    feeder = Feeder()
    feeder.calm()
    levels = []
    for _ in range(18):
        feeder.honest()
        levels.append(feeder.judge(None).level)
    assert levels[:2] == [HELD, HELD]
    assert levels[3:14] == [STUDY] * 11
    assert levels[-1] == NONE
    assert [feeder.judge(feeder.honest()).may_raise for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(("kind", "accepted"), [("spike", True), ("sign", False), ("factor", False)])
def test_a_step_that_stays_is_the_new_truth_after_five_minutes_unless_it_looks_like_a_meters_fault(
    kind: str, accepted: bool
) -> None:
    feeder = Feeder()
    feeder.calm()
    levels = []
    for _ in range(200):
        levels.append(feeder.judge(*wounded(kind, feeder.honest(), 0.41 if kind == "spike" else 0.5)).level)
    assert MEASURED not in levels[:28]
    if kind != "factor":
        assert levels[4:28] == [NONE] * 24, "an unknown topology: failsafe, not the study's loads"
    assert (MEASURED in levels[28:]) is accepted, "however long it stays"


def test_two_people_confirm_the_new_state_at_once() -> None:
    feeder = Feeder()
    feeder.calm()
    step = [replace(good, power_w=2.2 * good.power_w) for good in (feeder.honest() for _ in range(4))]
    assert feeder.watch.judge(step[0], {"depot": SITE_W}, step[0].received + 1).level == HELD
    feeder.watch.confirm()
    found = [feeder.watch.judge(value, {"depot": SITE_W}, value.received + 1) for value in step[1:]]
    assert [item.level for item in found] == [MEASURED] * 3
    assert found[-1].may_raise


def reading(**changes: object) -> Reading:
    return replace(Reading("depot", 100.0, 500_000.0, 10.0, 1.01, energy_wh=1e6, stamp=5.0), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"power_w": math.nan}, {"power_w": math.inf}, {"reactive_var": math.nan}, {"voltage_pu": math.nan},
        {"power_w": 5e8}, {"power_w": -5e8}, {"received": 101.0}, {"stamp": math.inf},
    ],
)  # fmt: skip
def test_a_sites_impossible_value_is_bad(changes: dict[str, object]) -> None:
    judged = SiteWatch(SETTINGS).judge(reading(**changes), terms(), 100.5)
    assert judged is not None
    assert judged.quality is Quality.BAD


def test_a_sites_frozen_meter_is_suspect_and_one_at_rest_is_not() -> None:
    watch, rest = SiteWatch(SETTINGS), SiteWatch(SETTINGS)
    for second in range(0, 400, 10):
        now = float(second)
        frozen = watch.judge(reading(received=now, stamp=now), terms(), now)
        still = rest.judge(reading(received=now, stamp=now, power_w=0.0), terms(), now)
    assert frozen is not None
    assert still is not None
    assert (frozen.quality, still.quality) == (Quality.SUSPECT, Quality.GOOD)
    moved = watch.judge(reading(received=400.0, voltage_pu=1.0101), terms(), 400.0)
    assert moved is not None
    assert moved.quality is Quality.GOOD


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.floats(allow_nan=True, allow_infinity=True), st.floats(-1e4, 1e4), st.sampled_from(list(Quality))),
        max_size=12,
    )
)
def test_whatever_comes_only_three_lawful_values_in_a_row_carry_a_raise(
    values: list[tuple[float, float, Quality]],
) -> None:
    """Arbitrary floats, ages and qualities from the start, where there is nothing yet to compare with."""
    watch, now, clean = HeadWatch(SETTINGS), 1000.0, 0
    for power, age, quality in values:
        now += 10.0
        verdict = watch.judge(HeadReading(now - age, power, 0.0, quality=quality), {}, now)
        lawful = (
            quality is Quality.GOOD
            and math.isfinite(power)
            and 0 <= now - (now - age) <= 30
            and abs(power) <= SETTINGS.most_head_w
        )
        clean = clean + 1 if lawful else 0
        if verdict.may_raise:
            assert clean >= 3
            assert verdict.head is not None
