"""The audit log's tables: a hash chain that both rooms write, and the row that says where it ends."""

from __future__ import annotations

from typing import Any

from django.db import models

from derms.errors import Conflict


class AuditEntry(models.Model):
    """One fact: who did what to what. Its digest covers its text and the digest before it."""

    sequence = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=200)
    before = models.TextField()
    after = models.TextField()
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["sequence"]
        indexes = [models.Index(fields=["subject", "-sequence"]), models.Index(fields=["-at"])]

    def __str__(self) -> str:
        return f"{self.sequence} {self.actor} {self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row once."""
        if self.pk is not None:
            raise Conflict("an audit entry is never edited", where="audit")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: facts stay."""
        raise Conflict("an audit entry is never deleted", where="audit")


class AuditHead(models.Model):
    """The end of the chain: locked by whoever appends, so that two writers queue and no number is given twice."""

    name = models.CharField(max_length=16, unique=True, default="audit")
    sequence = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="0" * 64)

    def __str__(self) -> str:
        return f"{self.name} {self.sequence}"
