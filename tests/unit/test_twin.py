"""The twin's site: it never breaks its limit, energy is conserved, and only the defective variant holds its last limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease
from telemetry.twin.fleet import depot_night
from telemetry.twin.site_controller import HoldsLastLimit, SiteController
from telemetry.twin.vehicle import ChargerType, into_battery_w, most_charge_w

NAMEPLATE, FAILSAFE = Limit(3_000_000, 3_000_000), Limit(600_000, 900_000)
KIND = ChargerType()


def site(kind: type[SiteController] = SiteController) -> SiteController:
    return kind("depot", NAMEPLATE, SiteLease(FAILSAFE, NAMEPLATE, longest_s=60), depot_night(50), KIND)


def test_the_converter_and_battery_give_the_published_round_trip() -> None:
    for share, expected in ((1.0, 0.873), (0.5, 0.878), (0.25, 0.860)):
        power = np.array([60_000.0 * share])
        stored = into_battery_w(power, 60_000.0)[0]
        low, high = 0.0, 60_000.0
        for _ in range(60):  # the mains power that a discharge of the same cell power gives
            middle = (low + high) / 2
            drawn = -into_battery_w(np.array([-middle]), 60_000.0)[0]
            low, high = (middle, high) if drawn < stored else (low, middle)
        assert low / power[0] == pytest.approx(expected, abs=0.005)


@given(st.floats(0.0, 1.0))
def test_charging_tapers_and_ends_at_full(state: float) -> None:
    most = most_charge_w(np.array([state]), KIND)[0]
    assert 0 <= most <= KIND.rated_w
    assert most == KIND.rated_w or state > 0.8


limits = st.one_of(st.none(), st.integers(0, 3_000_000))


@settings(max_examples=30, deadline=None)
@given(st.lists(limits, min_size=20, max_size=60), st.integers(4, 8))
def test_the_pcc_is_within_the_limit_one_step_after_any_change(sequence: list[int | None], start_hour: int) -> None:
    depot, now = site(), start_hour * 3600.0
    depot.step(now, 1.0)
    before = depot.limit_in_force().import_w
    for number, import_w in enumerate(sequence):
        if import_w is not None:
            depot.lease.offer(Limit(import_w, 0), epoch=1, sequence=number, ttl_s=60, stamp=now, now=now)
        now += 10.0
        delivered, stored = depot.tally.delivered_wh, float(depot.state.sum())
        depot.step(now, 1.0)
        allowed = depot.limit_in_force().import_w
        if allowed == before:
            assert depot.power_w() <= allowed
        before = allowed
        assert (depot.state >= 0).all()
        assert (depot.state <= 1).all()
        gained = (depot.state.sum() - stored) * KIND.battery_wh
        assert gained <= depot.tally.delivered_wh - delivered + 1e-6


def test_without_a_grant_the_site_lives_within_its_failsafe_and_reports_what_is_short() -> None:
    depot, now = site(), 0.0
    while now < 19 * 3600:
        now += 30.0
        depot.step(now, 1.0)
        assert depot.power_w() <= FAILSAFE.import_w
    assert depot.tally.late > 0
    assert depot.tally.short_wh > 100_000


def test_only_the_defective_site_keeps_its_last_limit_when_the_lease_is_over() -> None:
    for kind, expected in ((SiteController, FAILSAFE), (HoldsLastLimit, Limit(2_000_000, 0))):
        depot = site(kind)
        depot.lease.offer(Limit(2_000_000, 0), epoch=1, sequence=1, ttl_s=60, stamp=0.0, now=0.0)
        depot.step(30.0, 1.0)
        assert depot.limit_in_force() == Limit(2_000_000, 0)
        depot.step(61.0, 1.0)
        assert depot.limit_in_force() == expected
