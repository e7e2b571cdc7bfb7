"""Where each page and call lives: one line a room."""

from allauth.idp.oidc import views as oauth
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from derms import api_reference

urlpatterns = [
    path("", include("interconnection.urls")),
    path("operations/", include("telemetry.urls")),
    path("sites/", include("telemetry.portal_urls")),
    path("docs/", include("derms.manual")),
    path("", include("interconnection.accounts.urls")),
    # OAuth2: client credentials in, an opaque token of one hour out. allauth's other grants have no address here.
    path("oauth/token/", oauth.token, name="oauth-token"),
    path("oauth/revoke/", oauth.revoke, name="oauth-revoke"),
    path("api/v1/", include("interconnection.api.urls")),
    path("api/v1/", include("telemetry.api_urls")),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", api_reference.page, name="api-docs"),
]
