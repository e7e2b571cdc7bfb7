"""JSON as the API takes it: no NaN, no name twice, no NUL, no half of a surrogate pair, no towers, no megabytes."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MOST_BYTES = 1_000_000
MOST_DEPTH = 16
MOST_DIGITS = 64


class TooLarge(APIException):
    """413: the body is larger than the API takes."""

    status_code = 413
    default_detail = f"the body is larger than {MOST_BYTES} bytes"


def read(raw: bytes) -> Any:
    """Return the document; raises ParseError that says what is wrong and, where known, at which place."""
    if len(raw) > MOST_BYTES:
        raise TooLarge
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"the body is not UTF-8 (byte {error.start})") from error
    _check_depth(text)
    try:
        document = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_number, parse_float=_decimal
        )
    except json.JSONDecodeError as error:
        raise ParseError(f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ParseError(f"the document is nested deeper than {MOST_DEPTH}") from error
    _check_texts(document)
    return document


def _check_depth(text: str) -> None:
    """Refuse towers before the parser climbs them; brackets inside strings do not count."""
    depth, inside, escaped = 0, False, False
    for letter in text:
        if inside:
            inside = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise ParseError(f"the document is nested deeper than {MOST_DEPTH}")
        elif letter in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"the name {twice[:64]!r} stands twice in one object")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ParseError(f"{word} is not JSON")


def _number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ParseError(f"a number of {len(digits)} digits")
    return int(digits)


def _decimal(digits: str) -> float:
    if len(digits) > MOST_DIGITS:
        raise ParseError(f"a number of {len(digits)} digits")
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ParseError(f"{digits} is beyond every number")
    return value


def _check_texts(document: Any) -> None:
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "\x00" in item:
                raise ParseError("a text holds the NUL character")
            if not item.isascii() and any("\ud800" <= letter <= "\udfff" for letter in item):
                raise ParseError("a text holds half of a surrogate pair")
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item


class StrictJSON(BaseParser):
    """The framework's parser for application/json, strict; its body must be an object or an array."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Read at most one byte more than is allowed, then decide."""
        document = read(stream.read(MOST_BYTES + 1))
        if not isinstance(document, dict):
            raise ParseError("the body must be a JSON object")
        return document
