"""Roles that can do harm need a second factor where HEADROOM_REQUIRE_MFA says so (the default in production)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect

from interconnection import roles

HARMFUL = (roles.APPROVER, roles.OPERATOR, roles.ADMINISTRATOR)
"""Who issues, controls, or gives roles."""
FREE = ("/account/", "/logout/", "/login/", "/docs/", "/static/")
"""Where somebody without a second factor may still go: to set one up, to read, to leave."""


def missing(request: HttpRequest) -> bool:
    """Say whether this person must set up a second factor before going on."""
    if not settings.REQUIRE_MFA or not request.user.is_authenticated or not roles.has(request.user, *HARMFUL):
        return False
    records = request.session.get(AUTHENTICATION_METHODS_SESSION_KEY, [])
    if settings.OIDC_TRUST_MFA and any(record.get("method") == "socialaccount" for record in records):
        return False  # the utility's own provider asked for it
    return not is_mfa_enabled(request.user)


class SecondFactorMiddleware:
    """Sends such people to the page where they set it up; on the API it is a 403 that says so."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on; the decision falls in process_view."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Return the way to the second factor, or None."""
        if request.path.startswith(FREE) or not missing(request):
            return None
        if request.path.startswith("/api/"):
            body = {
                "type": "/docs/api-problems", "title": "a second factor is needed", "status": 403,
                "detail": "Your role needs a second factor. Sign in on the pages and set one up, or use a token.",
            }  # fmt: skip
            return JsonResponse(body, status=403, content_type="application/problem+json")
        return redirect("mfa_index")
