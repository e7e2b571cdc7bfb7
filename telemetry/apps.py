"""The control room as a Django app."""

from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    """Readings, grants, commands, breaches."""

    name = "telemetry"
    verbose_name = "Control room"
