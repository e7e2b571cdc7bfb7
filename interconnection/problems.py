"""Errors of the API as RFC 9457 problem documents: what, where (a JSON pointer), and what to do about it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from derms.errors import Conflict, HeadroomError, InputError, LocalError, NotConverged, NotFound

STATUS: tuple[tuple[type[HeadroomError], int], ...] = (
    (NotFound, 404),
    (InputError, 422),
    (Conflict, 409),
    (NotConverged, 422),
    (LocalError, 503),
)


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn our errors, and the framework's, into problem+json."""
    if isinstance(error, HeadroomError):
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        pointers = [_entry(error.where, error.what, error.remedy)] if error.where else []
        return problem(status, error.what, detail=str(error), errors=pointers)
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        return problem(422, "the request is not valid", errors=_validation(error.detail))
    title = {404: "not found", 401: "sign in first", 403: "your role does not allow this"}.get(
        response.status_code, "the request failed"
    )
    known = isinstance(error, exceptions.APIException | Http404 | PermissionDenied)
    answer = problem(response.status_code, title, detail=str(getattr(error, "detail", "")) if known else "")
    for name in ("WWW-Authenticate", "Allow", "Retry-After"):
        if response.has_header(name):
            answer[name] = response[name]
    return answer


def problem(status: int, title: str, *, detail: str = "", errors: list[dict[str, str]] | None = None) -> Response:
    """Return a problem document."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    if errors:
        body["errors"] = errors
    return Response(body, status=status, content_type="application/problem+json")


def _entry(where: str, what: str, remedy: str = "") -> dict[str, str]:
    entry = {"pointer": "/" + where.replace(".", "/").lstrip("/"), "detail": what}
    return entry | ({"remedy": remedy} if remedy else {})


def _validation(detail: Any, path: str = "") -> list[dict[str, str]]:
    if isinstance(detail, dict):
        return [item for key, value in detail.items() for item in _validation(value, f"{path}/{key}")]
    if isinstance(detail, list):
        return [item for value in detail for item in _validation(value, path)]
    return [{"pointer": path or "/", "detail": str(detail)}]
