"""How the OpenAPI document names our ways to sign in."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from interconnection.accounts.api_access import TokenAuthentication
from interconnection.accounts.scopes import SCOPES


class BearerScheme(OpenApiAuthenticationExtension):
    """How the schema names our tokens."""

    target_class = TokenAuthentication
    name = ["personalToken", "oauth2"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return the two schemes."""
        return [
            {"type": "http", "scheme": "bearer", "description": "A personal token (hrp_…)."},
            {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "/oauth/token/", "scopes": SCOPES}},
            },
        ]
