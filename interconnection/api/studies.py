"""Studies: ordered, watched, cancelled, read."""

from __future__ import annotations

import math
from typing import Any

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from derms.grid.study_request import INVERTERS
from interconnection import queries, roles
from interconnection.api import schemas
from interconnection.api.base import Api, page
from interconnection.api.fields import Count
from interconnection.models import Study
from interconnection.services import study_control

STATUSES = [Study.QUEUED, Study.RUNNING, Study.DONE, Study.FAILED, Study.CANCELLED]
UNFINISHED = (Study.QUEUED, Study.RUNNING)


def shown(study: Study, user: Any, *, result: bool = True) -> dict[str, Any]:
    """Return a study: progress, and the result when it is done as the user may read it."""
    progress = queries.progress(study, timezone.now())
    found: dict[str, Any] = {
        "id": study.pk,
        "application": study.application_id,
        "status": study.status,
        "progress": math.floor(study.done_hours / study.total_hours * 1000) / 1000,
        "done_hours": study.done_hours,
        "total_hours": study.total_hours,
        "seconds_left": None if progress.left_s is None else math.ceil(progress.left_s),
        "inputs_sha256": study.inputs_sha256,
        "engine": study.engine,
    }
    if result and study.status == Study.DONE:
        found["result"] = queries.answer(user, study)
    if study.error:
        found["error"] = study.error
    return found


class StudyOrder(serializers.Serializer[Any]):
    """How many hours to study, and with which inverter setting."""

    hours = Count(most=8760, default=8760)
    inverter = serializers.ChoiceField(choices=sorted(INVERTERS), default="unity")


@access(own_login=True, get=SIGNED_IN, post=(roles.ENGINEER,))
class ApplicationStudies(Api):
    """Studies of an application."""

    scopes = {"GET": "applications:read", "POST": "studies:write"}

    @extend_schema(
        operation_id="application_studies_list", responses=schemas.paged("Study", schemas.Study), parameters=schemas.CURSOR
    )
    def get(self, request: Request, number: int) -> Response:
        """Return a page of its studies, newest first, without their results."""
        application = queries.application(request.user, number)
        return page(self, request, application.studies.all(), lambda row: shown(row, request.user, result=False))

    @extend_schema(
        operation_id="studies_create", request=StudyOrder, responses={202: schemas.Study}, parameters=[schemas.ONCE]
    )
    def post(self, request: Request, number: int) -> Response:
        """Order a study; it runs in the queue, its progress stands at Location."""
        application = queries.application(request.user, number)
        form = StudyOrder(data=request.data)
        form.is_valid(raise_exception=True)
        study = study_control.order(
            application,
            form.validated_data["hours"],
            actor=str(request.user),
            inverter=form.validated_data["inverter"],
            curtailment=True,
        )
        return accepted(study, request.user)


def accepted(study: Study, user: Any) -> Response:
    """Return 202 with the address of the progress."""
    answer = Response(shown(study, user), status=202)
    answer["Location"] = reverse("api-study", args=[study.pk])
    answer["Retry-After"] = "2"
    return answer


@access(own_login=True, get=SIGNED_IN)
class StudyList(Api):
    """Studies."""

    scopes = {"GET": "applications:read"}

    @extend_schema(
        operation_id="studies_list", responses=schemas.paged("Study", schemas.Study),
        parameters=[OpenApiParameter("status", str, enum=STATUSES), *schemas.CURSOR],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return a page of the studies that you may see, newest first, without their results."""
        rows = queries.studies(request.user)
        if status := request.query_params.get("status"):
            rows = rows.filter(status=status)
        return page(self, request, rows, lambda row: shown(row, request.user, result=False))


@access(own_login=True, get=SIGNED_IN)
class StudyDetail(Api):
    """One study."""

    scopes = {"GET": "applications:read"}

    @extend_schema(operation_id="studies_read", responses=schemas.Study)
    def get(self, request: Request, number: int) -> Response:
        """Return progress, and the result when it is done; Retry-After says when to look again."""
        study = queries.study(request.user, number)
        answer = Response(shown(study, request.user))
        if study.status in UNFINISHED:
            left = queries.progress(study, timezone.now()).left_s
            answer["Retry-After"] = str(max(1, min(60, math.ceil(left / 4)))) if left else "2"
        return answer


@access(own_login=True, post=(roles.ENGINEER,))
class StudyCancel(Api):
    """Cancel a study."""

    scopes = {"POST": "studies:write"}

    @extend_schema(operation_id="studies_cancel", request=None, responses=schemas.Study, parameters=[schemas.ONCE])
    def post(self, request: Request, number: int) -> Response:
        """Stop a study that waits or runs; what is done stays."""
        study = queries.study(request.user, number)
        study_control.cancel(study, actor=str(request.user))
        return Response(shown(queries.study(request.user, number), request.user))


@access(own_login=True, post=(roles.ENGINEER,))
class StudyResume(Api):
    """Let a study go on."""

    scopes = {"POST": "studies:write"}

    @extend_schema(operation_id="studies_resume", request=None, responses={202: schemas.Study}, parameters=[schemas.ONCE])
    def post(self, request: Request, number: int) -> Response:
        """Queue a cancelled or failed study again; finished slices are not run twice."""
        study = queries.study(request.user, number)
        study_control.go_on(study, actor=str(request.user))
        return accepted(queries.study(request.user, number), request.user)
