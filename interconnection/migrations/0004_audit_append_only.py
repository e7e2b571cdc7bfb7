"""On PostgreSQL the database itself refuses to change or delete an audit entry, whoever asks."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only';
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON interconnection_auditentry
  FOR EACH ROW EXECUTE FUNCTION audit_append_only();
"""
BACKWARD = """
DROP TRIGGER IF EXISTS audit_append_only ON interconnection_auditentry;
DROP FUNCTION IF EXISTS audit_append_only();
"""


def forward(apps, editor):
    if editor.connection.vendor == "postgresql":
        editor.execute(FORWARD)


def backward(apps, editor):
    if editor.connection.vendor == "postgresql":
        editor.execute(BACKWARD)


class Migration(migrations.Migration):
    dependencies = [("interconnection", "0003_audit_chain")]
    operations = [migrations.RunPython(forward, backward)]
