"""The outlook's steps: five minutes take the lower of two hours near their change."""

from __future__ import annotations

from datetime import UTC, datetime

from telemetry import outlook_services

NOW = datetime(2026, 6, 1, 12, 42, tzinfo=UTC)


def test_24_hours_by_the_hour_and_4_hours_by_five_minutes(db: None) -> None:
    watts = [900_000, 500_000, *([700_000] * 23)]
    answer = {"hours": [{"hour": n, "sites": {"depot": [w, 80_000, "thermal", "line.a"]}} for n, w in enumerate(watts)]}
    row = outlook_services.keep_outlook("f", NOW, answer)
    assert (len(row.hourly), len(row.five_minutes)) == (25, 48)
    first = [(step["at"][11:16], step["sites"]["depot"]["import_kw"]) for step in row.five_minutes[:20]]
    assert first[:3] == [("12:40", 900.0), ("12:45", 500.0), ("12:50", 500.0)]
    assert first[4] == ("13:00", 500.0)
    assert first[16] == ("14:00", 500.0), "the hour before it was tighter until a quarter past"
    assert first[19] == ("14:15", 700.0)
    outlook_services.keep_outlook("f", NOW, answer)
    assert outlook_services.outlook("f") == row, "one row a feeder"
