"""Between filing and study, by API: found complete, screened, asked and answered, placed in each constraint's queue."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from derms.errors import NotFound
from interconnection import queries, queue_order, roles
from interconnection.api import desk_schemas, etag, schemas
from interconnection.api.application_form import ApplicationForm
from interconnection.api.applications import FILERS
from interconnection.api.applications import shown as application_shown
from interconnection.api.base import Api, page
from interconnection.api.fields import Count, Text
from interconnection.models import InformationRequest, ScreenRun
from interconnection.services import applications as services
from interconnection.services import clocks, screening


class Waivers(serializers.Serializer[Any]):
    """Which gaps may stay open (their `requirement`, see …/gaps/), and why."""

    waived = serializers.ListField(child=Text(max_length=64), max_length=64, required=False, default=list)
    reason = Text(max_length=500, required=False, allow_blank=True, default="")


@access(own_login=True, post=(roles.ENGINEER,))
class ApplicationComplete(Api):
    """Find an application complete."""

    scopes = {"POST": "applications:write"}

    @extend_schema(
        operation_id="applications_complete", request=Waivers, responses=ApplicationForm, parameters=[schemas.ONCE]
    )
    def post(self, request: Request, number: int) -> Response:
        """Find it complete: each gap is closed, or waived by name with a reason; else 409 names the first open one."""
        application = queries.application(request.user, number)
        form = Waivers(data=request.data)
        form.is_valid(raise_exception=True)
        services.deem_complete(application, by=request.user, **form.validated_data)
        return etag.tagged(application_shown(queries.application(request.user, number)))


class ScreenOrder(serializers.Serializer[Any]):
    """Over how many hours the screens look."""

    hours = Count(most=576, default=screening.HOURS)


def screens_shown(run: ScreenRun) -> dict[str, Any]:
    """Return a run of screens."""
    return {
        "id": run.pk, "at": run.at.isoformat(), "by": run.by, "pack": run.pack, "pack_version": run.pack_version,
        "request_number": run.request_number, "seconds": run.seconds, "results": run.results,
    }  # fmt: skip


@access(own_login=True, get=SIGNED_IN, post=(roles.ENGINEER,))
class ApplicationScreens(Api):
    """Runs of the rule pack's screens."""

    scopes = {"GET": "applications:read", "POST": "studies:write"}
    engine = True
    cost = 10

    @extend_schema(
        operation_id="screens_list", responses=schemas.paged("ScreenRun", desk_schemas.ScreenRun), parameters=schemas.CURSOR
    )
    def get(self, request: Request, number: int) -> Response:
        """Return a page of the runs, newest first: value, threshold, margin, element, hour, what would pass."""
        application = queries.application(request.user, number)
        return page(self, request, application.screen_runs.all(), screens_shown, ordering=("-at", "-id"))

    @extend_schema(
        operation_id="screens_run", request=ScreenOrder, responses={201: desk_schemas.ScreenRun}, parameters=[schemas.ONCE]
    )
    def post(self, request: Request, number: int) -> Response:
        """Run the screens of its rule pack now; the answer has the results."""
        application = queries.application(request.user, number)
        form = ScreenOrder(data=request.data)
        form.is_valid(raise_exception=True)
        run = screening.screen(application, actor=str(request.user), hours=form.validated_data["hours"])
        return Response(screens_shown(run), status=201)


def question_shown(row: InformationRequest) -> dict[str, Any]:
    """Return a question with its answer."""
    return {
        "id": row.pk, "question": row.question, "fields_asked": row.fields, "asked": row.asked.isoformat(),
        "asked_by": str(row.asked_by), "answer": row.answer,
        "answered": None if row.answered is None else row.answered.isoformat(),
        "answered_by": None if row.answered_by is None else str(row.answered_by),
    }  # fmt: skip


class QuestionForm(serializers.Serializer[Any]):
    """What is asked, and which fields it is about."""

    question = Text(max_length=4000)
    fields_asked = serializers.ListField(child=Text(max_length=64), max_length=64, required=False, default=list)


