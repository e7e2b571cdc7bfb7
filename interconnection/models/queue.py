"""What binds an application: one row for each constraint that its newest study met. The queue counts on these."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from interconnection.models.core import Application, Feeder, Study


class Constraint(models.Model):
    """One element and criterion that gives less than was asked for, on one side, in some hours."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="constraints")
    feeder = models.ForeignKey(Feeder, models.PROTECT, related_name="+")
    study = models.ForeignKey(Study, models.CASCADE, related_name="constraints")
    side = models.CharField(max_length=8, choices=[("import", "import"), ("export", "export")])
    criterion = models.CharField(max_length=32)
    element = models.CharField(max_length=128)
    asked_w = models.PositiveBigIntegerField()
    least_w = models.PositiveBigIntegerField(help_text="What the element leaves in its worst hour.")
    hours = models.PositiveIntegerField(help_text="In how many studied hours it binds.")
    worst_hour = models.PositiveIntegerField()

    class Meta:
        ordering = ["side", "-hours", "id"]
        indexes = [models.Index(fields=["feeder", "element", "side"])]
        constraints = [
            models.UniqueConstraint(fields=["study", "side", "criterion", "element"], name="one_row_a_constraint"),
            models.CheckConstraint(condition=Q(least_w__lte=F("asked_w")), name="a_constraint_constrains"),
        ]

    def __str__(self) -> str:
        return f"{self.side}: {self.criterion} {self.element}"

    @property
    def missing_w(self) -> int:
        """Return how much the element takes away in its worst hour."""
        return self.asked_w - self.least_w
