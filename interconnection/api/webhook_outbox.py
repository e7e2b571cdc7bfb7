"""From events to messages: each event of an application becomes a message for every webhook that may hear of it."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save
from django.urls import reverse
from django.utils import timezone

from interconnection import roles
from interconnection.api import webhook_services
from interconnection.api.models import Webhook
from interconnection.models import Event


def connect() -> None:
    """Listen to events as they are written."""
    post_save.connect(on_event, sender=Event, dispatch_uid="webhook-outbox")


def on_event(sender: Any, instance: Event, created: bool, **kwargs: Any) -> None:
    """Queue messages in the transaction of the event: both are there, or neither."""
    application = instance.application
    if not created or application is None:
        return
    kind = f"application.{instance.action}"
    if kind not in webhook_services.TYPES:
        return
    data = {
        "application": application.pk,
        "reference": application.reference,
        "state": instance.after.get("state", application.state),
        "link": reverse("api-application", args=[application.pk]),
    }
    data |= {name: instance.after[name] for name in ("study", "offer") if name in instance.after}
    for webhook in Webhook.objects.filter(state=Webhook.ACTIVE).select_related("owner"):
        own = webhook.owner_id == application.applicant_id
        if (own or roles.sees_all(webhook.owner)) and (not webhook.types or kind in webhook.types):
            webhook_services.enqueue(webhook, kind, data, timezone.now())
