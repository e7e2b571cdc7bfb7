"""The utility server's pure parts: templates equal the writer, promises within the agreement, certificates, remembering."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.errors import InputError
from telemetry.protocols.ieee2030_5 import certificates, fragments, resources, xml
from telemetry.protocols.ieee2030_5.directory import RememberingDirectory
from telemetry.protocols.ieee2030_5.events import Times
from telemetry.protocols.ieee2030_5.reservations import Ask, Offer, busiest, offer
from telemetry.protocols.ieee2030_5.server import proxied

MODES = st.fixed_dictionaries(
    {},
    optional={
        "opModImpLimW": st.integers(0, 2_000_000_000),
        "opModExpLimW": st.integers(0, 2_000_000_000),
        "opModStorageTargetW": st.integers(-2_000_000_000, 2_000_000_000),
        "opModConnect": st.booleans(),
        "opModFixedW": st.integers(-10_000, 10_000),
        "rampTms": st.integers(0, 65_535),
        "opModVoltVar": st.just("/edev/1/derp/2/dc/3"),
    },
).filter(bool)


@settings(max_examples=300, deadline=None)
@given(
    modes=MODES, start=st.integers(0, 10_000), duration=st.integers(1, 5_000), creation=st.integers(0, 10_000),
    cancelled=st.none() | st.integers(0, 15_000), superseded=st.none() | st.integers(0, 15_000),
    randomize=st.tuples(*[st.none() | st.integers(-3600, 3600)] * 2), now=st.integers(0, 16_000),
    profile=st.sampled_from(xml.PROFILES),
)  # fmt: skip
def test_a_templated_control_is_what_the_writer_writes(
    modes, start, duration, creation, cancelled, superseded, randomize, now, profile
) -> None:
    times = Times(start, duration, creation, cancelled, superseded, randomize != (None, None))
    row = SimpleNamespace(
        pk=5, mrid="AB" * 16, start=start, duration=duration, creation=creation, superseded=superseded, modes=modes,
        randomize_start=randomize[0], randomize_duration=randomize[1], device_id=1, program_id=2, times=times,
    )  # fmt: skip
    words = None
    if not profile.csipaus:
        row.modes = resources.plain(modes, 60_000.0)

        def words(held: dict) -> dict:
            return resources.plain(held, 60_000.0)

    values = (5, row.mrid, start, duration, creation, cancelled, superseded, *randomize, json.dumps(modes))
    root = f"{profile.prefix}/edev/1"
    made = fragments.control(values, f"{root}/derp/2/derc", f"{root}/rsps/1/rsp", now, profile, words)
    assert made == xml.write("DERControl", resources.control(row, now), profile)
    whole = xml.document(
        "DERControlList",
        {"href": "/edev/1/derp/2/derc", "subscribable": 1, "all": 1, "results": 1,
         "DERControl": [resources.control(row, now)]}, profile,
    )  # fmt: skip
    assert fragments.control_list("DERControlList", f"{root}/derp/2/derc", [made], 1, profile) == whole


ASKS = st.builds(
    Ask,
    st.integers(-200_000, 200_000).filter(bool),
    st.floats(1, 200_000),
    st.integers(0, 50_000),
    st.integers(50_001, 90_000),
)


@settings(max_examples=300, deadline=None)
@given(asks=st.lists(ASKS, min_size=1, max_size=6), firm=st.integers(0, 150_000), now=st.integers(0, 60_000))
def test_promises_together_never_exceed_what_the_agreement_always_gives(asks: list[Ask], firm: int, now: int) -> None:
    taken: list[Offer] = []
    for ask in asks:
        found = offer(ask, firm, taken, now)
        assert abs(found.energy_wh) <= abs(ask.energy_wh) and found.power_w <= min(ask.power_w, firm)
        assert found.energy_wh == 0 or (found.energy_wh > 0) == (ask.energy_wh > 0)
        if found.power_w:
            assert ask.start <= found.start and found.end <= ask.end and found.start >= now
            assert abs(found.energy_wh) <= found.power_w * found.duration / 3600
        taken.append(found)
        assert busiest(taken, 0, 200_000) <= firm


def test_a_vehicle_that_asks_in_time_is_promised_its_energy() -> None:
    assert offer(Ask(40_000, 20_000, 0, 28_800), 60_000, [], 0) == Offer(20_000, 40_000, 0, 7_200)
    second = offer(Ask(40_000, 60_000, 0, 28_800), 60_000, [Offer(20_000, 40_000, 0, 7_200)], 0)
    assert second.energy_wh == 40_000 and second.power_w == 40_000
    assert offer(Ask(40_000, 20_000, 0, 28_800), 0, [], 0).energy_wh == 0


@pytest.mark.parametrize(
    ("days", "step"), [(91, None), (90, 90), (31, 90), (30, 30), (8, 30), (7, 7), (2, 7), (1, 1), (0.1, 1), (0, 0), (-5, 0)]
)
def test_the_steps_of_a_certificate_alarm(days: float, step: int | None) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert certificates.warning(now + timedelta(days=days), now) == step


def test_what_is_no_certificate_is_an_input_error_or_nothing() -> None:
    for text in ("", "ZZ", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"):
        with pytest.raises(InputError):
            certificates.read_identity(text)
    with pytest.raises(InputError):
        certificates.facts(b"\x30\x00")
    assert proxied(b"") == proxied(b"%2D%2D") == proxied(b"\xff\xfe") == b""


def test_who_is_welcome_is_remembered_for_minutes_who_is_not_for_seconds_and_a_revoked_one_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, asked = [0.0], []
    held = RememberingDirectory(monotonic=lambda: clock[0])
    rows = {"A": SimpleNamespace(granted=True), "R": SimpleNamespace(granted=False)}
    monkeypatch.setattr(held._fresh, "identity", lambda lfdi: (asked.append(lfdi), rows.get(lfdi))[1])
    for moment in (0.0, 9.9, 10.0, 299.0):
        clock[0] = moment
        for lfdi in ("A", "R", "unknown"):
            held.identity(lfdi)
    assert asked.count("A") == 1 and asked.count("R") == asked.count("unknown") == 3
    held.refuse(["A"])
    held.identity("A")
    assert asked.count("A") == 2
    clock[0] = 700.0
    held.identity("A")
    held.forget()
    held.identity("A")
    assert asked.count("A") == 4
