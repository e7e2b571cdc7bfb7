"""The API's part of the planning desk."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Tables under the label `api`: idempotency keys, webhooks."""

    name = "interconnection.api"
    label = "api"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let events reach webhooks in the transaction that writes them."""
        from interconnection.api import webhook_outbox

        webhook_outbox.connect()
