"""The audit trail, and whether its chain holds."""

from __future__ import annotations

from datetime import UTC, datetime

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from derms.access import access
from interconnection import audit
from interconnection.audit_models import AuditHead
from interconnection.roles import UTILITY
from telemetry import audit_queries

PAGE = 100


@access(get=UTILITY)
def trail(request: HttpRequest) -> HttpResponse:
    """Entries, newest first, by actor, action, subject; with `verify` the whole chain is walked first."""
    wanted = {name: request.GET.get(name, "")[:200] for name in ("actor", "action", "subject")}
    page = Paginator(audit_queries.entries(**wanted), PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(row, audit_queries.facts(row.before), audit_queries.facts(row.after)) for row in page],
        "wanted": wanted,
        "actions": audit_queries.actions(),
        "head": AuditHead.objects.filter(name="audit").first(),
        "verification": audit.verify() if request.GET.get("verify") else None,
        "now": datetime.now(UTC),
    }
    return render(request, "telemetry/audit.html", context)
