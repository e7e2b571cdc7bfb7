"""What the control room keeps beside its boards: cycles to run again, ladders, evidence, certificates, switching."""

from __future__ import annotations

from typing import Any

from django.db import models

from derms.errors import Conflict


class Written(models.Model):
    """A row that is written once."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row; a second time is refused."""
        if self.pk is not None:
            raise Conflict(f"{type(self).__name__} is never edited", where=type(self).__name__.lower())
        super().save(*args, **kwargs)


class CycleDocument(Written):
    """A cycle's inputs and decisions as canonical JSON: `replay_cycle` must reproduce these bytes."""

    cycle = models.OneToOneField("telemetry.CycleRow", models.CASCADE, related_name="document")
    sha256 = models.CharField(max_length=64)
    text = models.TextField()

    def __str__(self) -> str:
        return f"{self.cycle_id} {self.sha256[:12]}"


class LadderRow(models.Model):
    """Where a site stands on the compliance ladder, for the engine that leads next. `state`: ages at `at`."""

    feeder = models.SlugField(max_length=64)
    site = models.SlugField(max_length=64)
    stage = models.CharField(max_length=16)
    state = models.JSONField()
    since = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["feeder", "site"], name="one_ladder_a_site")]

    def __str__(self) -> str:
        return f"{self.feeder}/{self.site} {self.stage}"


class EvidenceRow(Written):
    """The evidence of one step up the ladder: readings before and after, limit, grant, read-back."""

    feeder = models.SlugField(max_length=64)
    site = models.SlugField(max_length=64)
    stage = models.CharField(max_length=16)
    snapshot = models.CharField(max_length=64)
    at = models.DateTimeField()
    facts = models.TextField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["feeder", "site", "-id"])]

    def __str__(self) -> str:
        return f"{self.feeder}/{self.site} {self.stage} {self.snapshot}"


class OutlookRow(models.Model):
    """What a feeder's sites may expect: the newest outlook. Information, never permission."""

    feeder = models.SlugField(max_length=64, unique=True)
    at = models.DateTimeField()
    hourly = models.JSONField()
    five_minutes = models.JSONField()

    def __str__(self) -> str:
        return f"{self.feeder} at {self.at}"


class Certificate(Written):
    """The failsafe certificate of one model, one switching state and one set of failsafe limits, or why it fails."""

    feeder = models.SlugField(max_length=64)
    model_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=64)
    state_sha256 = models.CharField(max_length=64, default="")
    """What the state is, for a name may come to stand for something else; "": written before this was kept, no use."""
    limits_sha256 = models.CharField(max_length=64)
    holds = models.BooleanField()
    detail = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["feeder", "model_sha256", "state", "state_sha256", "limits_sha256"], name="one_certificate_a_state"
            )
        ]

    def __str__(self) -> str:
        return f"{self.feeder} {self.state} {'holds' if self.holds else 'fails'}"


class SwitchingState(Written):
    """The switching state of a feeder from `at` on; the newest row counts. Not confirmed: the state is not known."""

    feeder = models.SlugField(max_length=64)
    name = models.CharField(max_length=64)
    opened = models.JSONField(default=list)
    closed = models.JSONField(default=list)
    state_sha256 = models.CharField(max_length=64, default="")
    """What was declared, with the desk's ties and ratings; "": written before this was kept."""
    confirmed = models.BooleanField(default=True)
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=300)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["feeder", "-id"])]

    def __str__(self) -> str:
        return f"{self.feeder} {self.name}{'' if self.confirmed else ' (not confirmed)'}"
