"""IEEE 2030.5 codec, XML and event rules: nothing loosened, nothing hostile taken, order of the schema kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.errors import InputError
from derms.limits import Limit
from telemetry.protocols.ieee2030_5 import codec, events, xml
from telemetry.protocols.ieee2030_5.events import Times
from telemetry.protocols.ieee2030_5.resources import base
from telemetry.protocols.ieee2030_5.schema import SCHEMA

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"


def test_sfdi_and_pin_are_those_of_the_standard() -> None:
    assert codec.sfdi_of(LFDI) == 167261211391  # the example of 2030.5-2018 6.3.3
    assert codec.pin_of(11111) == 111115
    assert sum(map(int, str(codec.sfdi_of(LFDI)))) % 10 == 0


@pytest.mark.parametrize("text", ["", "ZZZZZZZZZZZZZZZZ", LFDI[:-1], LFDI + "0", LFDI[:-1] + "٣"])
def test_what_is_no_lfdi_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        codec.checked_lfdi(text)


def test_an_mrid_ends_in_the_pen_in_decimal() -> None:
    made = codec.mrid_of("derc", 7, 40732)
    assert len(made) == 32 and made.endswith("00040732") and made == made.upper()


@given(st.integers(0, 2_000_000_000), st.integers(0, 2_000_000_000))
def test_a_limit_is_never_looser_on_the_wire(import_w: int, export_w: int) -> None:
    limit = Limit(import_w, export_w)
    sent = base(dict(codec.control_base(limit)))
    assert all(-32768 <= power["value"] <= 32767 for power in sent.values())
    heard = codec.limit_of(sent)
    assert heard.within(limit)
    assert import_w - heard.import_w <= import_w / 3276 and export_w - heard.export_w <= export_w / 3276


def _tokens(kind: str) -> st.SearchStrategy:
    if kind in SCHEMA:
        made = {}
        for field in xml.fields(kind):
            if field.kind == "any" or (field.extension and kind == "ConnectionPoint"):
                continue
            value = st.lists(_tokens(field.kind), min_size=1, max_size=2) if field.many else _tokens(field.kind)
            made[field.name] = st.none() | value if field.optional else value
        return st.fixed_dictionaries(made).map(lambda found: {k: v for k, v in found.items() if v is not None})
    if kind == "bool":
        return st.booleans()
    if kind[0] in "iu" and kind[1:].isdigit():
        bits = int(kind[1:])
        return st.integers(0, (1 << bits) - 1) if kind[0] == "u" else st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
    if kind[0] == "h":
        return st.text("0123456789ABCDEF", min_size=1, max_size=int(kind[1:]))
    if kind == "uri":
        return st.just("https://example.org/a?b=1&c=<2>")
    letters = st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc", "Cs", "Z"])
    return st.text(letters, min_size=1, max_size=int(kind[1:] or 8))


READ = ("DERSettings", "DERStatus", "DERCapability", "MirrorUsagePoint", "Subscription", "LogEvent", "DERControlResponse",
        "FlowReservationRequest", "EndDevice", "ConnectionPoint")  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_what_is_written_is_read_back(kind: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(_tokens(kind))
    def check(value: dict) -> None:
        assert xml.parse(xml.document(kind, value, xml.CSIP_AUS_13).encode(), kind) == (kind, value)

    check()


HOSTILE = [
    b"",
    b"<",
    b"<a/>",
    b'<!DOCTYPE LogEvent [<!ENTITY x "y">]><LogEvent xmlns="urn:ieee:std:2030.5:ns">&x;</LogEvent>',
    b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x"><LogEvent xmlns="urn:ieee:std:2030.5:ns"/>',
    b'<LogEvent xmlns="urn:other"/>',
    b"<a>" * 3000,
    b" " * (xml.LARGEST_BODY + 1),
    b'<Subscription xmlns="urn:ieee:std:2030.5:ns"/>',
]


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        xml.parse(body, "LogEvent")


@given(st.binary(max_size=200))
def test_any_octets_are_an_input_error_at_most(body: bytes) -> None:
    with pytest.raises(InputError):
        xml.parse(body, "LogEvent", "MirrorUsagePoint")


@pytest.mark.parametrize("number", ["1_000", "٣", "true", "1e3", "0x10", "", "99999999999999999999", "3.0"])
def test_numbers_are_plain_and_in_range(number: str) -> None:
    body = f'<DERSettings xmlns="{xml.SEP}"><setGradW>{number}</setGradW></DERSettings>'
    with pytest.raises(InputError):
        xml.parse(body.encode(), "DERSettings")


def test_plain_csip_carries_no_element_of_csip_aus() -> None:
    value = {"DERControlBase": base({"opModImpLimW": 5, "opModConnect": True}), "mRID": "AB"}
    assert "csipaus" not in (plain := xml.document("DefaultDERControl", value, xml.CSIP))
    assert "ImpLim" not in plain and "<opModConnect>true" in plain
    assert 'xmlns:c="https://csipaus.org/ns/v1.3"' in xml.document("DefaultDERControl", value, xml.CSIP_AUS_13)


def test_the_life_of_a_control() -> None:
    times = Times(start=100, duration=50, creation=90)
    assert [events.status(times, now)[0] for now in (95, 100, 149)] == [0, 1, 1]
    assert events.listed(times, 149) and not events.listed(times, 150)
    assert events.status(Times(100, 50, 90, cancelled=95), 120) == (2, 95)
    assert events.status(Times(100, 50, 90, cancelled=95, randomized=True), 120) == (3, 95)
    superseded = Times(100, 50, 90, cancelled=130, superseded=120)
    assert [events.status(superseded, now)[0] for now in (121, 140)] == [4, 4]
    assert events.next_creation(90, 80) == 91
