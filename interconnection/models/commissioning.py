"""Results of commissioning tests: facts that a permission to operate stands on."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from interconnection.models.core import Agreement, Application, Frozen


class CommissioningResult(Frozen):
    """One test of one site under one agreement: by wire, or witnessed and countersigned by a second person."""

    WIRE, WITNESS = "wire", "witness"

    application = models.ForeignKey(Application, models.PROTECT, related_name="commissioning_results")
    agreement = models.ForeignKey(Agreement, models.PROTECT, related_name="commissioning_results")
    kind = models.CharField(max_length=16, choices=[(WIRE, WIRE), (WITNESS, WITNESS)])
    passed = models.BooleanField()
    steps = models.JSONField(help_text="Each step: name, passed, value, limit, note.")
    trace = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(help_text="When the test ended.")
    expires = models.DateField(help_text="First day on which it no longer counts.")
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    witnessed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True, blank=True)
    sha256 = models.CharField(max_length=64)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="wire") | (Q(witnessed_by__isnull=False) & ~Q(recorded_by=F("witnessed_by"))),
                name="a_witness_is_a_second_person",
            ),
        ]

    def __str__(self) -> str:
        return f"commissioning of {self.application.reference} {'passed' if self.passed else 'failed'}"
