"""Addresses of sites in the application API."""

from django.urls import path

from telemetry import api

urlpatterns = [
    path("sites/", api.SiteList.as_view(), name="api-sites"),
    path("sites/<slug:site>/", api.SiteDetail.as_view(), name="api-site"),
    path("sites/<slug:site>/limits/", api.SiteLimits.as_view(), name="api-site-limits"),
    path("sites/<slug:site>/curtailment/", api.SiteCurtailment.as_view(), name="api-site-curtailment"),
    path("sites/<slug:site>/cap/", api.SiteCap.as_view(), name="api-site-cap"),
]
