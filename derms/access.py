"""Who may call what. A view declares it, or nobody may: the middleware refuses a view without a declaration.

    @access(get=SIGNED_IN, post=(roles.ENGINEER,))
    def page(request): ...

A method that is not named is refused with 405. HEAD follows GET; OPTIONS tells which methods there are. Views of libraries,
which cannot carry the decorator, stand in `FOREIGN` by the name of their address. Whose *object* it is, the queries decide:
another tenant's answers exactly as a missing one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

PUBLIC: Literal["public"] = "public"
"""Anybody, signed in or not."""
SIGNED_IN: Literal["signed in"] = "signed in"
"""Anybody who is signed in; the queries still show only what is theirs."""
Who = tuple[str, ...] | Literal["public", "signed in"]
"""Names of roles, or one of the two words."""

Thing = TypeVar("Thing", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """What a view declares: who may use each method; `own_login`: the view itself reads tokens and answers 401 and 403."""

    methods: Mapping[str, Who]
    own_login: bool = False

    def allows(self, method: str, names: frozenset[str], signed_in: bool) -> bool:
        """Say whether somebody with these roles may use the method."""
        who = self.methods.get("GET" if method == "HEAD" else method, ())
        if who == PUBLIC:
            return True
        if not signed_in:
            return False
        return who == SIGNED_IN or bool(names.intersection(who))

    def knows(self, method: str) -> bool:
        """Say whether the view has the method at all."""
        return method == "OPTIONS" or ("GET" if method == "HEAD" else method) in self.methods


def access(*, own_login: bool = False, **methods: Who) -> Callable[[Thing], Thing]:
    """Declare who may use a view: `get=`, `post=`, `put=`, `patch=`, `delete=` take role names, SIGNED_IN or PUBLIC."""
    wrong = set(methods) - {"get", "post", "put", "patch", "delete"}
    if wrong:
        raise ValueError(f"no HTTP methods: {wrong}")
    declared = Access({name.upper(): who for name, who in methods.items()}, own_login)

    def mark(view: Thing) -> Thing:
        view.access = declared  # type: ignore[attr-defined]
        return view

    return mark


def _page(who: Who) -> Access:
    return Access({"GET": who, "POST": who})


FOREIGN: dict[str, Access] = {
    "schema": Access({"GET": PUBLIC}),
    "login": _page(PUBLIC),
    "logout": _page(PUBLIC),
    "oauth-token": Access({"POST": PUBLIC}),
    "oauth-revoke": Access({"POST": PUBLIC}),
    # allauth's pages ask for a signed-in person themselves where they need one (test_accounts.py opens each without).
    "account_": _page(PUBLIC),
    "mfa_authenticate": _page(PUBLIC),
    "mfa_": _page(SIGNED_IN),
    "usersessions_": _page(SIGNED_IN),
    "socialaccount_": _page(PUBLIC),
    "openid_connect_": _page(PUBLIC),
}
"""Views of libraries by the name of their address, or by the beginning of the name with `_` or `:` at the end."""


def declared(view: Callable[..., Any], name: str) -> Access | None:
    """Return what a view, or the class behind it, declares; for a library's view what stands in FOREIGN."""
    for carrier in (view, getattr(view, "view_class", None), getattr(view, "cls", None)):
        found = getattr(carrier, "access", None)
        if isinstance(found, Access):
            return found
    if name in FOREIGN:
        return FOREIGN[name]
    return next((what for key, what in FOREIGN.items() if key.endswith((":", "_")) and name.startswith(key)), None)


def role_names(user: Any) -> frozenset[str]:
    """Return the names of a user's groups; read once for each request."""
    if not getattr(user, "is_authenticated", False):
        return frozenset()
    known = getattr(user, "_role_names", None)
    return known if known is not None else frozenset(user.groups.values_list("name", flat=True))


class AccessMiddleware:
    """Refuses before the view runs: no declaration, no such method, nobody signed in, no such role."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on; the decision falls in process_view."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Iterable[Any], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Return a refusal, or None to let the view run."""
        assert request.resolver_match is not None
        rule = declared(view, request.resolver_match.view_name or "")
        if rule is None:
            name = f"{getattr(view, '__module__', '')}.{getattr(view, '__qualname__', view)}"
            raise PermissionDenied(f"{name} declares no access: put @access(...) of derms.access on it")
        if rule.own_login:
            return None
        if not rule.knows(request.method or ""):
            return HttpResponseNotAllowed(sorted(rule.methods))
        if request.method == "OPTIONS":
            return HttpResponse(headers={"Allow": ", ".join(sorted(rule.methods))})
        user = request.user
        if user.is_authenticated:
            user._role_names = role_names(user)  # type: ignore[attr-defined]
        if rule.allows(request.method or "", role_names(user), user.is_authenticated):
            return None
        if not user.is_authenticated:
            return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
        raise PermissionDenied("your role does not allow this")
