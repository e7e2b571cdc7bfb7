"""Messages between parent and child: a length and JSON. Never pickle: a child that was taken over must stay a child."""

from __future__ import annotations

import json
import struct
from typing import Any

from derms import errors

HEADER = struct.Struct(">I")
MOST_BYTES = 256 * 1024 * 1024
# The only classes that a child can make the parent raise.
ERRORS = {
    kind.__name__: kind
    for kind in (errors.InputError, errors.ModelRefused, errors.NotFound, errors.NotConverged, errors.LocalError)
}


def pack(message: dict[str, Any]) -> bytes:
    """Return the bytes of one message."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return HEADER.pack(len(body)) + body


def describe_error(error: errors.HeadroomError) -> dict[str, str]:
    """Return an error as plain data."""
    return {"kind": type(error).__name__, "what": error.what, "where": error.where, "remedy": error.remedy}


def rebuild_error(raw: dict[str, Any]) -> errors.HeadroomError:
    """Return the error that a child described, limited to known classes and lengths."""
    kind = ERRORS.get(str(raw.get("kind")), errors.LocalError)
    text = {name: str(raw.get(name, ""))[:500] for name in ("what", "where", "remedy")}
    return kind(text["what"], where=text["where"], remedy=text["remedy"])
