"""Deadlines that run, their pauses, and what was asked of the applicant."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from interconnection.models.core import Application


class ClockRun(models.Model):
    """One deadline of one application: `due` is empty while it is paused."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="clocks")
    clock = models.CharField(max_length=32)
    title = models.CharField(max_length=120)
    days = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, default="business")
    owner = models.CharField(max_length=16, default="utility")
    started = models.DateTimeField()
    due = models.DateField(null=True, blank=True)
    stopped = models.DateTimeField(null=True, blank=True)
    late = models.BooleanField(null=True, blank=True, help_text="When stopped: whether it was after the day it was due.")

    class Meta:
        ordering = ["due", "id"]
        indexes = [models.Index(fields=["stopped", "due"])]
        constraints = [
            models.UniqueConstraint(
                fields=["application", "clock"], condition=Q(stopped__isnull=True), name="one_running_clock_of_a_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} of {self.application.reference}"


class ClockPause(models.Model):
    """A time in which a clock does not count, and why."""

    run = models.ForeignKey(ClockRun, models.PROTECT, related_name="pauses")
    cause = models.CharField(max_length=200)
    by = models.CharField(max_length=150)
    began = models.DateTimeField()
    ended = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["began"]
        constraints = [
            models.UniqueConstraint(fields=["run"], condition=Q(ended__isnull=True), name="one_open_pause"),
            models.CheckConstraint(condition=Q(ended__isnull=True) | Q(ended__gte=F("began")), name="pause_ends_later"),
        ]

    def __str__(self) -> str:
        return f"{self.run}: {self.cause}"


class InformationRequest(models.Model):
    """Something that the engineer asks the applicant; while it is open the utility's clocks are paused."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="information_requests")
    question = models.TextField()
    fields = models.JSONField(default=list, help_text="Which fields it is about.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked = models.DateTimeField()
    answer = models.TextField(blank=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True, blank=True)
    answered = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-asked", "-id"]

    def __str__(self) -> str:
        return f"question {self.pk} to {self.application.reference}"
