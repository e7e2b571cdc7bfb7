"""When the utility's identity provider does not answer, the sign-in page says so, and other ways in stay open."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from requests import RequestException

LOG = logging.getLogger(__name__)
UNDER = "/account/oidc/"


class ProviderDownMiddleware:
    """Turns the library's network errors into a sentence on the sign-in page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the way back for a provider that cannot be reached; None for every other error."""
        if not request.path.startswith(UNDER) or not isinstance(error, RequestException):
            return None
        LOG.error("the identity provider does not answer: %s", error)
        messages.error(
            request, "The utility's identity provider does not answer. Try again later, or sign in with your password."
        )
        return redirect("login")
