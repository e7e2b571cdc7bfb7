"""The application API: thin views over services and queries. Kilowatts outside, watts inside."""

from __future__ import annotations

import json
import math
from datetime import date
from typing import Any

from django.urls import reverse
from django_q.tasks import async_task
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers, status
from rest_framework.authentication import SessionAuthentication
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from derms.access import SIGNED_IN, access
from derms.errors import InputError, NotFound
from derms.units import kilowatts_to_watts
from interconnection import queries, roles
from interconnection.accounts.api_access import Declared, TokenAuthentication
from interconnection.models import PROTOCOLS, Application, Study
from interconnection.services import applications as application_services
from interconnection.services import offers as offer_services
from interconnection.services import studies as study_services


@extend_schema_field({"type": "number", "minimum": 0, "description": "kilowatts"})
class Kilowatts(serializers.Field[float, Any, float, Any]):
    """A finite, non-negative JSON number of kilowatts; `true`, text and NaN are refused."""

    def to_internal_value(self, data: Any) -> int:
        """Return whole watts."""
        try:
            return kilowatts_to_watts(data, where=self.field_name or "")
        except InputError as error:
            raise serializers.ValidationError(f"{error.what}. {error.remedy}".strip()) from error

    def to_representation(self, value: Any) -> float:
        """Return kilowatts."""
        return float(value) / 1000.0


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": 100000})
class Count(serializers.Field[int, Any, int, Any]):
    """A whole JSON number from 1 to 100,000."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number; booleans, text and fractions are refused."""
        if isinstance(data, bool) or not isinstance(data, int) or not 1 <= data <= 100_000:
            raise serializers.ValidationError("Give a whole number from 1 to 100000.")
        return data

    def to_representation(self, value: Any) -> int:
        """Return the number."""
        return int(value)


class ApplicationSerializer(serializers.Serializer[Any]):
    """An application as the API shows and takes it."""

    id = serializers.IntegerField(read_only=True)
    reference = serializers.CharField(read_only=True)
    state = serializers.CharField(read_only=True)
    name = serializers.CharField(max_length=120)
    feeder = serializers.CharField(max_length=64)
    bus = serializers.CharField(max_length=64)
    phases = serializers.RegexField(r"^[123]{1,3}$", default="123")
    import_kw = Kilowatts(source="import_w")
    export_kw = Kilowatts(source="export_w")
    charger_model = serializers.CharField(max_length=120)
    charger_count = Count()
    charger_import_kw = Kilowatts(source="charger_import_w")
    charger_export_kw = Kilowatts(source="charger_export_w")
    need_kwh_per_day = Kilowatts(source="need_wh_per_day", required=False)
    wanted = serializers.DateField()
    protocol = serializers.ChoiceField(choices=[name for name, _ in PROTOCOLS], default="dnp3")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Show the feeder by name."""
        shown = super().to_representation(instance)
        shown["feeder"] = instance.feeder.name
        return shown


class StudyOrderSerializer(serializers.Serializer[Any]):
    """How many hours to study."""

    hours = serializers.IntegerField(min_value=1, max_value=8760, default=8760)


class Api(APIView):
    """Base: signed-in people only, roles checked by name."""

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [Declared]


class Pages(CursorPagination):
    """Newest first, at most 200 a page."""

    ordering = ("-created", "-id")
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"


@access(own_login=True, get=SIGNED_IN)
class FeederList(Api):
    """Feeders that one may apply on."""

    scopes = {"GET": "feeders:read"}

    @extend_schema(operation_id="feeders_list", responses=OpenApiTypes.OBJECT)
    def get(self, request: HttpRequest) -> Response:
        """Return names, sizes and the newest model's hash."""
        return Response({"results": [_feeder(item) for item in queries.feeders()]})


@access(own_login=True, get=SIGNED_IN)
class FeederDetail(Api):
    """One feeder."""

    scopes = {"GET": "feeders:read"}

    @extend_schema(operation_id="feeders_read", responses=OpenApiTypes.OBJECT)
    def get(self, request: HttpRequest, name: str) -> Response:
        """Return the feeder with its buses and findings."""
        feeder = queries.feeder(name)
        version = feeder.versions.all()[0]
        buses = [{"bus": bus[0], "phases": bus[1]} for bus in version.description["buses"]]
        return Response(_feeder(feeder) | {"buses": buses, "findings": version.findings})


def _feeder(feeder: Any) -> dict[str, Any]:
    version = feeder.versions.all()[0]
    return {"name": feeder.name, "sha256": version.sha256, "nodes": version.description["nodes"]}


@access(own_login=True, get=SIGNED_IN, post=(roles.APPLICANT, roles.ENGINEER))
class ApplicationList(Api):
    """Applications: filed and listed."""

    scopes = {"GET": "applications:read", "POST": "applications:write"}

    @extend_schema(operation_id="applications_list", responses=ApplicationSerializer(many=True))
    def get(self, request: HttpRequest) -> Response:
        """Return a page of the applications that you may see."""
        pages = Pages()
        rows = pages.paginate_queryset(queries.applications(request.user), request, view=self)
        return pages.get_paginated_response(ApplicationSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="applications_create", request=ApplicationSerializer, responses={201: ApplicationSerializer}
    )
    def post(self, request: HttpRequest) -> Response:
        """File a draft."""
        form = ApplicationSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        facts = dict(form.validated_data)
        facts.setdefault("need_wh_per_day", 0)
        if not date(2020, 1, 1) <= facts["wanted"] <= date(2100, 12, 31):
            raise InputError("the date is not in 2020..2100", where="wanted")
        application = application_services.file_application(application_services.Request(**facts), applicant=request.user)
        answer = Response(ApplicationSerializer(application).data, status=status.HTTP_201_CREATED)
        answer["Location"] = reverse("api-application", args=[application.pk])
        return answer


