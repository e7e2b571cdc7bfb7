"""Which sharing rule divides what a constraint leaves. Choices are never edited: proposed, approved, superseded."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from derms.grid.sharing_rules import RULES


class SharingChoice(models.Model):
    """A rule for one element of a feeder, or for all others where `element` is empty; two people put it in force."""

    PROPOSED, ACTIVE, SUPERSEDED, REJECTED = "proposed", "active", "superseded", "rejected"
    STATES = (PROPOSED, ACTIVE, SUPERSEDED, REJECTED)

    feeder = models.SlugField(max_length=64)
    element = models.CharField(max_length=128, blank=True)
    rule = models.CharField(max_length=24, choices=[(rule, rule) for rule in RULES])
    reason = models.CharField(max_length=300)
    by = models.CharField(max_length=150)
    created = models.DateTimeField()
    second = models.CharField(max_length=150, blank=True)
    decided = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=16, default=PROPOSED, choices=[(state, state) for state in STATES])

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["feeder", "state"])]
        constraints = [
            models.CheckConstraint(condition=Q(rule__in=RULES), name="a_known_sharing_rule"),
            models.UniqueConstraint(
                fields=["feeder", "element"], condition=Q(state="active"), name="one_sharing_rule_an_element"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.feeder} {self.element or 'all others'}: {self.rule}"
