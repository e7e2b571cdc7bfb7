"""Every version of an application as it was filed: never edited, compared field by field."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from interconnection.models.core import Application, Frozen


class ApplicationVersion(Frozen):
    """One filing: all fields as a document, who filed it and why."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True)
    cause = models.CharField(max_length=200, blank=True)
    made = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["application", "number"], name="versions_count_up")]

    def __str__(self) -> str:
        return f"{self.application.reference} version {self.number}"
