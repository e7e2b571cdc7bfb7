"""Slots of the point map towards SCADA: given once, never to another."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from derms.errors import Conflict


class ScadaSlot(models.Model):
    """The place of a feeder or a site in SCADA's point map. A control centre has typed these numbers into its screens."""

    scope = models.CharField(max_length=8, choices=[("feeder", "feeder"), ("site", "site")])
    name = models.SlugField(max_length=64)
    slot = models.PositiveIntegerField()
    given = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["scope", "slot"]
        constraints = [
            models.UniqueConstraint(fields=["scope", "name"], name="one_slot_a_name"),
            models.UniqueConstraint(fields=["scope", "slot"], name="one_name_a_slot"),
            models.CheckConstraint(condition=Q(scope__in=("feeder", "site")), name="a_known_scope"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.name} at {self.slot}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row once."""
        if self.pk is not None:
            raise Conflict("a slot is never moved", where=self.name)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: an index is never used again."""
        raise Conflict("a slot is never given back", where=self.name)
