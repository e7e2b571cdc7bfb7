"""IEEE 2030.5 devices and the log of notifications by API: operators look and resend, engineers register and revoke."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import access
from derms.errors import InputError
from interconnection import roles
from interconnection.api import schemas
from interconnection.api.base import Api, Pages, page
from interconnection.api.fields import Text
from telemetry import utility_queries, utility_services
from telemetry.utility_models import EndDevice, WireIdentity


class DeviceShown(serializers.Serializer[Any]):
    """A device or an aggregator in short: identity, last seen, certificate's end, newest power."""

    id = serializers.IntegerField()
    lfdi = serializers.CharField()
    sfdi = serializers.IntegerField()
    name = serializers.CharField()
    role = serializers.CharField(help_text="device, aggregator, or through an aggregator.")
    through = serializers.CharField(help_text="LFDI of the aggregator that manages it, or empty.")
    site = serializers.CharField()
    granted = serializers.BooleanField()
    seen = serializers.DateTimeField(allow_null=True)
    address = serializers.CharField()
    expires = serializers.DateTimeField(allow_null=True)
    expiry_step = serializers.IntegerField(allow_null=True, help_text="90, 30, 7, 1 days ahead; 0 expired; null: no alarm.")
    power_kw = serializers.FloatField(allow_null=True, help_text="Import positive.")
    power_at = serializers.DateTimeField(allow_null=True)
    live_controls = serializers.IntegerField()
    alarms = serializers.ListField(child=serializers.CharField())


class DeviceFull(DeviceShown):
    """A device with all that is known of it; controls, answers and log entries: the newest 50."""

    pin = serializers.IntegerField(allow_null=True)
    registered = serializers.DateTimeField()
    connection_point = serializers.CharField()
    rating_w = serializers.FloatField(allow_null=True)
    certificate = serializers.DictField()
    hosts = serializers.ListField(child=serializers.CharField())
    programs = serializers.ListField(child=serializers.DictField())
    controls = serializers.ListField(child=serializers.DictField())
    responses = serializers.ListField(child=serializers.DictField())
    readings = serializers.ListField(child=serializers.DictField())
    reported = serializers.DictField(child=serializers.DictField())
    log = serializers.ListField(child=serializers.DictField())
    reservations = serializers.ListField(child=serializers.DictField())


class DeviceForm(serializers.Serializer[Any]):
    """Who it is, for which site it speaks, and through whom."""

    identity = Text(max_length=20_000, help_text="An LFDI (40 hexadecimal digits) or a certificate in PEM.")
    role = serializers.ChoiceField(choices=[WireIdentity.DEVICE, WireIdentity.AGGREGATOR], default=WireIdentity.DEVICE)
    name = Text(max_length=64, required=False, allow_blank=True)
    site = Text(max_length=64, required=False, allow_blank=True)
    through = Text(max_length=40, required=False, allow_blank=True, help_text="LFDI of the aggregator.")
    topology = serializers.BooleanField(default=False, help_text="Place it in the seven topology groups of CSIP.")
    hosts = serializers.ListField(child=Text(max_length=253), required=False, max_length=20)


class AccessForm(serializers.Serializer[Any]):
    """Whether its certificate may come in."""

    granted = serializers.BooleanField()


class NotificationShown(serializers.Serializer[Any]):
    """A notification: to whom, of what, and what became of it."""

    id = serializers.IntegerField()
    subscriber = serializers.CharField()
    device = serializers.IntegerField()
    resource = serializers.CharField()
    uri = serializers.CharField()
    created = serializers.DateTimeField()
    attempts = serializers.IntegerField()
    state = serializers.ChoiceField(choices=["waiting", "delivered", "given up"])
    outcome = serializers.CharField(help_text="Of the last attempt: an HTTP status, or why nobody was reached.")
    finished = serializers.DateTimeField(allow_null=True)
    next = serializers.DateTimeField(allow_null=True)


def _short(row: utility_queries.DeviceRow) -> dict[str, Any]:
    found = asdict(row)
    found.pop("power_w")
    return {"id": found.pop("number")} | found | {"power_kw": row.power_kw}


def _full(number: int) -> dict[str, Any]:
    found = utility_queries.device_detail(number, timezone.now())
    rest = asdict(found)
    rest.pop("row")
    return _short(found.row) | rest


