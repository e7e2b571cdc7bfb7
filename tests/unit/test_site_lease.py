"""The lease at the site: invariants 1, 2, 3 and 4 of the architecture."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from derms.limits import Limit
from telemetry.control.site_lease import SiteLease, Verdict

FAILSAFE = Limit(600_000, 900_000)
NAMEPLATE = Limit(3_000_000, 3_000_000)
HIGH = Limit(2_000_000, 2_000_000)


def site() -> SiteLease:
    return SiteLease(FAILSAFE, NAMEPLATE, longest_s=60)


def test_boot_is_failsafe() -> None:
    assert site().limit(now=0.0) == FAILSAFE
    assert site().in_failsafe(now=0.0)


def test_a_grant_holds_for_its_lease_and_not_one_moment_longer() -> None:
    lease = site()
    assert lease.offer(HIGH, epoch=1, sequence=1, ttl_s=60, stamp=100, now=101) is Verdict.ACCEPTED
    assert lease.limit(159.999) == HIGH
    assert lease.limit(160.0) == FAILSAFE


def test_a_late_grant_is_short_since_it_counts_from_the_stamp_it_answers() -> None:
    lease = site()
    assert lease.offer(HIGH, epoch=1, sequence=1, ttl_s=60, stamp=100, now=155) is Verdict.ACCEPTED
    assert lease.limit(161) == FAILSAFE
    assert lease.offer(HIGH, epoch=1, sequence=2, ttl_s=60, stamp=100, now=161) is Verdict.EXPIRED


def test_a_replayed_grant_is_refused() -> None:
    lease = site()
    lease.offer(HIGH, epoch=2, sequence=7, ttl_s=60, stamp=0, now=1)
    for epoch, sequence in [(2, 7), (2, 6), (1, 99)]:
        assert lease.offer(NAMEPLATE, epoch=epoch, sequence=sequence, ttl_s=60, stamp=1, now=2) is Verdict.OLD
    assert lease.limit(3) == HIGH


def test_a_stamp_that_the_site_never_gave_is_refused() -> None:
    lease = site()
    assert lease.offer(HIGH, epoch=1, sequence=1, ttl_s=60, stamp=50, now=10) is Verdict.FROM_THE_FUTURE
    assert lease.limit(10) == FAILSAFE


def test_above_the_nameplate_is_refused_and_changes_nothing() -> None:
    lease = site()
    too_high = Limit(3_000_001, 0)
    assert lease.offer(too_high, epoch=1, sequence=1, ttl_s=60, stamp=0, now=1) is Verdict.TOO_HIGH
    assert lease.limit(1) == FAILSAFE
    assert lease.offer(HIGH, epoch=1, sequence=1, ttl_s=60, stamp=1, now=2) is Verdict.ACCEPTED


def test_a_longer_lease_than_agreed_is_cut_to_the_agreed_one() -> None:
    lease = site()
    lease.offer(HIGH, epoch=1, sequence=1, ttl_s=86_400, stamp=0, now=0)
    assert lease.limit(59.9) == HIGH
    assert lease.limit(60) == FAILSAFE


def test_a_power_cycle_forgets_the_lease_but_not_the_order() -> None:
    before = site()
    before.offer(HIGH, epoch=3, sequence=9, ttl_s=60, stamp=0, now=0)
    after = SiteLease(FAILSAFE, NAMEPLATE, longest_s=60, order_floor=before.order_floor)
    assert after.limit(1) == FAILSAFE
    assert after.offer(HIGH, epoch=3, sequence=9, ttl_s=60, stamp=0, now=1) is Verdict.OLD


offers = st.tuples(
    st.builds(Limit, st.integers(0, 4_000_000), st.integers(0, 4_000_000)),
    st.integers(0, 3),
    st.integers(0, 20),
    st.floats(0.1, 120),
    st.floats(-50, 200),
    st.floats(0, 30),
)


@given(st.lists(offers, max_size=40))
def test_whatever_arrives_the_site_never_acts_on_an_old_limit(sequence: list[tuple]) -> None:
    lease, now, orders, ends = site(), 0.0, [(-1, -1)], -1.0
    for limit, epoch, number, ttl_s, stamp_ago, wait in sequence:
        now += wait
        stamp = now - stamp_ago
        if lease.offer(limit, epoch=epoch, sequence=number, ttl_s=ttl_s, stamp=stamp, now=now) is Verdict.ACCEPTED:
            orders.append((epoch, number))
            ends = stamp + min(ttl_s, 60)
        assert orders == sorted(set(orders)), "(epoch, sequence) only rises"
        in_force = lease.limit(now)
        assert in_force.within(NAMEPLATE)
        if now >= ends:
            assert in_force == FAILSAFE


@given(st.floats(0, 1e6), st.floats(0, 60), st.floats(0, 120))
def test_after_a_revocation_nothing_made_before_it_is_taken_however_late(at: float, before: float, after: float) -> None:
    lease = SiteLease(FAILSAFE, NAMEPLATE, longest_s=60.0)
    lease.offer(NAMEPLATE, epoch=1, sequence=1, ttl_s=60.0, stamp=at, now=at)
    lease.revoke(at)
    assert lease.limit(at) == FAILSAFE
    late = lease.offer(NAMEPLATE, epoch=9, sequence=9, ttl_s=1e9, stamp=at - before, now=at + after)
    assert late is not Verdict.ACCEPTED
    assert lease.limit(at + after) == FAILSAFE
