"""The accounts' part of the planning desk."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Tables under the label `accounts`."""

    name = "interconnection.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let the OpenAPI document know our tokens."""
        from interconnection.accounts import api_schema  # noqa: F401
