"""On PostgreSQL the database itself refuses to change or delete a line of the alarm journal, whoever asks."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION alarm_journal_append_only() RETURNS trigger AS $$
BEGIN
  RAISE EXCEPTION 'the alarm journal is append-only';
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER alarm_journal_append_only BEFORE UPDATE OR DELETE ON telemetry_alarmevent
  FOR EACH ROW EXECUTE FUNCTION alarm_journal_append_only();
"""
BACKWARD = """
DROP TRIGGER IF EXISTS alarm_journal_append_only ON telemetry_alarmevent;
DROP FUNCTION IF EXISTS alarm_journal_append_only();
"""


def forward(apps, editor):
    if editor.connection.vendor == "postgresql":
        editor.execute(FORWARD)


def backward(apps, editor):
    if editor.connection.vendor == "postgresql":
        editor.execute(BACKWARD)


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0009_outlook")]
    operations = [migrations.RunPython(forward, backward)]
