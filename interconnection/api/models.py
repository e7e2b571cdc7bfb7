"""What the API keeps: answers by idempotency key, webhook addresses, messages to them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class OnceKey(models.Model):
    """One Idempotency-Key of one caller: what was asked, and what was answered once it was."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    created = models.DateTimeField()
    locked_until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="one_answer_a_key")]

    def __str__(self) -> str:
        return f"{self.key} → {self.status or 'at work'}"


class Webhook(models.Model):
    """An address that wants to hear of events; sent to only while it is active."""

    WAITING, ACTIVE, STOPPED = "waiting", "active", "stopped"
    STATES = (WAITING, ACTIVE, STOPPED)

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=500)
    types = models.JSONField(default=list, help_text="Event types wanted; none: all.")
    state = models.CharField(max_length=16, choices=[(s, s) for s in STATES], default=WAITING)
    reason = models.CharField(max_length=200, blank=True)
    secret = models.CharField(max_length=255, help_text="Encrypted with SECRET_KEY; shown once.")
    old_secret = models.CharField(max_length=255, blank=True)
    old_until = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Messages given up since the last success.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "url"], name="one_webhook_an_address"),
            models.CheckConstraint(condition=Q(state__in=("waiting", "active", "stopped")), name="a_known_webhook_state"),
        ]

    def __str__(self) -> str:
        return f"{self.url} ({self.state})"


class WebhookMessage(models.Model):
    """One message for one address: durable, tried again with longer and longer pauses."""

    PENDING, DELIVERED, GIVEN_UP = "pending", "delivered", "given up"

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="messages")
    identifier = models.CharField(max_length=64, db_index=True, help_text="The same for every try: webhook-id.")
    type = models.CharField(max_length=64)
    payload = models.TextField()
    state = models.CharField(max_length=16, default=PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due = models.DateTimeField(null=True, db_index=True)
    created = models.DateTimeField(auto_now_add=True)
    delivered = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.type} {self.state}"


class WebhookAttempt(models.Model):
    """One try: what came back, how long it took."""

    message = models.ForeignKey(WebhookMessage, models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    outcome = models.CharField(max_length=200)
    seconds = models.FloatField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.outcome}"
