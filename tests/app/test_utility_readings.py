"""Readings over the wire: all or nothing, the newest counts, another's stream is missing; the same on each database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry import hot_statements as hot
from telemetry import utility_meters as meters
from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import xml
from telemetry.protocols.ieee2030_5.handlers import Request, handle
from telemetry.utility_models import MeterStream, MeterValue, UsagePoint, WireIdentity

pytestmark = pytest.mark.django_db
NOW = 1_800_000_000
ONE, TWO, AGGREGATOR = "1" * 32 + "00012345", "2" * 32 + "00012345", "A" * 32 + "00012345"


def post(path: str, kind: str, content: dict[str, Any], lfdi: str = ONE) -> int:
    body = xml.document(kind, content).encode()
    return handle(Request("POST", path, lfdi, datetime.fromtimestamp(NOW, UTC), "", body)).status


def batch(*items: tuple[str, int, int]) -> dict[str, Any]:
    rows = [
        {"mRID": mrid * 32, "Reading": {"value": value, "timePeriod": {"start": start, "duration": 60}}}
        for mrid, start, value in items
    ]
    return {"all": len(rows), "results": len(rows), "MirrorMeterReading": rows}


def point(letter: str, streams: str, lfdi: str = ONE, who: str = "") -> str:
    kinds = [{"mRID": name * 32, "ReadingType": {"uom": 38}} for name in streams]
    content = {"mRID": letter * 32, "roleFlags": "03", "serviceCategoryKind": 0, "status": 1, "deviceLFDI": lfdi,
               "MirrorMeterReading": kinds}  # fmt: skip
    assert post("/mup", "MirrorUsagePoint", content, who or lfdi) == 201
    return f"/mup/{UsagePoint.objects.get(mrid=letter * 32).pk}"


@pytest.fixture
def places() -> tuple[str, str]:
    for lfdi in (ONE, TWO):
        services.register_device(lfdi, aggregator=None, now=NOW, site="")
    return point("B", "AC"), point("E", "D", TWO)


def values() -> list[tuple[str, int, int]]:
    return sorted(MeterValue.objects.values_list("stream__mrid", "start", "value"))


def test_the_same_stream_and_start_is_an_update_and_the_newest_counts(places: tuple[str, str]) -> None:
    assert post(places[0], "MirrorMeterReadingList", batch(("A", NOW, 1), ("A", NOW, 2), ("a", NOW - 60, 7))) == 201
    assert values() == [("A" * 32, NOW - 60, 7), ("A" * 32, NOW, 2)]
    assert post(places[0], "MirrorMeterReadingList", batch(("A", NOW, 3), ("C", NOW, 4))) == 201
    assert values() == [("A" * 32, NOW - 60, 7), ("A" * 32, NOW, 3), ("C" * 32, NOW, 4)]
    assert post(places[0], "MirrorMeterReadingList", batch(("A", NOW - 600, 9))) == 201
    newest = MeterStream.objects.get(mrid="A" * 32)
    assert (newest.last_value, newest.last_start) == (3, NOW), "an old reading sent late is kept, and is not the newest"


def test_a_batch_with_an_unknown_or_a_foreign_stream_stores_nothing(places: tuple[str, str]) -> None:
    for stranger in ("F", "D"):  # nobody's; the other device's
        assert post(places[0], "MirrorMeterReadingList", batch(("A", NOW, 1), (stranger, NOW, 1))) == 404
    assert values() == []


def test_anothers_point_answers_as_a_missing_one(places: tuple[str, str]) -> None:
    for path in (places[1], "/mup/999999"):
        assert post(path, "MirrorMeterReadingList", batch(("D", NOW, 1))) == 404
    assert post(places[1], "MirrorMeterReadingList", batch(("D", NOW, 1)), TWO) == 201


def test_an_aggregator_posts_for_its_devices_and_for_no_other(places: tuple[str, str]) -> None:
    row = services.know_identity(AGGREGATOR, WireIdentity.AGGREGATOR, now=NOW)
    services.register_device("3" * 32 + "00012345", aggregator=row, now=NOW)
    mine = point("7", "8", "3" * 32 + "00012345", AGGREGATOR)
    assert post(mine, "MirrorMeterReadingList", batch(("8", NOW, 5)), AGGREGATOR) == 201
    assert post(places[0], "MirrorMeterReadingList", batch(("A", NOW, 5)), AGGREGATOR) == 404
    assert post(mine, "MirrorMeterReadingList", batch(("8", NOW, 5)), "3" * 32 + "00012345") in (403, 404)
    assert values() == [("8" * 32, NOW, 5)]


READINGS = st.lists(
    st.tuples(
        st.sampled_from("ACac"),
        st.lists(
            st.tuples(
                st.integers(-3, 3).map(lambda step: NOW + 60 * step) | st.sampled_from([0, -(1 << 63), (1 << 63) - 1]),
                st.integers(0, (1 << 32) - 1),
                st.integers(-(1 << 47), (1 << 47) - 1),
                st.sampled_from(["", "00", "FFFF"]),
            ),
            min_size=1,
            max_size=4,
        ),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the one statement is PostgreSQL's; SQLite has one way only")
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(READINGS, min_size=1, max_size=3))
def test_one_statement_stores_what_the_several_store(places: tuple[str, str], batches: list[Any]) -> None:
    row = UsagePoint.objects.get(mrid="B" * 32)
    found = []
    for whole in (True, False):
        with transaction.atomic():
            for number, batch_of in enumerate(batches):
                items = [{"mRID": mrid * 32, "MirrorReadingSet": [{"Reading": [_reading(*each) for each in readings]}]}
                         for mrid, readings in batch_of]  # fmt: skip
                if whole:
                    assert meters.take(row.pk, items, NOW + number, hot.BY_LFDI, ONE)
                else:
                    meters.read_in(row, items, NOW + number)
            kept = MeterValue.objects.order_by("stream__mrid", "start")
            newest = row.streams.order_by("mrid")
            found.append(
                (
                    list(kept.values_list("stream__mrid", "start", "duration", "value", "quality", "at")),
                    list(newest.values_list("mrid", "last_start", "last_duration", "last_value", "last_at")),
                )
            )
            transaction.set_rollback(True)
    assert found[0] == found[1] and found[0][0]


def _reading(start: int, duration: int, value: int, quality: str) -> dict[str, Any]:
    return {"value": value, "qualityFlags": quality, "timePeriod": {"start": start, "duration": duration}}
