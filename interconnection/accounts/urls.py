"""Addresses of accounts: allauth's for signing in, ours for people, territories, tokens and clients."""

from allauth.account import views as account_views
from allauth.urls import build_provider_urlpatterns
from django.urls import include, path

from interconnection.accounts import views
from interconnection.views import webhooks

urlpatterns = [
    path("login/", account_views.login, name="login"),
    path("logout/", account_views.logout, name="logout"),
    path("account/", include("allauth.account.urls")),
    path("account/2fa/", include("allauth.mfa.urls")),
    path("account/3rdparty/", include("allauth.socialaccount.urls")),
    path("account/sessions/", include("allauth.usersessions.urls")),
    path("account/", include(build_provider_urlpatterns())),
    path("account/tokens/", views.tokens, name="tokens"),
    path("account/tokens/<int:number>/revoke/", views.revoke_token, name="token-revoke"),
    path("account/clients/", views.make_client, name="client-make"),
    path("account/clients/<slug:client_id>/<slug:action>/", views.change_client, name="client-change"),
    path("people/", views.people, name="people"),
    path("people/<int:number>/", views.person, name="person"),
    path("territories/", views.territories, name="territories"),
    path("webhooks/", webhooks.webhooks, name="webhooks"),
    path("webhooks/<int:number>/", webhooks.webhook, name="webhook"),
]
