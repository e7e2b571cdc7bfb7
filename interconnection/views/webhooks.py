"""Pages of webhooks: one's own with their log; all of them for the administrator, who approves addresses."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from derms.access import SIGNED_IN, access
from derms.errors import HeadroomError
from interconnection import roles
from interconnection.api import webhook_services as services
from interconnection.api.models import Webhook


def _visible(request: HttpRequest) -> Any:
    rows = Webhook.objects.select_related("owner")
    return rows if roles.has(request.user, roles.ADMINISTRATOR) else rows.filter(owner=request.user.pk)


@access(get=SIGNED_IN, post=SIGNED_IN)
def webhooks(request: HttpRequest) -> HttpResponse:
    """One's webhooks, or everybody's for the administrator; a new one's secret is shown once, here."""
    shown: dict[str, Any] = {}
    if request.method == "POST":
        try:
            webhook, secret = services.create(request.user, request.POST.get("url", ""), request.POST.getlist("types"))
            shown = {"url": webhook.url, "secret": secret}
        except HeadroomError as error:
            messages.error(request, f"{error.what}. {error.remedy}".strip())
    page = Paginator(_visible(request), 50).get_page(request.GET.get("page"))
    context = {"page": page, "shown": shown, "types": services.TYPES, "boss": roles.has(request.user, roles.ADMINISTRATOR)}
    answer = render(request, "accounts/webhooks.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


@access(get=SIGNED_IN, post=SIGNED_IN)
def webhook(request: HttpRequest, number: int) -> HttpResponse:
    """One webhook with its messages: send again, test, new secret, approve, stop, remove."""
    found = _visible(request).filter(pk=number).first()
    if found is None:
        raise Http404
    shown: dict[str, Any] = {}
    if request.method == "POST":
        try:
            secret = _act(request, found)
            if request.POST.get("action") == "remove":
                return redirect("webhooks")
            shown = {"url": found.url, "secret": secret} if secret else {}
            found.refresh_from_db()
        except HeadroomError as error:
            messages.error(request, f"{error.what}. {error.remedy}".strip())
    page = Paginator(found.messages.prefetch_related("tries"), 50).get_page(request.GET.get("page"))
    boss = roles.has(request.user, roles.ADMINISTRATOR)
    return render(request, "accounts/webhook.html", {"webhook": found, "page": page, "shown": shown, "boss": boss})


def _act(request: HttpRequest, found: Webhook) -> str:
    action, now = request.POST.get("action", ""), timezone.now()
    if action in ("approve", "stop"):
        services.approve(request.user, found, action == "approve")
    elif action == "test":
        services.enqueue(found, "test", {"webhook": found.pk}, now)
    elif action == "resend":
        number = request.POST.get("message", "")
        services.send_again(request.user, found, int(number) if number.isascii() and number.isdigit() else 0, now)
    elif action == "rotate" and found.owner_id == request.user.pk:
        return services.rotate(request.user, found, now)
    elif action == "remove" and found.owner_id == request.user.pk:
        services.remove(request.user, found)
    return ""
