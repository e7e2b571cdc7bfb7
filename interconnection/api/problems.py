"""Errors of the API as RFC 9457 problem documents: what, where (a JSON pointer), and what to do about it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from derms.errors import Conflict, HeadroomError, InputError, LocalError, NotConverged, NotFound, RemoteError

LOG = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
STATUS: tuple[tuple[type[HeadroomError], int], ...] = (
    (NotFound, 404),
    (InputError, 422),
    (Conflict, 409),
    (NotConverged, 422),
    (LocalError, 503),
    (RemoteError, 502),
)
REMEDIES = {
    400: "Send a body that is JSON as the schema says.",
    401: "Send 'Authorization: Bearer' with a personal token or an OAuth2 token, or sign in on the pages.",
    403: "Use an account whose role allows it, or a token with the scope.",
    404: "Check the address and the number; what is not yours answers like what is not there.",
    405: "The Allow header names the methods.",
    406: "Ask for application/json.",
    409: "Read the present state, then decide again.",
    412: "Read it again, look at what changed, and send the new ETag in If-Match.",
    413: "Send less in one request; /applications/bulk/ takes many rows.",
    415: "Send Content-Type: application/json.",
    422: "Mend what `errors` names and send it again.",
    428: "Read it first and send its ETag in If-Match.",
    429: "Wait for the seconds of Retry-After.",
    500: "It is our fault. Tell the operator the request_id.",
    503: "Try again later; if it stays, tell the operator the request_id.",
}
"""What to do, by status, where the error itself does not say better."""


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn our errors, and the framework's, into problem+json; anything else is a defect and goes on to the middleware."""
    if isinstance(error, HeadroomError):
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        pointers = [_entry(error.where, error.what, error.remedy)] if error.where else []
        return problem(status, error.what, detail=str(error), errors=pointers, remedy=error.remedy)
    if isinstance(error, OperationalError):
        LOG.error("the database does not answer: %s", type(error).__name__)
        return problem(503, "the database is busy or away")
    if isinstance(error, RequestDataTooBig):
        return problem(413, "the body is too large")
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        return problem(422, "the request is not valid", errors=_validation(error.detail))
    detail = str(getattr(error, "detail", "")) if isinstance(error, exceptions.APIException) else ""
    if isinstance(error, Http404 | PermissionDenied):
        detail = ""
    answer = problem(response.status_code, _title(response.status_code), detail=detail)
    for name in ("WWW-Authenticate", "Allow", "Retry-After"):
        if response.has_header(name):
            answer[name] = response[name]
    return answer


def _title(status: int) -> str:
    return {404: "not found", 401: "sign in first", 403: "your role does not allow this"}.get(
        status, HTTPStatus(status).phrase.lower()
    )


def document(
    status: int, title: str, *, detail: str = "", errors: list[dict[str, str]] | None = None, remedy: str = ""
) -> dict[str, Any]:
    """Return a problem as plain data; `type` leads to the manual's page on it."""
    body: dict[str, Any] = {"type": f"/docs/api-problems#{status}", "title": title, "status": status}
    if detail and detail != title:
        body["detail"] = detail
    if remedy or status in REMEDIES:
        body["remedy"] = remedy or REMEDIES[status]
    if errors:
        body["errors"] = errors
    return body


def problem(
    status: int, title: str, *, detail: str = "", errors: list[dict[str, str]] | None = None, remedy: str = ""
) -> Response:
    """Return a problem as an answer."""
    body = document(status, title, detail=detail, errors=errors, remedy=remedy)
    return Response(body, status=status, content_type=CONTENT_TYPE)


def _entry(where: str, what: str, remedy: str = "") -> dict[str, str]:
    entry = {"pointer": "/" + where.replace("~", "~0").replace("/", "~1").replace(".", "/").lstrip("/"), "detail": what}
    return entry | ({"remedy": remedy} if remedy else {})


def _validation(detail: Any, path: str = "") -> list[dict[str, str]]:
    if isinstance(detail, dict):
        return [item for key, value in detail.items() for item in _validation(value, f"{path}/{key}")]
    if isinstance(detail, list):
        return [item for value in detail for item in _validation(value, path)]
    return [{"pointer": path or "/", "detail": str(detail)}]


class ProblemMiddleware:
    """Below /api/ no error is a page: what the views did not shape becomes a problem; each answer has an identifier."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Shape errors that come from outside the views: no such address, no such host, a token of no use."""
        if not request.path.startswith("/api/"):
            return self.get_response(request)
        request.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]
        answer = self.get_response(request)
        if answer.status_code >= 400 and answer.get("Content-Type", "") != CONTENT_TYPE:
            kept = {name: answer[name] for name in ("Allow", "WWW-Authenticate", "Retry-After") if answer.has_header(name)}
            body = document(answer.status_code, _title(answer.status_code))
            answer = JsonResponse(body, status=answer.status_code, content_type=CONTENT_TYPE, headers=kept)
        answer["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return answer

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a defect with a problem that names the request; the log has the rest."""
        if not request.path.startswith("/api/"):
            return None
        if isinstance(error, Http404 | PermissionDenied):
            return None
        identifier = getattr(request, "request_id", "")
        LOG.exception("request %s failed: %s %s", identifier, request.method, request.path)
        body = document(500, "internal error") | {"request_id": identifier}
        return JsonResponse(body, status=500, content_type=CONTENT_TYPE)
