"""Addresses of the control room's pages."""

from django.urls import path

from telemetry import (
    alarm_views,
    audit_views,
    curtailment_views,
    device_views,
    evidence_views,
    order_views,
    sharing_views,
    switching_views,
    views,
)

urlpatterns = [
    path("", views.operations, name="operations"),
    path("alarms/", alarm_views.alarms, name="alarms"),
    path("alarms/acknowledge/", alarm_views.acknowledge, name="acknowledge-alarms"),
    path("alarms/journal/", alarm_views.journal, name="alarm-journal"),
    path("alarms/<int:number>/shelve/", alarm_views.shelve, name="shelve-alarm"),
    path("alarms/<int:number>/remove/", alarm_views.remove, name="remove-alarm"),
    path("alarms/<int:number>/back/", alarm_views.bring_back, name="bring-back-alarm"),
    path("orders/", order_views.order_list, name="orders"),
    path("orders/<int:number>/approve/", order_views.approve, name="approve-order"),
    path("orders/<int:number>/reject/", order_views.reject, name="reject-order"),
    path("orders/<int:number>/release/", order_views.release, name="release-order"),
    path("devices/", device_views.devices, name="devices"),
    path("devices/<int:number>/", device_views.device, name="device"),
    path("devices/<int:number>/allow/", device_views.allow, name="allow-device"),
    path("subscriptions/", device_views.subscriptions, name="subscriptions"),
    path("subscriptions/<int:number>/resend/", device_views.resend, name="resend-notification"),
    path("audit/", audit_views.trail, name="audit"),
    path("curtailment/", curtailment_views.report, name="curtailment-report"),
    path("evidence/", evidence_views.bundles, name="evidence-list"),
    path("evidence/<int:number>/", evidence_views.bundle, name="evidence"),
    path("switching/<slug:feeder>/", switching_views.switching, name="switching"),
    path("switching/<slug:feeder>/declare/", switching_views.declare, name="declare-state"),
    path("sharing/<slug:feeder>/", sharing_views.sharing, name="sharing"),
    path("sharing/<slug:feeder>/propose/", sharing_views.propose, name="propose-sharing"),
    path("sharing/<slug:feeder>/<int:number>/decide/", sharing_views.decide, name="decide-sharing"),
    path("feeder/<slug:feeder>/", views.feeder, name="feeder-board"),
    path("feeder/<slug:feeder>/order/", order_views.give, name="give-order"),
    path("feeder/<slug:feeder>/mode/", order_views.set_mode, name="set-mode"),
    path("feeder/<slug:feeder>/<slug:name>/", views.site, name="site"),
]
