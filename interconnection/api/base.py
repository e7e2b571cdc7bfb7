"""What every call of the API has: who may, how often, once only, and an answer that says what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from interconnection.accounts.api_access import Declared, TokenAuthentication
from interconnection.api import limits, once
from interconnection.api.strict_json import StrictJSON

NEVER_KEPT = (401, 403, 409, 412, 425, 428, 429)
"""Refusals that a later try may turn: a key is not spent on them."""


class Api(APIView):
    """Base of all calls: `@access` names roles, `scopes` what a token needs, `keyed` whether Idempotency-Key counts.

    `engine`: a POST that asks the grid engine for seconds; no transaction is held open meanwhile, the service has its own.
    """

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [Declared]
    parser_classes = [StrictJSON]
    throttle_classes = [limits.CallerRate]
    keyed = True
    engine = False
    cost = 1

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the caller; then, for a POST with an Idempotency-Key, put the work between reservation and answer."""
        super().initial(request, *args, **kwargs)
        key = request.headers.get(once.HEADER)
        if self.keyed and request.method == "POST" and key is not None and request.user.is_authenticated:
            mark = once.fingerprint("POST", request.get_full_path(), request.body)
            row = once.reserve(request.user, once.checked(key), mark, timezone.now())
            handler: Callable[..., Response] = getattr(self, "post")  # noqa: B009  (the base has none)
            setattr(self, "post", self._once(row, handler))  # noqa: B010

    def _once(self, row: once.OnceKey, handler: Callable[..., Response]) -> Callable[..., Response]:
        def run(request: Request, *args: Any, **kwargs: Any) -> Response:
            if row.status is not None:
                return once.replay(row)
            try:
                with nullcontext() if self.engine else transaction.atomic():
                    answer = handler(request, *args, **kwargs)
                    once.keep(row, answer)
                    return answer
            except Exception as error:  # noqa: BLE001  (shaped, or raised again below)
                try:
                    answer = self.handle_exception(error)  # raises what is our own fault
                except Exception:
                    once.release(row)
                    raise
                if answer.status_code in NEVER_KEPT or answer.status_code >= 500:
                    once.release(row)
                else:
                    once.keep(row, answer)
                return answer

        return run

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the RateLimit headers; nothing of the API is kept in caches."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        for name, value in limits.headers(getattr(request, "_request", request)).items():
            answer[name] = value
        answer.setdefault("Cache-Control", "no-store")
        return answer

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Negotiate; a caller that takes only problem+json or any JSON gets JSON."""
        return super().perform_content_negotiation(request, force)


class Pages(CursorPagination):
    """Newest first, at most 200 a page, by cursor: rows that arrive meanwhile are not shown twice."""

    ordering: Any = ("-created", "-id")
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"


def page(view: APIView, request: Request, rows: Any, show: Callable[[Any], Any], *, ordering: Any = None) -> Response:
    """Return one page of rows: next, previous, results."""
    pages = Pages()
    if ordering is not None:
        pages.ordering = ordering
    found = pages.paginate_queryset(rows, request, view=view)
    return pages.get_paginated_response([show(row) for row in found or []])
