"""Addresses of the developer's pages."""

from django.urls import path

from telemetry import portal_views

urlpatterns = [
    path("", portal_views.my_sites, name="my-sites"),
    path("<slug:site>/", portal_views.my_site, name="my-site"),
]
