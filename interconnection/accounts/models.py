"""What accounts keep beside Django's users and groups and allauth's second factors and OAuth2 clients."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from interconnection.models import Feeder


class Territory(models.Model):
    """Feeders that some of the utility's people look after."""

    name = models.CharField(max_length=64, unique=True)
    feeders = models.ManyToManyField(Feeder, related_name="territories", blank=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="territories", blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "territories"

    def __str__(self) -> str:
        return self.name


class PersonalToken(models.Model):
    """A token that a person made for a script: only its hash is kept."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="personal_tokens")
    name = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=8)
    scopes = models.JSONField()
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()
    last_used = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} …{self.hint}"
