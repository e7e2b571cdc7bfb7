"""What the OpenAPI document says of answers that are plain data, and of headers that many calls share."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers


class Problem(serializers.Serializer[Any]):
    """RFC 9457: what went wrong, where, what to do."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(required=False)
    remedy = serializers.CharField(required=False)
    request_id = serializers.CharField(required=False)
    errors = serializers.ListField(child=serializers.DictField(child=serializers.CharField()), required=False)


class FeederSummary(serializers.Serializer[Any]):
    """A feeder in short."""

    name = serializers.CharField()
    sha256 = serializers.CharField()
    nodes = serializers.IntegerField()


class FeederList(serializers.Serializer[Any]):
    """All feeders."""

    results = FeederSummary(many=True)


class Bus(serializers.Serializer[Any]):
    """A bus and its phases."""

    bus = serializers.CharField()
    phases = serializers.ListField(child=serializers.IntegerField())


class FeederFull(FeederSummary):
    """A feeder with buses and findings."""

    buses = Bus(many=True)
    findings = serializers.ListField(child=serializers.DictField())


class Sandbox(serializers.Serializer[Any]):
    """How to ask the sandbox."""

    feeder = serializers.CharField()
    three_phase_buses = serializers.ListField(child=serializers.CharField())
    ask = serializers.DictField()
    feeders = serializers.CharField()


class IndicativeSide(serializers.Serializer[Any]):
    """One direction of an indicative answer: the numbers that matter; more stands beside them."""

    asked_kw = serializers.FloatField()
    passes = serializers.BooleanField()
    largest_kw = serializers.FloatField()


class IndicativeAnswer(serializers.Serializer[Any]):
    """An indicative answer; the manual's page on what-if describes each part."""

    indicative = serializers.BooleanField()
    feeder = serializers.CharField()
    model_sha256 = serializers.CharField()
    bus = serializers.CharField()
    phases = serializers.ListField(child=serializers.IntegerField())
    hours = serializers.IntegerField()
    inverter = serializers.CharField()
    passing = serializers.DictField()


class Study(serializers.Serializer[Any]):
    """A study: progress, and the result when it is done."""

    id = serializers.IntegerField()
    application = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(choices=["queued", "running", "done", "failed", "cancelled"])
    progress = serializers.FloatField()
    done_hours = serializers.IntegerField()
    total_hours = serializers.IntegerField()
    seconds_left = serializers.IntegerField(allow_null=True)
    inputs_sha256 = serializers.CharField()
    engine = serializers.CharField()
    result = serializers.DictField(required=False)
    error = serializers.CharField(required=False)


class Offer(serializers.Serializer[Any]):
    """An offer: its document and where it stands."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["prepared", "open", "accepted", "declined", "lapsed", "superseded"])
    open = serializers.BooleanField()
    kind = serializers.CharField()
    valid_until = serializers.CharField(allow_null=True)
    study = serializers.IntegerField()
    sha256 = serializers.CharField()
    terms = serializers.DictField()


class Agreement(serializers.Serializer[Any]):
    """A signed agreement: the object that the control room obeys."""

    site = serializers.CharField()
    sha256 = serializers.CharField()
    accepted = serializers.CharField()
    typed_name = serializers.CharField()
    terms = serializers.DictField()


class Gap(serializers.Serializer[Any]):
    """Something that is missing."""

    requirement = serializers.CharField()
    where = serializers.CharField()
    what = serializers.CharField()
    remedy = serializers.CharField()


class Gaps(serializers.Serializer[Any]):
    """What an application lacks."""

    complete = serializers.BooleanField()
    gaps = Gap(many=True)


class Event(serializers.Serializer[Any]):
    """Something that happened."""

    id = serializers.IntegerField()
    action = serializers.CharField()
    actor = serializers.CharField()
    at = serializers.CharField()


class BulkRow(serializers.Serializer[Any]):
    """What became of one row."""

    row = serializers.IntegerField()
    status = serializers.IntegerField()
    id = serializers.IntegerField(required=False)
    reference = serializers.CharField(required=False)
    problem = Problem(required=False)


class Bulk(serializers.Serializer[Any]):
    """What became of each row."""

    filed = serializers.IntegerField()
    refused = serializers.IntegerField()
    dry_run = serializers.BooleanField()
    results = BulkRow(many=True)


class Me(serializers.Serializer[Any]):
    """Who calls."""

    user = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())
    scopes = serializers.ListField(child=serializers.CharField())
    signed_in_by = serializers.CharField()


CURSOR = [
    OpenApiParameter("cursor", str, description="From next or previous of another page."),
    OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": 200}, description="Rows a page."),
]
ONCE = OpenApiParameter(
    "Idempotency-Key", {"type": "string", "minLength": 1, "maxLength": 255}, OpenApiParameter.HEADER,
    description="The same key and body give the same answer for 24 hours.",
)  # fmt: skip


def if_match(required: bool = False) -> OpenApiParameter:
    """Return the If-Match header; the call answers 428 without it."""
    return OpenApiParameter(
        "If-Match", str, OpenApiParameter.HEADER, required=required, description="The ETag that you read."
    )


@cache
def paged(name: str, row: Any) -> Any:
    """Return the shape of a page of rows."""
    return inline_serializer(
        f"{name}Page",
        {
            "next": serializers.CharField(allow_null=True),
            "previous": serializers.CharField(allow_null=True),
            "results": row(many=True),
        },
    )


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Hook of drf-spectacular: each operation may answer with a problem document."""
    schemas = result["components"]["schemas"]
    schemas["Problem"] = {
        "type": "object",
        "description": "RFC 9457: what went wrong, where, what to do.",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "remedy": {"type": "string"},
            "request_id": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
        },
    }
    answer = {
        "description": "What went wrong, where, and what to do.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in result["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"]["default"] = answer
                # Any one of the ways to sign in is enough; the library writes two names of one class as "both".
                ways = [name for choice in operation.get("security", []) for name in choice]
                operation["security"] = [{name: []} for name in ways]
    return result
