"""Entity tags: what the caller saw must be what they change (RFC 9110, RFC 6585)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder


class Missing(APIException):
    """428: this write needs If-Match."""

    status_code = 428
    default_detail = "this write needs If-Match with the ETag that you read"


class Stale(APIException):
    """412: somebody changed it since."""

    status_code = 412
    default_detail = "it has changed since you read it: read it again"


def tag(document: Any) -> str:
    """Return the strong tag of a document as the API shows it."""
    text = json.dumps(document, cls=JSONEncoder, sort_keys=True)
    return '"' + hashlib.sha256(text.encode()).hexdigest()[:32] + '"'


def tagged(document: Any, request: Request | None = None, *, status: int = 200) -> Response:
    """Return an answer with its tag; 304 without a body when the caller holds it already."""
    mark = tag(document)
    held = request.headers.get("If-None-Match", "") if request is not None and request.method in ("GET", "HEAD") else ""
    if mark in [item.strip().removeprefix("W/") for item in held.split(",")]:
        return Response(status=304, headers={"ETag": mark})
    return Response(document, status=status, headers={"ETag": mark})


def must_match(request: Request, document: Any) -> None:
    """Raise Missing without If-Match, Stale when it names another state than the present one."""
    wanted = request.headers.get("If-Match", "")
    if not wanted:
        raise Missing
    # Compression on the way makes a tag weak (W/): it still names the one document whose hash it is.
    if wanted.strip() != "*" and tag(document) not in [item.strip().removeprefix("W/") for item in wanted.split(",")]:
        raise Stale
