"""The registry of certified equipment: make, model, standard, and how long it holds."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

STANDARDS = [
    ("UL 1741 SB", "inverter, grid support functions (IEEE 1547-2018)"),
    ("UL 1741 CRD", "power control system, certification requirement decision"),
    ("UL 3141", "power control system"),
    ("UL 9741", "bidirectional electric-vehicle charging equipment"),
    ("SAE J3072", "on-board inverter of a vehicle (V2G-AC)"),
]
"""Standards that the registry knows, with what each one certifies."""


class Certificate(models.Model):
    """One listing of one product under one standard. Several standards: several rows."""

    make = models.CharField(max_length=80)
    model = models.CharField(max_length=120)
    standard = models.CharField(max_length=16, choices=[(name, name) for name, _ in STANDARDS])
    listing = models.CharField(max_length=80, help_text="The number under which the laboratory lists it.")
    laboratory = models.CharField(max_length=80, blank=True)
    rated_w = models.PositiveBigIntegerField(null=True, blank=True)
    firmware = models.CharField(max_length=80, blank=True)
    issued = models.DateField()
    expires = models.DateField(null=True, blank=True, help_text="First day on which it no longer holds.")
    origin = models.CharField(max_length=200, help_text="From which list, read on which day.")

    class Meta:
        ordering = ["make", "model", "standard", "-issued"]
        indexes = [models.Index(fields=["make", "model"])]
        constraints = [
            models.UniqueConstraint(fields=["standard", "listing", "make", "model"], name="one_row_a_listing"),
            models.CheckConstraint(
                condition=Q(expires__isnull=True) | Q(expires__gt=F("issued")), name="expires_after_issue"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.make} {self.model}: {self.standard} {self.listing}"
