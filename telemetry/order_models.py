"""What operators order: the mode of a feeder, and limits on its sites. Facts are never edited, only superseded."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from derms.errors import Conflict
from derms.limits import Limit
from telemetry.control import orders


class FeederMode(models.Model):
    """The mode of a feeder from `at` on; the newest row counts."""

    feeder = models.SlugField(max_length=64)
    mode = models.CharField(max_length=16, choices=[(m, m) for m in orders.MODES])
    reason = models.CharField(max_length=300)
    by = models.CharField(max_length=150)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["feeder", "-id"])]
        constraints = [models.CheckConstraint(condition=Q(mode__in=orders.MODES), name="a_known_mode")]

    def __str__(self) -> str:
        return f"{self.feeder} {self.mode}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row once."""
        if self.pk is not None:
            raise Conflict("a mode is never edited: set a new one", where="mode")
        super().save(*args, **kwargs)


class OperatorOrder(models.Model):
    """One order of a person or of SCADA on a site, or on a whole feeder when `site` is empty.

    `second`: the other person who approved a raise. `ended_by`, `ended`: who ended it, or proposed and approved its end.
    """

    PROPOSED, ACTIVE, RELEASED, EXPIRED, SUPERSEDED, REJECTED = (
        "proposed", "active", "released", "expired", "superseded", "rejected",
    )  # fmt: skip
    STATES = (PROPOSED, ACTIVE, RELEASED, EXPIRED, SUPERSEDED, REJECTED)
    OPERATOR, SCADA = "operator", "scada"

    feeder = models.SlugField(max_length=64)
    site = models.SlugField(max_length=64, blank=True)
    kind = models.CharField(max_length=16, choices=[(k, k) for k in orders.KINDS])
    import_w = models.PositiveBigIntegerField(null=True, blank=True)
    export_w = models.PositiveBigIntegerField(null=True, blank=True)
    reason = models.CharField(max_length=300)
    by = models.CharField(max_length=150)
    source = models.CharField(max_length=16, default=OPERATOR, choices=[(s, s) for s in (OPERATOR, SCADA)])
    second = models.CharField(max_length=150, blank=True)
    created = models.DateTimeField()
    starts = models.DateTimeField()
    expires = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=16, default=ACTIVE, choices=[(s, s) for s in STATES])
    release_by = models.CharField(max_length=150, blank=True)
    release_at = models.DateTimeField(null=True, blank=True)
    release_reason = models.CharField(max_length=300, blank=True)
    ended_by = models.CharField(max_length=150, blank=True)
    ended = models.DateTimeField(null=True, blank=True)
    superseded_by = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="supersedes")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["feeder", "state"]), models.Index(fields=["state", "expires"])]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=orders.KINDS), name="a_known_kind_of_order"),
            models.CheckConstraint(
                condition=~Q(kind__in=orders.WITH_LIMIT) | Q(import_w__isnull=False, export_w__isnull=False),
                name="a_cap_says_how_much",
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=orders.TWO_PEOPLE) | ~Q(state="active") | ~Q(second=""), name="a_raise_takes_two"
            ),
            models.CheckConstraint(condition=Q(second="") | ~Q(second=models.F("by")), name="two_different_people"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.feeder}/{self.site or '*'} {self.state}"

    @property
    def limit(self) -> Limit | None:
        """Return the limit ordered; None for kinds that have none."""
        return None if self.import_w is None or self.export_w is None else Limit(self.import_w, self.export_w)

    @property
    def import_kw(self) -> float | None:
        """Return the import limit in kW, rounded down."""
        return None if self.import_w is None else self.import_w // 100 / 10

    @property
    def export_kw(self) -> float | None:
        """Return the export limit in kW, rounded down."""
        return None if self.export_w is None else self.export_w // 100 / 10

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row once: later states come by conditional updates in `order_services`."""
        if self.pk is not None:
            raise Conflict("an order is never edited: release it and give another", where="order")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: facts stay."""
        raise Conflict("an order is never deleted: release it", where="order")
