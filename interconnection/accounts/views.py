"""Pages of accounts: one's own tokens and clients; people, roles and territories for the administrator."""

from __future__ import annotations

from typing import Any

from allauth.idp.oidc.models import Client
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from derms.access import SIGNED_IN, access
from derms.errors import HeadroomError
from interconnection import roles
from interconnection.accounts import services
from interconnection.accounts.models import PersonalToken, Territory
from interconnection.accounts.scopes import SCOPES
from interconnection.models import Feeder

ADMIN = (roles.ADMINISTRATOR,)


def _say(request: HttpRequest, error: HeadroomError) -> None:
    messages.error(request, f"{error.what}. {error.remedy}".strip())


@access(get=SIGNED_IN, post=SIGNED_IN)
def tokens(request: HttpRequest) -> HttpResponse:
    """One's own tokens and OAuth2 clients; a new token's value is shown once, here."""
    shown: dict[str, Any] = {}
    if request.method == "POST":
        try:
            days = request.POST.get("days", "90")
            token, value = services.make_token(
                request.user, request.POST.get("name", ""), request.POST.getlist("scopes"),
                days=int(days) if days.isascii() and days.isdigit() else 0, now=timezone.now(),
            )  # fmt: skip
            shown = {"title": f"Token “{token.name}”", "value": value}
        except HeadroomError as error:
            _say(request, error)
    return _tokens_page(request, shown)


def _tokens_page(request: HttpRequest, shown: dict[str, Any]) -> HttpResponse:
    context = {
        "shown": shown,
        "scopes": SCOPES,
        "tokens": PersonalToken.objects.filter(owner=request.user.pk, revoked=None),
        "clients": [(row, row.get_scopes()) for row in Client.objects.filter(owner=request.user).order_by("-created_at")],
        "now": timezone.now(),
    }
    answer = render(request, "accounts/tokens.html", context)
    if shown:
        answer["Cache-Control"] = "no-store"
    return answer


@access(post=SIGNED_IN)
def revoke_token(request: HttpRequest, number: int) -> HttpResponse:
    """End one's own token."""
    try:
        services.revoke_token(request.user, number, timezone.now())
    except HeadroomError as error:
        raise Http404 from error
    return redirect("tokens")


@access(post=SIGNED_IN)
def make_client(request: HttpRequest) -> HttpResponse:
    """Make an OAuth2 client; its secret is shown once."""
    try:
        client, secret = services.make_client(request.user, request.POST.get("name", ""), request.POST.getlist("scopes"))
    except HeadroomError as error:
        _say(request, error)
        return _tokens_page(request, {})
    return _tokens_page(request, {"title": f"Client “{client.name}”", "id": client.pk, "value": secret})


@access(post=SIGNED_IN)
def change_client(request: HttpRequest, client_id: str, action: str) -> HttpResponse:
    """Give one's client a new secret, or remove it."""
    try:
        if action == "rotate":
            client, secret = services.rotate_client(request.user, client_id)
            return _tokens_page(request, {"title": f"Client “{client.name}”", "id": client.pk, "value": secret})
        if action != "remove":
            raise Http404
        services.remove_client(request.user, client_id)
    except HeadroomError as error:
        raise Http404 from error
    return redirect("tokens")


@access(get=ADMIN, post=ADMIN)
def people(request: HttpRequest) -> HttpResponse:
    """Everybody with an account; a new one gets an address to set a password, no default password."""
    link = ""
    if request.method == "POST":
        try:
            _, path = services.make_person(
                request.user, request.POST.get("username", ""), request.POST.get("email", ""), request.POST.getlist("roles")
            )
            link = request.build_absolute_uri(path)
        except HeadroomError as error:
            _say(request, error)
    rows = get_user_model().objects.prefetch_related("groups", "territories").order_by("username")
    if wanted := request.GET.get("q", ""):
        rows = rows.filter(username__icontains=wanted[:100])
    page = Paginator(rows, 50).get_page(request.GET.get("page"))
    guarded = set(Authenticator.objects.filter(user__in=[row.pk for row in page]).values_list("user_id", flat=True))
    return render(
        request, "accounts/people.html",
        {"page": page, "roles": roles.ROLES, "guarded": guarded, "link": link, "q": wanted},
    )  # fmt: skip


@access(get=ADMIN, post=ADMIN)
def person(request: HttpRequest, number: int) -> HttpResponse:
    """One person: roles, access, second factor."""
    user = get_user_model().objects.filter(pk=number).first()
    if user is None:
        raise Http404
    link = ""
    if request.method == "POST":
        try:
            link = _change(request, user)
            messages.success(request, "Stored.")
        except HeadroomError as error:
            _say(request, error)
    context = {
        "person": user,
        "roles": roles.ROLES,
        "has": roles.ROLES if user.is_superuser else sorted(user.groups.values_list("name", flat=True)),
        "factors": Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES),
        "link": link,
    }
    return render(request, "accounts/person.html", context)


def _change(request: HttpRequest, user: Any) -> str:
    action = request.POST.get("action")
    if action == "roles":
        services.set_roles(request.user, user, request.POST.getlist("roles"))
    elif action == "active":
        services.set_active(request.user, user, request.POST.get("active") == "1")
    elif action == "password":
        services.note_password_link(request.user, user)
        return request.build_absolute_uri(services.password_link(user))
    elif action == "factor":
        services.remove_factors(request.user, user)
    return ""


@access(get=ADMIN, post=ADMIN)
def territories(request: HttpRequest) -> HttpResponse:
    """Territories with their feeders and people."""
    if request.method == "POST":
        try:
            number = request.POST.get("number", "")
            services.save_territory(
                request.user, request.POST.get("name", ""), request.POST.getlist("feeders"),
                [int(item) for item in request.POST.getlist("members") if item.isascii() and item.isdigit()],
                number=int(number) if number.isascii() and number.isdigit() else 0,
            )  # fmt: skip
            return redirect("territories")
        except HeadroomError as error:
            _say(request, error)
    staff = get_user_model().objects.filter(groups__name__in=roles.UTILITY).distinct().order_by("username")
    rows = [
        (row, {feeder.name for feeder in row.feeders.all()}, {user.pk for user in row.members.all()})
        for row in [*Territory.objects.prefetch_related("feeders", "members")]
    ]
    return render(
        request, "accounts/territories.html",
        {"rows": rows, "feeders": Feeder.objects.order_by("name"), "staff": staff},
    )  # fmt: skip
