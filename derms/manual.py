"""The manual: Markdown files in `templates/docs`, served by the program, offline."""

from __future__ import annotations

import re

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.safestring import mark_safe
from markdown_it import MarkdownIt

from derms.access import PUBLIC, access

FOLDER = settings.BASE_DIR / "templates" / "docs"
RENDERER = MarkdownIt("commonmark", {"html": False}).enable("table")


@access(get=PUBLIC)
def page(request: HttpRequest, name: str = "index") -> HttpResponse:
    """Show one page of the manual."""
    source = FOLDER / f"{name}.md"
    if not re.fullmatch(r"[a-z0-9-]+(/[a-z0-9-]+)?", name) or not source.is_file():
        raise Http404
    # A block of code that is wider than its panel scrolls: by the keyboard too.
    html = RENDERER.render(source.read_text()).replace("<pre>", '<pre tabindex="0">')
    # The browser fetches a picture when it is scrolled to, and leaves its place free meanwhile.
    html = html.replace('<img src="/static/screens/', '<img loading="lazy" width="1366" height="768" src="/static/screens/')
    # The Markdown is our own and its raw HTML is switched off.
    return render(request, "manual.html", {"body": mark_safe(html), "name": name})  # noqa: S308


urlpatterns = [path("", page, name="manual"), path("<path:name>", page, name="manual-page")]
