"""Addresses of the control room's pages."""

from django.urls import path

from telemetry import views

urlpatterns = [
    path("", views.operations, name="operations"),
    path("<slug:feeder>/<slug:name>/", views.site, name="site"),
]
