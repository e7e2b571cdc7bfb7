"""Addresses of sites, devices and notifications in the application API."""

from django.urls import path

from telemetry import api, device_api

urlpatterns = [
    path("sites/", api.SiteList.as_view(), name="api-sites"),
    path("sites/<slug:site>/", api.SiteDetail.as_view(), name="api-site"),
    path("sites/<slug:site>/limits/", api.SiteLimits.as_view(), name="api-site-limits"),
    path("sites/<slug:site>/curtailment/", api.SiteCurtailment.as_view(), name="api-site-curtailment"),
    path("sites/<slug:site>/cap/", api.SiteCap.as_view(), name="api-site-cap"),
    path("devices/", device_api.DeviceList.as_view(), name="api-devices"),
    path("devices/<int:number>/", device_api.DeviceDetail.as_view(), name="api-device"),
    path("devices/<int:number>/access/", device_api.DeviceAccess.as_view(), name="api-device-access"),
    path("notifications/", device_api.NotificationList.as_view(), name="api-notifications"),
    path("notifications/<int:number>/resend/", device_api.NotificationResend.as_view(), name="api-notification-resend"),
]
