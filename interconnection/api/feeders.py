"""Feeders: what one may apply on, and a quick indicative answer."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from derms.errors import InputError
from derms.grid.study_request import INVERTERS
from interconnection import queries, roles
from interconnection.api import etag, schemas
from interconnection.api.base import Api
from interconnection.api.fields import Count, Kilowatts, Text
from interconnection.api.zip_body import ZipBody
from interconnection.services import uploads, what_if


@access(own_login=True, get=SIGNED_IN)
class FeederList(Api):
    """Feeders that one may apply on."""

    scopes = {"GET": "feeders:read"}

    @extend_schema(operation_id="feeders_list", responses=schemas.FeederList)
    def get(self, request: Request) -> Response:
        """Return names, sizes and the newest model's hash."""
        return Response({"results": [summary(item) for item in queries.feeders()]})


@access(own_login=True, get=SIGNED_IN)
class FeederDetail(Api):
    """One feeder."""

    scopes = {"GET": "feeders:read"}

    @extend_schema(operation_id="feeders_read", responses=schemas.FeederFull)
    def get(self, request: Request, name: str) -> Response:
        """Return the feeder with its buses and findings; the ETag is that of its newest model."""
        return etag.tagged(full(queries.feeder(name)), request)


@access(own_login=True, put=(roles.ENGINEER,))
class FeederModel(Api):
    """A feeder's model: a ZIP of OpenDSS text, read by allow-list and compiled in a confined child."""

    scopes = {"PUT": "studies:write"}
    parser_classes = [ZipBody]
    cost = 20

    @extend_schema(
        operation_id="feeders_model", request={"application/zip": bytes}, responses={201: schemas.FeederFull},
        parameters=[schemas.if_match()],
    )  # fmt: skip
    def put(self, request: Request, name: str) -> Response:
        """Store a new version of a model; If-Match names the one it follows (a new feeder needs none)."""
        known = [item for item in queries.feeders() if item.name == name]
        if known:
            etag.must_match(request, full(known[0]))
        uploads.import_zip(
            request.data.get("zip", b""), name, master=request.query_params.get("master", ""), actor=str(request.user)
        )
        return etag.tagged(full(queries.feeder(name)), status=201)


def summary(feeder: Any) -> dict[str, Any]:
    """Return a feeder in short."""
    version = feeder.versions.all()[0]
    return {"name": feeder.name, "sha256": version.sha256, "nodes": version.description["nodes"]}


def full(feeder: Any) -> dict[str, Any]:
    """Return a feeder with buses and findings."""
    version = feeder.versions.all()[0]
    buses = [{"bus": bus[0], "phases": bus[1]} for bus in version.description["buses"]]
    return summary(feeder) | {"buses": buses, "findings": version.findings}


class IndicativeForm(serializers.Serializer[Any]):
    """A question about one place."""

    feeder = Text(max_length=64, required=False)
    bus = Text(max_length=64)
    phases = serializers.RegexField(r"^[123]{1,3}$", default="123")
    import_kw = Kilowatts(source="import_w")
    export_kw = Kilowatts(source="export_w")
    hours = Count(most=576, required=False)
    inverter = serializers.ChoiceField(choices=sorted(INVERTERS), default="unity")


@access(own_login=True, get=SIGNED_IN, post=SIGNED_IN)
class Indicative(Api):
    """The sandbox: a feeder with answers in seconds, by the same engine as the study that counts."""

    scopes = {"GET": "feeders:read", "POST": "feeders:read"}
    keyed = False  # nothing is stored
    cost = 10

    @extend_schema(operation_id="indicative_read", responses=schemas.Sandbox)
    def get(self, request: Request) -> Response:
        """Return the sandbox feeder's name and how to ask."""
        version = what_if.newest_version(settings.SANDBOX_FEEDER)
        buses = [bus[0] for bus in version.description["buses"] if len(bus[1]) == 3]
        return Response(
            {
                "feeder": settings.SANDBOX_FEEDER,
                "three_phase_buses": buses,
                "ask": {"bus": buses[-1], "phases": "123", "import_kw": 1500, "export_kw": 1500},
                "feeders": reverse("api-feeders"),
            }
        )

    @extend_schema(operation_id="indicative_ask", request=IndicativeForm, responses=schemas.IndicativeAnswer)
    def post(self, request: Request) -> Response:
        """Return what a site may do at a place, what stops it, and what would pass. Indicative: it binds nobody."""
        form = IndicativeForm(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        if asked["import_w"] == 0 and asked["export_w"] == 0:
            raise InputError("nothing is asked for", where="import_kw", remedy="Ask for import, export or both.")
        phases = asked["phases"]
        if len(set(phases)) != len(phases):
            raise InputError(f"{phases!r} are no phases", where="phases", remedy="For example 123, or 2.")
        version = what_if.newest_version(asked.get("feeder", settings.SANDBOX_FEEDER))
        answer = what_if.answer(
            version, asked["bus"], tuple(int(letter) for letter in phases), asked["import_w"], asked["export_w"],
            hours=asked.get("hours", INDICATIVE_HOURS), inverter=asked["inverter"],
        )  # fmt: skip
        return Response({"indicative": True, **answer})


INDICATIVE_HOURS = 288
