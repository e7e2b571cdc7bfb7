"""The utility server's hottest statements in plain SQL: on PostgreSQL prepared once a connection, bound at the server.

The ORM doubles what such a request costs, and planning a join costs the database more than running it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection

THRESHOLD = 5
"""psycopg's own default; Django switches preparing off."""


def rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement that returns rows; counted among the connection's queries as any other; raises DatabaseError."""
    if connection.vendor != "postgresql" or not settings.DATABASE_PREPARE:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())
    import psycopg

    connection.ensure_connection()
    raw: Any = connection.connection
    if raw.prepare_threshold is None:
        raw.prepare_threshold = THRESHOLD
    if connection.queries_logged:
        connection.queries_log.append({"sql": sql, "time": "0"})
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        cursor.execute(sql, params, prepare=True)
        return list(cursor.fetchall())


COUNTS = """
SELECT (SELECT count(*) FROM telemetry_enddevice d WHERE {who}),
(SELECT count(*) FROM telemetry_usagepoint p JOIN telemetry_enddevice d ON d.id = p.device_id WHERE {who})
"""
DEVICE = """
SELECT d.id, d.lfdi, d.sfdi, d.category, d.changed, d.post_rate, d.own,
(SELECT count(*) FROM telemetry_assignment a WHERE a.device_id = d.id),
(SELECT count(*) FROM telemetry_wiresubscription w WHERE w.owner_id = d.id)
FROM telemetry_enddevice d WHERE d.id = %s AND {who}
"""
DEVICE_COLUMNS = ("id", "lfdi", "sfdi", "category", "changed", "post_rate", "own")
PROGRAM = """
SELECT p.id, p.device_id, d.lent_until, d.rating_w
FROM telemetry_program p JOIN telemetry_enddevice d ON d.id = p.device_id
WHERE p.id = %s AND d.id = %s AND NOT d.own AND {who}
"""
CONTROLS = """
SELECT id, mrid, start, duration, creation, cancelled, superseded, randomize_start, randomize_duration, modes
FROM telemetry_control WHERE program_id = %s AND "end" > %s AND (epoch IS NULL OR %s >= %s)
ORDER BY start, creation DESC, mrid DESC
"""
TAKE = """
WITH given AS (
    SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
    AS g (mrid, start, duration, value, quality)
), found AS (
    SELECT s.id, g.start, g.duration, g.value, g.quality FROM given g
    JOIN telemetry_meterstream s ON s.mrid = g.mrid AND s.point_id = %s
    JOIN telemetry_usagepoint p ON p.id = s.point_id
    JOIN telemetry_enddevice d ON d.id = p.device_id
    WHERE {who}
), whole AS (
    SELECT found.* FROM found WHERE (SELECT count(*) FROM found) = %s
), kept AS (
    INSERT INTO telemetry_metervalue (stream_id, start, duration, value, quality, at)
    SELECT id, start, duration, value, quality, %s FROM whole
    ON CONFLICT (stream_id, start) DO UPDATE
    SET duration = excluded.duration, value = excluded.value, quality = excluded.quality, at = excluded.at
), newest AS (
    SELECT DISTINCT ON (id) id, start, duration, value FROM whole ORDER BY id, start DESC
), last AS (
    UPDATE telemetry_meterstream m
    SET last_start = newest.start, last_duration = newest.duration, last_value = newest.value, last_at = %s
    FROM newest WHERE m.id = newest.id AND (m.last_start IS NULL OR m.last_start <= newest.start)
)
SELECT count(*) FROM found
"""
"""All or nothing: where a stream is unknown, another's, or of another point, nothing is written and the count says so."""
SEEN = """
UPDATE telemetry_wireidentity w SET seen = g.seen, address = g.address
FROM unnest(%s::text[], %s::timestamptz[], %s::text[]) AS g (lfdi, seen, address) WHERE w.lfdi = g.lfdi RETURNING 1
"""
BY_LFDI, BY_AGGREGATOR = "d.lfdi = %s AND d.aggregator_id IS NULL", "d.aggregator_id = %s"
