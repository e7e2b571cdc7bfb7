"""A request body that is a ZIP, read up to a limit."""

from __future__ import annotations

from typing import Any

from rest_framework.parsers import BaseParser

from interconnection.api.strict_json import TooLarge
from interconnection.services.uploads import MOST_ZIP_BYTES


class ZipBody(BaseParser):
    """application/zip: the bytes as they came."""

    media_type = "application/zip"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, bytes]:
        """Return the bytes under the name `zip`; one byte too many is 413."""
        raw = stream.read(MOST_ZIP_BYTES + 1)
        if len(raw) > MOST_ZIP_BYTES:
            raise TooLarge(f"the ZIP is larger than {MOST_ZIP_BYTES} bytes")
        return {"zip": raw}
