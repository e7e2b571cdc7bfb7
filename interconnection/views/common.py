"""What the pages share: a missing object is a 404, a refusal is a message that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest

from derms.errors import HeadroomError, NotFound

Found = TypeVar("Found")
PAGE_SIZE = 50


def or_404(ask: Callable[..., Found], *arguments: Any) -> Found:
    """Return what a query finds; what it does not find, or may not show, is a 404."""
    try:
        return ask(*arguments)
    except NotFound as error:
        raise Http404(str(error)) from error


@contextmanager
def told(request: HttpRequest) -> Iterator[None]:
    """Turn a refusal of the services into a message on the next page."""
    try:
        yield
    except HeadroomError as error:
        messages.error(request, f"{error.what}. {error.remedy}".strip())


def whole_number(text: str | None, otherwise: int, least: int, most: int) -> int:
    """Return a whole number of the address line, kept within bounds; what is no number counts as `otherwise`."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 12:
        return otherwise
    return max(least, min(most, int(text)))


def page_of(rows: Any, request: HttpRequest) -> Page[Any]:
    """Return the page of a list that the address asks for."""
    return Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
