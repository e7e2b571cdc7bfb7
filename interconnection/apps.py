"""The planning desk as a Django app."""

from django.apps import AppConfig


class InterconnectionConfig(AppConfig):
    """Applications, studies, offers, agreements."""

    name = "interconnection"
    verbose_name = "Planning desk"
