"""Who calls: for scripts that want to know what their token opens."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from interconnection import roles
from interconnection.accounts.api_access import Credentials
from interconnection.accounts.scopes import SCOPES
from interconnection.api import schemas
from interconnection.api.base import Api


@access(own_login=True, get=SIGNED_IN)
class Me(Api):
    """Who calls."""

    @property
    def scopes(self) -> dict[str, str]:
        """Return whichever scope the token has: every token may ask about itself."""
        auth = self.request.auth
        return {"GET": sorted(auth.scopes)[0] if isinstance(auth, Credentials) and auth.scopes else "feeders:read"}

    @extend_schema(operation_id="me", responses=schemas.Me)
    def get(self, request: Request) -> Response:
        """Return the user, the roles and what this way of signing in opens."""
        token = isinstance(request.auth, Credentials)
        return Response(
            {
                "user": str(request.user),
                "roles": sorted(roles.roles(request.user)),
                "scopes": sorted(request.auth.scopes) if token else list(SCOPES),
                "signed_in_by": request.auth.key if token else "session",
            }
        )
