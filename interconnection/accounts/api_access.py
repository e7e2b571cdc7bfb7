"""How a call to the API says who it is, and what it may do: session, personal token or OAuth2 token; role and scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allauth.idp.oidc.models import Token
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from interconnection import roles
from interconnection.accounts.scopes import SCOPES
from interconnection.accounts.services import PREFIX, find_token

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it imports this module, by name, from the settings

LONGEST = 512


@dataclass(frozen=True, slots=True)
class Credentials:
    """What stands behind a token: which one, and what it opens."""

    key: str
    scopes: frozenset[str]


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer …`: a personal token (hrp_…) or one from the OAuth2 token address."""

    def authenticate(self, request: Request) -> tuple[Any, Credentials] | None:
        """Return the owner and the credentials; None without such a header; raises AuthenticationFailed for a bad one."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"bearer":
            return None
        if len(parts) != 2 or len(parts[1]) > LONGEST:
            raise AuthenticationFailed("the Authorization header is not 'Bearer' and one token")
        try:
            value = parts[1].decode("ascii")
        except UnicodeDecodeError as error:
            raise AuthenticationFailed("a token is plain ASCII") from error
        found = self._personal(value) if value.startswith(PREFIX) else self._oauth(value)
        if found is None:
            raise AuthenticationFailed("this token is unknown, expired or revoked")
        return found

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Bearer realm="headroom"'

    def _personal(self, value: str) -> tuple[Any, Credentials] | None:
        token = find_token(value, timezone.now())
        return None if token is None else (token.owner, Credentials(f"token {token.pk}", frozenset(token.scopes)))

    def _oauth(self, value: str) -> tuple[Any, Credentials] | None:
        token = Token.objects.lookup(Token.Type.ACCESS_TOKEN, value)
        client = token.client if token is not None else None
        if token is None or client is None or client.owner is None or not client.owner.is_active:
            return None
        return client.owner, Credentials(f"client {client.pk}", frozenset(token.get_scopes()) & frozenset(SCOPES))


class Declared(BasePermission):
    """Allows what the view's `@access` allows to the role and its `scopes` to the token; the undeclared is refused."""

    message = "your role does not allow this"

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the caller may use the method."""
        method = request.method or ""
        rule = getattr(view, "access", None)
        if rule is None:
            return False
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            return request.user.is_authenticated  # the framework answers: 405, or what there is
        if not rule.allows(method, roles.roles(request.user), request.user.is_authenticated):
            return False
        if isinstance(request.auth, Credentials):
            scope = getattr(view, "scopes", {}).get("GET" if method == "HEAD" else method)
            if scope not in request.auth.scopes:
                raise PermissionDenied(f"this token has no scope '{scope}'" if scope else "no token opens this")
        return True
