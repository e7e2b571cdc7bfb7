"""What the control room keeps: what it saw, what it lent, who leads. Appended and superseded, never edited in place."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

import telemetry.alarm_models
import telemetry.cycle_models
import telemetry.order_models
import telemetry.scada_models
import telemetry.sharing_models
import telemetry.utility_models  # noqa: F401  (one app, one registry of tables)


class LeaderLease(models.Model):
    """One row per feeder: which engine leads, under which epoch, until when. The epoch never falls."""

    feeder = models.SlugField(max_length=64, unique=True)
    holder = models.CharField(max_length=64, blank=True)
    epoch = models.PositiveBigIntegerField(default=0)
    expires = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.feeder}: {self.holder} epoch {self.epoch}"


class SiteEndpoint(models.Model):
    """Where a site's wire ends."""

    site = models.SlugField(max_length=64, unique=True)
    protocol = models.CharField(max_length=16)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    device = models.JSONField(default=dict, blank=True, help_text="What the commissioning test found it to speak.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(port__gte=1, port__lte=65535), name="a_tcp_port")]

    def __str__(self) -> str:
        return f"{self.site} {self.protocol} {self.host}:{self.port}"


class HeadMeasurement(models.Model):
    """The latest measurement of a feeder's head, as SCADA writes it; import positive."""

    feeder = models.SlugField(max_length=64, unique=True)
    at = models.DateTimeField()
    power_w = models.FloatField()
    reactive_var = models.FloatField(default=0.0)

    def __str__(self) -> str:
        return f"{self.feeder} {self.power_w:.0f} W at {self.at}"


class CycleRow(models.Model):
    """One cycle of a feeder's engine as it was shown to people."""

    feeder = models.SlugField(max_length=64)
    at = models.DateTimeField(db_index=True)
    snapshot = models.CharField(max_length=64)
    epoch = models.PositiveBigIntegerField()
    board = models.JSONField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["feeder", "-id"])]

    def __str__(self) -> str:
        return f"{self.feeder} {self.snapshot}"


class GrantRow(models.Model):
    """A grant that went out, or was about to: written before a raise is sent."""

    site = models.SlugField(max_length=64)
    epoch = models.PositiveBigIntegerField()
    sequence = models.PositiveBigIntegerField()
    import_w = models.PositiveBigIntegerField()
    export_w = models.PositiveBigIntegerField()
    ttl_s = models.FloatField()
    reason = models.JSONField()
    outcome = models.CharField(max_length=16, default="audited")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["site", "-id"])]
        constraints = [models.UniqueConstraint(fields=["site", "epoch", "sequence"], name="one_grant_an_order")]

    def __str__(self) -> str:
        return f"{self.site} {self.epoch}.{self.sequence}"
