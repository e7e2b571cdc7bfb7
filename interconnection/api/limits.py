"""How often one may call: counted for each token, client or person; the rest stands in the RateLimit headers."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from interconnection.accounts.api_access import Credentials

WINDOW_S = 60


class CallerRate(BaseThrottle):
    """A fixed window of a minute; `view.cost` is how many calls one call counts as."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the call, leave the numbers on the request, and say whether it may run."""
        quota = settings.API_CALLS_A_MINUTE
        now = time.time()
        window = int(now // WINDOW_S)
        key = f"api-rate:{caller(request).replace(' ', '-')}:{window}"
        cache.add(key, 0, WINDOW_S * 2)
        try:
            used = cache.incr(key, getattr(view, "cost", 1))
        except ValueError:  # it fell out of the cache between the two lines
            used = 1
        self.left_s = max(1, int((window + 1) * WINDOW_S - now))
        request._request.rate_limit = (quota, max(0, quota - used), self.left_s)  # type: ignore[attr-defined]
        return bool(used <= quota)

    def wait(self) -> float:
        """Return the seconds until the window ends."""
        return float(self.left_s)


def caller(request: Request) -> str:
    """Return whose calls are counted together."""
    if isinstance(request.auth, Credentials):
        return request.auth.key
    if request.user.is_authenticated:
        return f"user {request.user.pk}"
    return f"address {request.META.get('REMOTE_ADDR', '')}"


def headers(request: Any) -> dict[str, str]:
    """Return the RateLimit headers (draft-ietf-httpapi-ratelimit-headers) for a counted request."""
    numbers = getattr(request, "rate_limit", None)
    if numbers is None:
        return {}
    quota, left, seconds = numbers
    return {
        "RateLimit-Policy": f'"minute";q={quota};w={WINDOW_S}',
        "RateLimit": f'"minute";r={left};t={seconds}',
    }