@access(own_login=True, get=SIGNED_IN)
class ApplicationDetail(Api):
    """One application."""

    scopes = {"GET": "applications:read"}

    @extend_schema(operation_id="applications_read", responses=ApplicationSerializer)
    def get(self, request: HttpRequest, number: int) -> Response:
        """Return it."""
        return Response(ApplicationSerializer(queries.application(request.user, number)).data)


@access(own_login=True, post=(roles.APPLICANT, roles.ENGINEER))
class ApplicationSubmit(Api):
    """Hand an application in."""

    scopes = {"POST": "applications:write"}

    @extend_schema(operation_id="applications_submit", request=None, responses=ApplicationSerializer)
    def post(self, request: HttpRequest, number: int) -> Response:
        """Submit a draft."""
        application = queries.application(request.user, number)
        application_services.submit(application, actor=str(request.user))
        return Response(ApplicationSerializer(application).data)


def order(application: Application, hours: int, actor: Any) -> Study:
    """Order a study of an application and queue it."""
    version = application.feeder.versions.first()
    assert version is not None
    request = study_services.build_request(
        version, application.bus, application.phase_numbers, application.import_w, application.export_w, hours=hours
    )
    study = study_services.order_study(version, request, actor=str(actor), application=application)
    async_task("interconnection.tasks.run", study.pk)
    return study


@access(own_login=True, post=(roles.ENGINEER,))
class ApplicationStudies(Api):
    """Studies of an application."""

    scopes = {"POST": "studies:write"}

    @extend_schema(operation_id="studies_create", request=StudyOrderSerializer, responses={202: OpenApiTypes.OBJECT})
    def post(self, request: HttpRequest, number: int) -> Response:
        """Order a study; it runs in the queue, its progress stands at Location."""
        application = queries.application(request.user, number)
        form = StudyOrderSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        study = order(application, form.validated_data["hours"], request.user)
        answer = Response(_study(study), status=status.HTTP_202_ACCEPTED)
        answer["Location"] = reverse("api-study", args=[study.pk])
        return answer


@access(own_login=True, get=SIGNED_IN)
class StudyDetail(Api):
    """One study."""

    scopes = {"GET": "applications:read"}

    @extend_schema(operation_id="studies_read", responses=OpenApiTypes.OBJECT)
    def get(self, request: HttpRequest, number: int) -> Response:
        """Return progress, and the result when it is done."""
        return Response(_study(queries.study(request.user, number)))


def _study(study: Study) -> dict[str, Any]:
    share = study.done_hours / study.total_hours
    shown: dict[str, Any] = {
        "id": study.pk,
        "status": study.status,
        "progress": math.floor(share * 1000) / 1000,
        "inputs_sha256": study.inputs_sha256,
        "engine": study.engine,
    }
    if study.status == Study.DONE:
        shown["result"] = json.loads(study.result)
    if study.error:
        shown["error"] = study.error
    return shown


@access(own_login=True, get=SIGNED_IN)
class ApplicationOffer(Api):
    """The open or accepted offer of an application."""

    scopes = {"GET": "applications:read"}

    @extend_schema(operation_id="offers_read", responses=OpenApiTypes.OBJECT)
    def get(self, request: HttpRequest, number: int) -> Response:
        """Return the newest offer: the terms' document and its hash."""
        return Response(_offer(_newest_offer(queries.application(request.user, number))))


@access(own_login=True, post=(roles.APPLICANT,))
class ApplicationAccept(Api):
    """Accept the open offer."""

    scopes = {"POST": "offers:write"}

    @extend_schema(
        operation_id="offers_accept",
        request=inline_serializer("Accept", {"sha256": serializers.CharField(min_length=64, max_length=64)}),
        responses={201: OpenApiTypes.OBJECT},
    )
    def post(self, request: HttpRequest, number: int) -> Response:
        """Accept by naming the hash of the document that you agree to."""
        offer = _newest_offer(queries.application(request.user, number))
        if not isinstance(request.data, dict) or request.data.get("sha256") != offer.sha256:
            raise InputError(
                "the hash is not that of the offer", where="sha256", remedy="Read the offer again and name its sha256."
            )
        name = request.data.get("typed_name") or request.user.get_full_name() or str(request.user)
        agreement = offer_services.accept_offer(offer, applicant=request.user, typed_name=str(name))
        return Response(
            {"site": agreement.site, "sha256": agreement.sha256, "terms": json.loads(agreement.document)}, status=201
        )


def _newest_offer(application: Application) -> Any:
    offer = application.offers.first()
    if offer is None:
        raise NotFound("there is no offer yet", where="offer", remedy="It follows the study.")
    return offer


def _offer(offer: Any) -> dict[str, Any]:
    return {"open": offer.open, "sha256": offer.sha256, "terms": json.loads(offer.document)}
