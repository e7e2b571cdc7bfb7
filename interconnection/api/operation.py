"""After the agreement, by API: commissioning begun, its results, permission, suspension, the end. A witnessed result needs
two people at one desk: it is not recorded here."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from interconnection import queries, roles
from interconnection.api import desk_schemas, etag, schemas
from interconnection.api.application_form import ApplicationForm
from interconnection.api.applications import shown as application_shown
from interconnection.api.base import Api, page
from interconnection.api.fields import Text
from interconnection.models import CommissioningResult
from interconnection.services import commissioning

ACTIONS = ("commission", "permit", "suspend", "resume", "end")
ACTORS = (roles.ENGINEER, roles.APPROVER, roles.OPERATOR)


class ActionForm(serializers.Serializer[Any]):
    """Which step of the life, and why (to suspend and to end need a reason)."""

    action = serializers.ChoiceField(choices=ACTIONS)
    reason = Text(max_length=500, required=False, allow_blank=True, default="")


@access(own_login=True, post=ACTORS)
class ApplicationAction(Api):
    """Steps of an agreement's life."""

    scopes = {"POST": "applications:write"}

    @extend_schema(
        operation_id="applications_act", request=ActionForm, responses=ApplicationForm,
        parameters=[schemas.ONCE, schemas.if_match()],
    )  # fmt: skip
    def post(self, request: Request, number: int) -> Response:
        """Begin commissioning, permit operation, suspend, resume or end; the table of the manual says who may and when."""
        application = queries.application(request.user, number)
        etag.must_match(request, application_shown(application))
        form = ActionForm(data=request.data)
        form.is_valid(raise_exception=True)
        action, reason = form.validated_data["action"], form.validated_data["reason"]
        commissioning.act(application, action, by=request.user, reason=reason)
        return etag.tagged(application_shown(queries.application(request.user, number)))


def shown(row: CommissioningResult) -> dict[str, Any]:
    """Return a test's result."""
    return {
        "id": row.pk, "kind": row.kind, "passed": row.passed, "at": row.at.isoformat(),
        "expires": row.expires.isoformat(), "recorded_by": str(row.recorded_by),
        "witnessed_by": None if row.witnessed_by is None else str(row.witnessed_by), "sha256": row.sha256,
        "steps": row.steps,
    }  # fmt: skip


@access(own_login=True, get=SIGNED_IN)
class ApplicationCommissioning(Api):
    """Commissioning tests of a site."""

    scopes = {"GET": "applications:read"}

    @extend_schema(
        operation_id="commissioning_list", responses=schemas.paged("CommissioningResult", desk_schemas.CommissioningResult),
        parameters=schemas.CURSOR,
    )  # fmt: skip
    def get(self, request: Request, number: int) -> Response:
        """Return a page of the results, newest first: by wire (`manage.py commission`) and witnessed."""
        rows = queries.application(request.user, number).commissioning_results.select_related("recorded_by", "witnessed_by")
        return page(self, request, rows, shown, ordering=("-at", "-id"))
