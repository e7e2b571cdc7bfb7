"""What screens were run with what outcome, and the load of a feeder's head that they were measured against."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from interconnection.models.core import Application, FeederVersion, Frozen


class ScreenRun(Frozen):
    """One run of one pack on one version of an application."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="screen_runs")
    version = models.ForeignKey(FeederVersion, models.PROTECT, related_name="+")
    request_number = models.PositiveIntegerField(help_text="Which version of the application.")
    pack = models.CharField(max_length=64)
    pack_version = models.PositiveIntegerField()
    results = models.JSONField(help_text="Each screen's result.")
    facts = models.JSONField(help_text="The numbers that the screens were measured from.")
    seconds = models.FloatField()
    by = models.CharField(max_length=150)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"screens of {self.application.reference} by {self.pack}"


class SectionLoad(models.Model):
    """The largest and least load at a feeder's head without any new site, over some hours of the study year."""

    version = models.OneToOneField(FeederVersion, models.CASCADE, related_name="section_load")
    hours = models.PositiveIntegerField()
    most_w = models.FloatField()
    most_hour = models.PositiveIntegerField()
    least_w = models.FloatField()
    least_hour = models.PositiveIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(least_w__lte=F("most_w")), name="least_within_most")]

    def __str__(self) -> str:
        return f"{self.least_w:.0f} to {self.most_w:.0f} W over {self.hours} hours"