@access(own_login=True, get=roles.UTILITY, post=(roles.ENGINEER,))
class DeviceList(Api):
    """Devices and aggregators."""

    scopes = {"GET": "devices:read", "POST": "devices:write"}

    @extend_schema(
        operation_id="devices_list", responses=schemas.paged("Device", DeviceShown),
        parameters=[*schemas.CURSOR, OpenApiParameter("site", str, description="Those that speak for this site only.")],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return a page of the devices and aggregators, the newest first."""
        rows = EndDevice.objects.select_related("aggregator")
        if site := request.query_params.get("site"):
            rows = rows.filter(site=site[:64])
        pages = Pages()
        pages.ordering = ("-id",)
        found = pages.paginate_queryset(rows, request, view=self) or []
        return pages.get_paginated_response([_short(row) for row in utility_queries.device_rows(found, timezone.now())])

    @extend_schema(
        operation_id="devices_register", request=DeviceForm, responses={201: DeviceFull}, parameters=[schemas.ONCE]
    )
    def post(self, request: Request) -> Response:
        """Register a device or an aggregator out of band; a device's PIN is in the answer."""
        form = DeviceForm(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        row = utility_services.enrol(
            asked["identity"].strip(), now=int(time.time()), role=asked["role"], name=asked.get("name", ""),
            site=asked.get("site", ""), through=asked.get("through", ""), hosts=asked.get("hosts", []),
            groups=utility_services.TOPOLOGY if asked["topology"] else (),
        )  # fmt: skip
        answer = Response(_full(row.pk), status=201)
        answer["Location"] = reverse("api-device", args=[row.pk])
        return answer


@access(own_login=True, get=roles.UTILITY)
class DeviceDetail(Api):
    """One device."""

    scopes = {"GET": "devices:read"}

    @extend_schema(operation_id="devices_read", responses=DeviceFull)
    def get(self, request: Request, number: int) -> Response:
        """Return a device: identity, certificate, programs, controls, answers, readings, what it reported of itself."""
        return Response(_full(number))


@access(own_login=True, post=(roles.ENGINEER,))
class DeviceAccess(Api):
    """Whether a device may come in."""

    scopes = {"POST": "devices:write"}

    @extend_schema(operation_id="devices_access", request=AccessForm, responses=DeviceFull, parameters=[schemas.ONCE])
    def post(self, request: Request, number: int) -> Response:
        """Revoke a certificate (open connections are cut within a minute), or let it in again."""
        form = AccessForm(data=request.data)
        form.is_valid(raise_exception=True)
        lfdi = utility_queries.device_detail(number, timezone.now(), most=1).row.lfdi
        utility_services.allow(lfdi, granted=form.validated_data["granted"])
        return Response(_full(number))


@access(own_login=True, get=roles.UTILITY)
class NotificationList(Api):
    """What subscribers were told."""

    scopes = {"GET": "devices:read"}

    @extend_schema(
        operation_id="notifications_list", responses=schemas.paged("Notification", NotificationShown),
        parameters=[
            *schemas.CURSOR,
            OpenApiParameter("waiting", {"type": "boolean"}, description="true: the undelivered only."),
            OpenApiParameter("device", {"type": "integer", "minimum": 1}, description="Of this subscriber only."),
        ],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return a page of the notifications, newest first, with where they go and what became of them."""
        asked = request.query_params
        waiting, device = asked.get("waiting", "false"), asked.get("device")
        if waiting not in ("true", "false"):
            raise InputError("this is neither true nor false", where="waiting")
        if device is not None and not (device.isascii() and device.isdigit() and len(device) < 12):
            raise InputError("this is no number of a device", where="device")
        rows = utility_queries.notifications(device=int(device) if device else None, waiting=waiting == "true")
        return page(self, request, rows, utility_queries.notification_row, ordering=("-id",))


@access(own_login=True, post=(roles.OPERATOR, roles.ENGINEER))
class NotificationResend(Api):
    """Tell a subscriber again."""

    scopes = {"POST": "devices:write"}

    @extend_schema(
        operation_id="notifications_resend", request=None, responses={201: NotificationShown}, parameters=[schemas.ONCE]
    )
    def post(self, request: Request, number: int) -> Response:
        """Queue the resource as it is now, behind what waits for this subscriber."""
        row = utility_services.resend(number, timezone.now())
        return Response(utility_queries.notification_row(row), status=201)
