"""The peer of `bench ieee2030_5`: plain Django on the same tables that writes with the peer's own models, unchecked.

envoy itself is not on a package index. What it spends most on is rendering with envoy-schema (pydantic-xml): this peer does
that and one or two statements a request, without TLS, roles, isolation, states of events or audit. It flatters envoy.

`python -m telemetry.benchmarks.utility_peer SOCKET`
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "derms.settings")


def main() -> None:
    """Serve."""
    import django
    from django.conf import settings

    django.setup()
    settings.ROOT_URLCONF, settings.MIDDLEWARE = __name__, []
    import uvicorn
    from django.core.asgi import get_asgi_application

    views()
    uvicorn.run(get_asgi_application(), uds=sys.argv[1], log_level="warning", access_log=False, lifespan="off")


urlpatterns: list[Any] = []


def views() -> None:
    """Define the four resources."""
    from django.http import HttpRequest, HttpResponse
    from django.urls import path
    from envoy_schema.server.schema.sep2 import (
        der,
        device_capability,
        end_device,
        event,
        identification,
        metering_mirror,
        types,
    )

    from telemetry.utility_models import Control, EndDevice, MeterStream, MeterValue

    def xml(value: Any) -> HttpResponse:
        body = value.to_xml(skip_empty=False, exclude_none=True)
        return HttpResponse(body, content_type="application/sep+xml", headers={"Content-Length": str(len(body))})

    def dcap(request: HttpRequest) -> HttpResponse:
        count = EndDevice.objects.filter(lfdi=request.headers["lfdi"]).count()
        link = identification.ListLink(href="/edev", all_=count)
        return xml(device_capability.DeviceCapabilityResponse(href="/dcap", EndDeviceListLink=link))

    def edev(request: HttpRequest, number: int) -> HttpResponse:
        row = EndDevice.objects.get(pk=number)
        root = f"/edev/{row.pk}"
        return xml(
            end_device.EndDeviceResponse(
                href=root,
                lFDI=row.lfdi,
                sFDI=row.sfdi,
                changedTime=row.changed,
                postRate=row.post_rate,
                DERListLink=identification.ListLink(href=f"{root}/der", all_=1),
                FunctionSetAssignmentsListLink=identification.ListLink(href=f"{root}/fsa", all_=1),
                RegistrationLink=identification.Link(href=f"{root}/rg"),
            )
        )

    def watts(value: int) -> Any:
        return der.ActivePower(value=value // 100, multiplier=2)

    def derc(request: HttpRequest, number: int, program: int) -> HttpResponse:
        rows = list(Control.objects.filter(program_id=program).order_by("start")[:48])
        items = [
            der.DERControlResponse(
                href=f"/derc/{row.pk}",
                mRID=row.mrid,
                creationTime=row.creation,
                interval=types.DateTimeIntervalType(start=row.start, duration=row.duration),
                EventStatus_=event.EventStatus(currentStatus=0, dateTime=row.creation, potentiallySuperseded=False),
                DERControlBase_=der.DERControlBase(
                    opModImpLimW=watts(row.modes["opModImpLimW"]), opModExpLimW=watts(row.modes["opModExpLimW"])
                ),
            )
            for row in rows
        ]
        return xml(der.DERControlListResponse(href=request.path, all_=len(rows), results=len(rows), DERControl=items))

    def mup(request: HttpRequest, number: int) -> HttpResponse:
        held = metering_mirror.MirrorMeterReadingListRequest.from_xml(request.body)
        streams = {row.mrid: row.pk for row in MeterStream.objects.filter(point_id=number)}
        values = [
            MeterValue(
                stream_id=streams[item.mRID],
                start=item.reading.timePeriod.start,
                duration=item.reading.timePeriod.duration,
                value=item.reading.value or 0,
                at=0,
            )
            for item in held.mirrorMeterReadings or []
            if item.reading is not None and item.reading.timePeriod is not None
        ]
        MeterValue.objects.bulk_create(
            values, update_conflicts=True, unique_fields=["stream", "start"], update_fields=["value"]
        )
        return HttpResponse(status=201, headers={"Content-Length": "0"})

    urlpatterns.extend(
        [
            path("dcap", dcap),
            path("edev/<int:number>", edev),
            path("edev/<int:number>/derp/<int:program>/derc", derc),
            path("mup/<int:number>", mup),
        ]
    )


if __name__ == "__main__":
    main()
