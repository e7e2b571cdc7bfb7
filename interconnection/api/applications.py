"""Applications: filed, listed, changed, submitted, withdrawn."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from interconnection import queries, roles, states
from interconnection.api import etag, schemas
from interconnection.api.application_form import ApplicationForm, amended, wanted
from interconnection.api.base import Api, page
from interconnection.api.fields import Text
from interconnection.services import applications as services

FILERS = (roles.APPLICANT, roles.ENGINEER)


def shown(application: Any) -> dict[str, Any]:
    """Return an application as the API shows it."""
    return dict(ApplicationForm(application).data)


@access(own_login=True, get=SIGNED_IN, post=FILERS)
class ApplicationList(Api):
    """Applications: filed and listed."""

    scopes = {"GET": "applications:read", "POST": "applications:write"}

    @extend_schema(
        operation_id="applications_list", responses=schemas.paged("Application", ApplicationForm),
        parameters=[
            OpenApiParameter("state", str, enum=list(states.STATES)), OpenApiParameter("feeder", str),
            *schemas.CURSOR,
        ],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return a page of the applications that you may see, newest first."""
        rows = queries.applications(request.user)
        if state := request.query_params.get("state"):
            rows = rows.filter(state=state)
        if feeder := request.query_params.get("feeder"):
            rows = rows.filter(feeder__name=feeder)
        return page(self, request, rows, shown)

    @extend_schema(
        operation_id="applications_create", request=ApplicationForm, responses={201: ApplicationForm},
        parameters=[schemas.ONCE],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """File a draft."""
        form = ApplicationForm(data=request.data)
        form.is_valid(raise_exception=True)
        application = services.file_application(wanted(form), applicant=request.user)
        answer = etag.tagged(shown(application), status=201)
        answer["Location"] = reverse("api-application", args=[application.pk])
        return answer


@access(own_login=True, get=SIGNED_IN, patch=FILERS)
class ApplicationDetail(Api):
    """One application."""

    scopes = {"GET": "applications:read", "PATCH": "applications:write"}

    @extend_schema(operation_id="applications_read", responses=ApplicationForm)
    def get(self, request: Request, number: int) -> Response:
        """Return it, with its ETag."""
        return etag.tagged(shown(queries.application(request.user, number)), request)

    @extend_schema(
        operation_id="applications_amend", request=ApplicationForm(partial=True), responses=ApplicationForm,
        parameters=[schemas.if_match()],
    )  # fmt: skip
    def patch(self, request: Request, number: int) -> Response:
        """Change some fields: a new version. A material change after completeness costs the place in the queue."""
        application = queries.application(request.user, number)
        etag.must_match(request, shown(application))
        changed = services.amend(application, amended(services.current_request(application), request.data), by=request.user)
        return etag.tagged(shown(changed))


@access(own_login=True, post=FILERS)
class ApplicationSubmit(Api):
    """Hand an application in."""

    scopes = {"POST": "applications:write"}

    @extend_schema(operation_id="applications_submit", request=None, responses=ApplicationForm, parameters=[schemas.ONCE])
    def post(self, request: Request, number: int) -> Response:
        """Submit a draft; it is complete at once when nothing is missing, else GET …/gaps/ names what is."""
        application = queries.application(request.user, number)
        services.may(application, "submit", request.user)
        services.submit(application, actor=str(request.user))
        return etag.tagged(shown(queries.application(request.user, number)))


@access(own_login=True, get=SIGNED_IN)
class ApplicationGaps(Api):
    """What an application lacks."""

    scopes = {"GET": "applications:read"}

    @extend_schema(operation_id="applications_gaps", responses=schemas.Gaps)
    def get(self, request: Request, number: int) -> Response:
        """Return each gap with its field, what is missing and what to do."""
        gaps = services.find_gaps(queries.application(request.user, number))
        return Response({"complete": not gaps, "gaps": [asdict(gap) for gap in gaps]})


class Reason(serializers.Serializer[Any]):
    """Why."""

    reason = Text(max_length=500, required=False, allow_blank=True, default="")


@access(own_login=True, post=FILERS)
class ApplicationWithdraw(Api):
    """Withdraw an application."""

    scopes = {"POST": "applications:write"}

    @extend_schema(
        operation_id="applications_withdraw", request=Reason, responses=ApplicationForm, parameters=[schemas.ONCE]
    )
    def post(self, request: Request, number: int) -> Response:
        """Withdraw it, from every state before the permission to operate."""
        application = queries.application(request.user, number)
        form = Reason(data=request.data)
        form.is_valid(raise_exception=True)
        services.act(application, "withdraw", by=request.user, reason=form.validated_data["reason"])
        return etag.tagged(shown(queries.application(request.user, number)))


@access(own_login=True, get=SIGNED_IN)
class ApplicationEvents(Api):
    """What happened to an application."""

    scopes = {"GET": "applications:read"}

    @extend_schema(
        operation_id="applications_events", responses=schemas.paged("Event", schemas.Event), parameters=schemas.CURSOR
    )
    def get(self, request: Request, number: int) -> Response:
        """Return a page of its history, newest first: who, what, when."""
        application = queries.application(request.user, number)
        return page(self, request, application.events.all(), _event, ordering=("-id",))


def _event(row: Any) -> dict[str, Any]:
    return {"id": row.pk, "action": row.action, "actor": row.actor, "at": row.at.isoformat()}