@access(own_login=True, get=SIGNED_IN, post=(roles.ENGINEER, roles.APPROVER))
class ApplicationQuestions(Api):
    """Questions to the applicant."""

    scopes = {"GET": "applications:read", "POST": "studies:write"}

    @extend_schema(
        operation_id="questions_list", responses=schemas.paged("Question", desk_schemas.Question), parameters=schemas.CURSOR
    )
    def get(self, request: Request, number: int) -> Response:
        """Return a page of the questions, newest first; one without `answered` is open."""
        rows = queries.application(request.user, number).information_requests.select_related("asked_by", "answered_by")
        return page(self, request, rows, question_shown, ordering=("-asked", "-id"))

    @extend_schema(
        operation_id="questions_ask", request=QuestionForm, responses={201: desk_schemas.Question},
        parameters=[schemas.ONCE],
    )  # fmt: skip
    def post(self, request: Request, number: int) -> Response:
        """Ask the applicant; the utility's clocks pause until the answer."""
        application = queries.application(request.user, number)
        form = QuestionForm(data=request.data)
        form.is_valid(raise_exception=True)
        asked = clocks.ask(
            application, form.validated_data["question"], by=request.user, about=form.validated_data["fields_asked"]
        )
        return Response(question_shown(asked), status=201)


class AnswerForm(serializers.Serializer[Any]):
    """The answer."""

    answer = Text(max_length=10_000)


@access(own_login=True, post=FILERS)
class QuestionAnswer(Api):
    """The answer to a question."""

    scopes = {"POST": "applications:write"}

    @extend_schema(
        operation_id="questions_answer", request=AnswerForm, responses=desk_schemas.Question, parameters=[schemas.ONCE]
    )
    def post(self, request: Request, number: int, question: int) -> Response:
        """Answer it, once; the clocks that waited go on."""
        application = queries.application(request.user, number)
        asked = application.information_requests.filter(pk=question).first()
        if asked is None:
            raise NotFound(f"there is no question {question} here", where="question", remedy="GET …/questions/ lists them.")
        form = AnswerForm(data=request.data)
        form.is_valid(raise_exception=True)
        return Response(question_shown(clocks.answer(asked, form.validated_data["answer"], by=request.user)))


@access(own_login=True, get=SIGNED_IN)
class ApplicationQueue(Api):
    """The places of an application in the queue of each constraint."""

    scopes = {"GET": "applications:read"}

    @extend_schema(operation_id="applications_queue", responses=desk_schemas.Places)
    def get(self, request: Request, number: int) -> Response:
        """Return its place on each element that limits it, what its withdrawal would free, and why to study again."""
        application = queries.application(request.user, number)
        names = roles.sees_all(request.user)
        freed = {(item.side, item.criterion, item.element): item for item in queue_order.effect_of_withdrawal(application)}
        return Response(
            {
                "positions": [_place(place, freed, names=names) for place in queue_order.positions(application)],
                "restudy": [
                    {"kind": item.kind, "what": item.what if names else item.public, "since": item.since.isoformat()}
                    for item in queue_order.restudy_triggers(application)
                ],
            }
        )  # fmt: skip


def _place(place: queue_order.Position, freed: dict[Any, queue_order.Freed], *, names: bool) -> dict[str, Any]:
    row = place.constraint
    gives = freed[row.side, row.criterion, row.element]
    return {
        "side": row.side, "criterion": row.criterion, "element": row.element, "asked_kw": row.asked_w / 1000,
        "least_kw": row.least_w / 1000, "hours": row.hours, "worst_hour": row.worst_hour, "position": place.position,
        "of": place.of, "ahead": [other.reference for other in place.ahead] if names else [],
        "withdrawal_frees_kw": gives.freed_w / 1000,
        "moves_up": sum(1 for item in gives.moves_up if item["could_get_w"] > 0),
    }  # fmt: skip
